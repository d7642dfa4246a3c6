// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
)

// Which token is refused decides whether another one is worth a request.
func TestAnotherTokenIsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(24 * time.Hour)
		c := s.client(t)
		scope := s.API().Scope()
		old := mustToken(t, c, scope)
		force(t, c, scope)
		tok := mustToken(t, c, scope)
		check := func(what string, req apponly.TokenRequest, requests int) {
			t.Helper()
			time.Sleep(6 * time.Minute) // out of any gap
			req.Scope = scope
			before := s.requests()
			got, err := c.TokenFor(t.Context(), req)
			if err != nil || got == old || (got == tok) != (requests == 0) || time.Until(got.ExpiresOn()) <= 0 {
				t.Errorf("%s: %v, %v; the cached one: %t", what, got, err, got == tok)
			}
			if n := s.requests() - before; n != requests {
				t.Errorf("%s: %d requests, want %d", what, n, requests)
			}
			tok = mustToken(t, c, scope)
		}
		check("an old one", apponly.TokenRequest{Rejected: old}, 0)
		check("an old one, with claims", apponly.TokenRequest{Rejected: old, Claims: someClaims}, 0)
		check("the cached one", apponly.TokenRequest{Rejected: tok}, 1)
		check("with claims", apponly.TokenRequest{Claims: someClaims}, 1)
		check("the same claims", apponly.TokenRequest{Claims: someClaims}, 0)
		check("other claims", apponly.TokenRequest{Claims: `{"access_token":{}}`}, 1)
		time.Sleep(24 * time.Hour)
		check("an old one, when the cached one has ended", apponly.TokenRequest{Rejected: old}, 1)
	})
}

// A source with a cache of its own brings the refused text again.
func TestTheSameTextIsRefusedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c, err := apponly.FromTokenCredential(&tokenCredential{func(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
			calls++
			return azcore.AccessToken{Token: "a.b.c", ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
		}}, &apponly.Options{Cache: apponly.NewCache(nil)})
		if err != nil {
			t.Fatal(err)
		}
		const scope = "https://api.test/.default"
		tok := mustToken(t, c, scope)
		for want := 2; want < 4; want++ {
			if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Rejected: tok}); err != nil || calls != want {
				t.Errorf("%v, asked %d times, want %d", err, calls, want)
			}
			time.Sleep(time.Minute)
		}
	})
}

// The gap between the requests of a resource that refuses each token doubles from
// ten seconds to five minutes.
func TestGapDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(24 * time.Hour)
		c := s.client(t)
		tok := mustToken(t, c, s.API().Scope())
		var gaps []time.Duration
		last := time.Now()
		for len(gaps) < 9 {
			next, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Rejected: tok})
			if err != nil {
				t.Fatal(err)
			}
			if next != tok {
				gaps = append(gaps, time.Since(last)/time.Second)
				tok, last = next, time.Now()
			}
			time.Sleep(time.Second)
		}
		if want := []time.Duration{0, 10, 20, 40, 80, 160, 300, 300, 300}; !slices.Equal(gaps, want) {
			t.Errorf("asked after %d seconds, want %d", gaps, want)
		}
	})
}

// Inside the gap the cached token is the answer, if there is none what went wrong.
func TestInsideTheGap(t *testing.T) {
	for name, req := range map[string]apponly.TokenRequest{"forced": {Force: true}, "claims": {Claims: someClaims}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				refuse := status(400, `{"error":"unauthorized_client","error_codes":[700016]}`)
				req.Scope = s.API().Scope()

				c := s.client(t)
				s.setFault(refuse)
				for remembered := range 3 {
					_, err := c.TokenFor(t.Context(), req)
					wantKind(t, err, apponly.ErrAppNotFound)
					if e, ok := err.(*apponly.Error); ok && e.Remembered != (remembered > 0) {
						t.Errorf("cold, time %d: remembered %t", remembered+1, e.Remembered)
					}
				}
				if n := s.requests(); n != 1 {
					t.Errorf("cold: %d requests, want 1", n)
				}

				c = s.client(t)
				s.setFault(nil)
				tok := mustToken(t, c, req.Scope)
				s.setFault(refuse)
				before := s.requests()
				_, err := c.TokenFor(t.Context(), req)
				wantKind(t, err, apponly.ErrAppNotFound)
				if got, err := c.TokenFor(t.Context(), req); got != tok || err != nil {
					t.Errorf("with a token: %v, %v; want it", got, err)
				}
				if n := s.requests() - before; n != 1 {
					t.Errorf("with a token: %d requests, want 1", n)
				}
			})
		})
	}
}

// What Force is told counts for who does not force.
func TestForcedRefusalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.with(t, apponly.Secret("not-the-secret"))
		wantKind(t, tryForce(t, c, s.API().Scope()), apponly.ErrSecretInvalid)
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrSecretInvalid)
		if n := s.requests(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

// A server's word holds for Force, too; and who forces waits, and is retried for.
func TestForceHeedsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		scope := s.API().Scope()
		tok := mustToken(t, c, scope)
		force := apponly.TokenRequest{Scope: scope, Force: true}
		s.setFault(status(429, "{}", "Retry-After", "600"))
		if _, err := c.TokenFor(t.Context(), force); err == nil {
			t.Fatal("not throttled")
		}
		s.setFault(nil)
		before := s.requests()
		for range 20 {
			time.Sleep(20 * time.Second)
			if got, err := c.TokenFor(t.Context(), force); got != tok || err != nil {
				t.Errorf("%v, %v; want the cached token", got, err)
			}
		}
		if n := s.requests() - before; n != 0 {
			t.Errorf("%d requests within Retry-After", n)
		}

		time.Sleep(10 * time.Minute)
		first := true
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if first {
				first = false
				return status(503, "")(r)
			}
			return nil, nil
		})
		if got, err := c.TokenFor(t.Context(), force); got == tok || err != nil {
			t.Errorf("one 503: %v, %v; want another token", got, err)
		}
	})
}
