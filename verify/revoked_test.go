// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
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
