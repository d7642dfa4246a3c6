// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

// TestRememberedTokenEnds, whichever way the clock goes: that of the bubble is 26
// years behind the one before it.
func TestRememberedTokenEnds(t *testing.T) {
	k := newSigner("k1")
	old := setup{}.open(t)
	young := k.token(claims(nil))
	if _, err := old.Verify(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := old.Verify(t.Context(), young); !errors.Is(err, verify.ErrNotYetValid) {
			t.Errorf("before it begins: %v", err)
		}
		v, token := setup{}.open(t), k.token(claims(fields{"exp": time.Now().Unix() + 100}))
		for _, c := range []struct {
			wait time.Duration
			want error
		}{{0, nil}, {159 * time.Second, nil}, {time.Second, verify.ErrExpired}} {
			time.Sleep(c.wait)
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		}
	})
}

// TestRevokedInDialogue: the client side answers what the API side asks for.
func TestRevokedInDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second / 3) // tokens have whole seconds
		sts := entratest.New(t)
		var since atomic.Pointer[time.Time]
		v, err := verify.New(sts.API().AppID(), []verify.Rule{{Tenant: sts.Tenant().ID(), Roles: []string{"Data.Read.All"}}}, &verify.Options{
			Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), AppIDURIs: []string{sts.API().URI()},
			Revoked: func(context.Context, *verify.Caller) (time.Time, bool) {
				if at := since.Load(); at != nil {
					return *at, true
				}
				return time.Time{}, false
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), CAE: true})
		if err != nil {
			t.Fatal(err)
		}
		rt, err := apponly.NewTransport(client, sts.API().Scope(), &apponly.TransportOptions{Base: memhttp.New(v.Middleware(welcome)), Hosts: []string{"api.example"}})
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3; n++ {
			resp, err := (&http.Client{Transport: rt}).Get("https://api.example/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || sts.TokenRequests() != n {
				t.Errorf("%d: status %s after %d token requests", n, resp.Status, sts.TokenRequests())
			}
			time.Sleep(time.Minute)
			since.Store(new(time.Now()))
			time.Sleep(time.Second)
		}
	})
}
