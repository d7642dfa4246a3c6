// SPDX-License-Identifier: MIT

package apponly_test

import (
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// A file of roots that hangs holds nobody up for long, and not once there were roots.
func TestIdentityBindingRootsHang(t *testing.T) {
	p := newPod(t)
	release := hangOpening(t, p.roots)
	began := time.Now()
	_, err := p.client(t).Token(t.Context(), p.API().Scope())
	wantKind(t, err, apponly.ErrCAFile, "AZURE_KUBERNETES_CA_FILE", p.roots)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("after %v", took)
	}
	release()
	p.cache = apponly.NewCache(nil)
	c := p.client(t)
	force(t, c, p.API().Scope())
	hangOpening(t, p.roots)
	began = time.Now()
	p.cache = apponly.NewCache(nil)
	mustToken(t, p.client(t), p.API().Scope())
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("with roots of before after %v", took)
	}
}
