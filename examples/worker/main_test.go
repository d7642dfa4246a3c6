// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

// The program as it is, only that its 24 seconds take no time. When a token is
// renewed is drawn at random, so once is not enough.
func TestNoCallFails(t *testing.T) {
	tmp := kittest.Isolate(t)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			entra := entratest.New(t)
			first := entra.Secret()
			var out kittest.Output
			start := time.Now()
			if err := watch(t.Context(), &out, usual, entra); err != nil {
				t.Fatalf("run: %v\n%s", err, &out)
			}
			if took := time.Since(start); took != usual.end {
				t.Errorf("took %v, want %v", took, usual.end)
			}
			kittest.WantLines(t, out.String(),
				"0.0 s  a new token (", "good for 20s",
				"6.2 s  * Entra is out of order", "; the worker is ready)",
				"no new token (", "entra could not answer properly, HTTP status 503",
				"14.2 s  * Entra is back (29 calls so far, 0 failed; the worker is degraded)",
				"16.2 s  * the secret is rotated",
				"Entra took the new secret for the first time",
				"a new token",
				"24.2 s  * stopped after 49 calls; 0 failed",
			)
			if strings.Contains(out.String(), "a call failed") {
				t.Errorf("a call failed:\n%s", &out)
			}
			kittest.WantNoSecrets(t, out.String(), first, entra.Secret())
			wantRotated(t, entra)
		})
	}
	kittest.WantEmpty(t, tmp)
}

// wantRotated fails the test unless Entra gave tokens after the rotation and
// refused nothing: nobody has come with the old secret.
func wantRotated(t *testing.T, entra *entratest.Server) {
	t.Helper()
	tokens, refused := 0, 0
	for _, r := range entra.Requests() {
		switch {
		case r.AuthMethod == "":
		case r.Status == 200 && r.Time.After(entra.Requests()[0].Time.Add(usual.rotation)):
			tokens++
		case r.Status != 200:
			refused++
		}
	}
	if tokens == 0 || refused > 0 {
		t.Errorf("after the rotation %d tokens, in all %d refusals; want some and none", tokens, refused)
	}
}

// What is asserted above is not true of every scenario.
func TestAnOutageBeyondTheTokensLife(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		plan := scenario{outage: 6 * time.Second, recovery: 60 * time.Second, rotation: 80 * time.Second, end: 100 * time.Second}
		var out kittest.Output
		err := watch(t.Context(), &out, plan, entra)
		if err == nil || !strings.Contains(err.Error(), "calls failed") {
			t.Fatalf("run = %v, want that calls failed\n%s", err, &out)
		}
		kittest.WantLines(t, out.String(), "a call failed: ", string(apponly.ErrService), "* Entra is back", "; the worker is not-ready)", "a new token (", "* the secret is rotated", "took the new secret")
		kittest.WantNoSecrets(t, out.String()+err.Error(), entra.Secret())
	})
}

// Ctrl-C: what has begun is done, nothing is left behind, and it is no error.
func TestStops(t *testing.T) {
	tmp := kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(1200*time.Millisecond, cancel)
		var out kittest.Output
		if err := run(ctx, &out, usual); err != nil {
			t.Fatalf("run: %v", err)
		}
		kittest.WantLines(t, out.String(), "1.2 s  * stopped after 3 calls; 0 failed")
	})
	kittest.WantEmpty(t, tmp)
}

func TestARefusedSecretIsNoSecret(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		secret := entra.Secret()
		entra.App().RemoveSecret(secret)
		var out kittest.Output
		if err := watch(t.Context(), &out, scenario{outage: 0, recovery: 0, rotation: time.Minute, end: 10 * time.Second}, entra); err == nil {
			t.Error("run: no error")
		}
		kittest.WantLines(t, out.String(), "no new token (", "client secret is not one of the app's, HTTP status 401", "a call failed")
		kittest.WantNoSecrets(t, out.String(), secret)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, io.Discard, usual); !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want context.Canceled", err)
	}
}
