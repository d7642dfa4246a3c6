// SPDX-License-Identifier: MIT

package apponly_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// A file of roots that hangs holds nobody up for long, and is an error only if there
// were no roots yet.
func TestIdentityBindingRootsHang(t *testing.T) {
	for _, before := range []bool{false, true} {
		p := newPod(t)
		if before {
			mustToken(t, p.client(t), p.API().Scope())
		}
		hangOpening(t, p.roots)
		p.cache = apponly.NewCache(nil)
		began := time.Now()
		_, err := p.client(t).Token(t.Context(), p.API().Scope())
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("after %v", took)
		}
		if before && err != nil {
			t.Error(err)
		} else if !before {
			wantKind(t, err, apponly.ErrCAFile, "AZURE_KUBERNETES_CA_FILE", p.roots)
		}
	}
}

// Without roots in the environment the system's count, which the process reads once.
func TestIdentityBindingSystemRoots(t *testing.T) {
	if scope := os.Getenv("APPONLY_TEST_SCOPE"); scope != "" {
		c, err := apponly.FromEnv(&apponly.Options{IdentityBinding: true})
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, scope)
		return
	}
	p := newPod(t)
	t.Setenv("AZURE_KUBERNETES_CA_FILE", "")
	t.Setenv("APPONLY_TEST_SCOPE", p.API().Scope())
	t.Setenv("SSL_CERT_FILE", p.roots)
	if out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIdentityBindingSystemRoots$").CombinedOutput(); err != nil || len(p.Requests()) != 1 {
		t.Errorf("%v after %d requests\n%s", err, len(p.Requests()), out)
	}
}
