// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/memhttp"
)

// Whatever Entra does, whoever has got the API's 401 is not kept from it for long,
// and Entra is not asked without a pause.
func TestRefusedCallersAreNotHeld(t *testing.T) {
	plain := func(int64) string { return `Bearer error="invalid_token"` }
	challenge := func(claims string) string {
		return `Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`
	}
	silent := func(r *http.Request) (*http.Response, error) { // ignores its context, too
		time.Sleep(90 * time.Second)
		return nil, context.DeadlineExceeded
	}
	for name, tc := range map[string]struct {
		challenge func(n int64) string
		entra     func(*http.Request) (*http.Response, error)
		callers   int
		age       time.Duration // of the token at first
		flights   int64         // in ten minutes, at most
	}{
		"plain":             {plain, hang, 1, 0, 6},
		"claims":            {func(int64) string { return challenge(someClaims) }, hang, 1, 0, 6},
		"many":              {plain, hang, 100, 0, 6},
		"many, with claims": {func(int64) string { return challenge(someClaims) }, hang, 100, 0, 6},
		"two claims":        {func(n int64) string { return challenge(fmt.Sprintf(`{"access_token":{"x":%d}}`, n%2)) }, hang, 2, 0, 12},
		"ever other claims": {func(n int64) string { return challenge(fmt.Sprintf(`{"access_token":{"x":%d}}`, n)) }, hang, 1, 0, 120},
		"overloaded":        {plain, status(503, ""), 10, 0, 12},
		"slow refusal": {plain, func(r *http.Request) (*http.Response, error) {
			time.Sleep(8 * time.Second)
			return status(400, `{"error":"invalid_client","error_codes":[7000215]}`)(r)
		}, 10, 0, 8},
		"ignores all":     {plain, silent, 10, 0, 8},
		"a refresh hangs": {plain, hang, 10, 50 * time.Minute, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(24 * time.Hour)
				if tc.age > 0 {
					s.SetTokenLifetime(65 * time.Minute)
				}
				opts := s.options()
				requests := counting(opts, apponly.EventTokenRequest)
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
				time.Sleep(tc.age)
				var n atomic.Int64
				rt, err := apponly.NewTransport(c, s.API().Scope(), &apponly.TransportOptions{Hosts: []string{"api.test"}, Base: memhttp.New(http.HandlerFunc(
					func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("WWW-Authenticate", tc.challenge(n.Add(1)))
						w.WriteHeader(http.StatusUnauthorized)
						io.WriteString(w, "refused")
					}))})
				if err != nil {
					t.Fatal(err)
				}
				s.setFault(tc.entra)
				var longest atomic.Int64
				var wg sync.WaitGroup
				began := time.Now()
				for range tc.callers {
					wg.Go(func() {
						for time.Since(began) < 10*time.Minute {
							at := time.Now()
							resp, err := (&http.Client{Transport: rt}).Get("https://api.test/")
							if err != nil || resp.StatusCode != http.StatusUnauthorized {
								t.Errorf("%v, %v", resp, err)
								return
							}
							if b, _ := io.ReadAll(resp.Body); string(b) != "refused" {
								t.Errorf("body = %q", b)
							}
							longest.Store(max(longest.Load(), int64(time.Since(at))))
							time.Sleep(time.Second)
						}
					})
				}
				wg.Wait()
				time.Sleep(2 * time.Minute) // for the last token request
				if d := time.Duration(longest.Load()); d > 2100*time.Millisecond {
					t.Errorf("held for %v", d)
				}
				if n := requests.Load() - 1; n < 2 || n > tc.flights {
					t.Errorf("%d token requests in 10 minutes, want at most %d", n, tc.flights)
				}
			})
		})
	}
}

// What the request brings that nobody waited for is there for the next call.
func TestLateTokenIsTheNextCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		revoked := mustToken(t, c, s.API().Scope()).Value()
		s.setDelay(5 * time.Second)
		a := &api{good: func(token string) bool { return token != revoked }}
		h := s.apiClient(t, c, a)
		for i, want := range []int{http.StatusUnauthorized, http.StatusOK} {
			resp, err := h.Get("https://api.test/")
			if err != nil || resp.StatusCode != want {
				t.Fatalf("call %d: %v, %v", i+1, resp, err)
			}
			resp.Body.Close()
			time.Sleep(4 * time.Second)
		}
		if s.requests() != 2 {
			t.Errorf("%d token requests, want 2", s.requests())
		}
	})
}
