// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// Two requests for one key overlap; whichever way they end, the better token stays,
// everybody gets what was asked for, and a failure beside a token that has come in
// the meantime counts for nothing.
func TestOverlappingRequests(t *testing.T) {
	type timing struct{ starts, takes time.Duration }
	ok, fails := status(200, ""), status(503, "")
	refused := status(400, `{"error":"invalid_client","error_codes":[7000215]}`)
	for name, tc := range map[string]struct {
		ordinary, bypass                timing
		ordinaryAnswers, bypassAnswers  func(*http.Request) (*http.Response, error)
		req                             apponly.TokenRequest
		stays                           string // whose token is cached in the end
		ordinaryCallerGets, bypassFails bool
	}{
		"the ordinary one is older":                {timing{0, 10 * time.Second}, timing{time.Second, time.Second}, ok, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", true, false},
		"and fails":                                {timing{0, 10 * time.Second}, timing{time.Second, time.Second}, fails, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", true, false},
		"and is refused":                           {timing{0, 10 * time.Second}, timing{time.Second, time.Second}, refused, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", true, false},
		"and hangs":                                {timing{0, time.Hour}, timing{time.Second, time.Second}, ok, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", true, false},
		"the one with claims is older":             {timing{time.Second, time.Second}, timing{0, 8 * time.Second}, ok, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", true, false},
		"and fails, too":                           {timing{time.Second, time.Second}, timing{0, 8 * time.Second}, ok, refused, apponly.TokenRequest{Claims: someClaims}, "ordinary", true, true},
		"the ordinary one fails before the claims": {timing{time.Second, time.Second}, timing{0, 8 * time.Second}, refused, ok, apponly.TokenRequest{Claims: someClaims}, "bypass", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(time.Hour)
				c := s.client(t)
				scope := s.API().Scope()
				s.setFault(func(r *http.Request) (*http.Response, error) {
					at, answer := tc.ordinary, tc.ordinaryAnswers
					if strings.Contains(bodyAgain(r), "claims=") {
						at, answer = tc.bypass, tc.bypassAnswers
					}
					got, err := answer(r)
					if got.StatusCode == 200 {
						got, err = s.Server.HTTPClient().Transport.RoundTrip(r) // issued now, on its way for a while
					}
					select {
					case <-time.After(at.takes):
						return got, err
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})
				req := tc.req
				req.Scope = scope
				var wg sync.WaitGroup
				var ordinary, bypass apponly.Token
				var ordinaryErr, bypassErr error
				wg.Go(func() {
					time.Sleep(tc.ordinary.starts)
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // nobody waits for a flight that hangs while there is a token
					defer cancel()
					ordinary, ordinaryErr = c.Token(ctx, scope)
				})
				wg.Go(func() { time.Sleep(tc.bypass.starts); bypass, bypassErr = c.TokenFor(t.Context(), req) })
				wg.Wait()
				if (ordinaryErr == nil) != tc.ordinaryCallerGets || (bypassErr != nil) != tc.bypassFails {
					t.Errorf("ordinary: %v; bypass: %v", ordinaryErr, bypassErr)
				}
				s.setFault(nil)
				before := s.requests()
				want := map[string]apponly.Token{"ordinary": ordinary, "bypass": bypass}[tc.stays]
				if got := mustToken(t, c, scope); got != want || s.requests() != before {
					t.Errorf("the cached token is not that of the %s request", tc.stays)
				}
				if st := c.Status()[0]; st.Failures != 0 || st.LastError != nil || time.Until(st.NextTry) < time.Minute {
					t.Errorf("status = %+v", st)
				}
				if n := testing.AllocsPerRun(10, func() { c.Token(t.Context(), scope) }); n != 0 {
					t.Errorf("%v allocations: no hit", n)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// A role was granted: the token that Force brings stays, and one whose request was
// overtaken by a newer one does not replace it.
func TestForceIsNotOvertakenByARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		scope := s.API().Scope()
		old := mustToken(t, c, scope)
		time.Sleep(time.Until(old.RefreshOn()) - time.Second)
		var n atomic.Int64
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if n.Add(1) > 1 {
				return nil, nil
			}
			time.Sleep(9 * time.Second) // the forced one is slow
			return nil, errors.New("lost")
		})
		var forced apponly.Token
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { forced, err = c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true}) })
		time.Sleep(2 * time.Second)
		mustToken(t, c, scope) // stale: a refresh runs beside it
		synctest.Wait()
		refreshed := mustToken(t, c, scope)
		wg.Wait()
		if err != nil || refreshed == old || mustToken(t, c, scope) != refreshed || forced != refreshed {
			t.Errorf("%v; refreshed: %t; the newer one stayed: %t, and was the answer: %t", err, refreshed != old, mustToken(t, c, scope) == refreshed, forced == refreshed)
		}
	})
}
