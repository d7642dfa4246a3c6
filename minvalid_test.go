// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A session that outlives its login asks for a token with so much left. It costs a
// request when the cached one has less, and no more than any other bypass where
// Entra issues none that lasts so long.
func TestMinValid(t *testing.T) {
	const lifetime = time.Hour
	for name, tc := range map[string]struct {
		wanted   time.Duration
		every    time.Duration
		for_     time.Duration
		callers  int
		requests int // at most
	}{
		"as ever":                  {0, time.Second, 3 * time.Hour, 1, 7},
		"negative":                 {-time.Hour, time.Second, 3 * time.Hour, 1, 7},
		"half the lifetime":        {30 * time.Minute, time.Minute, 3 * time.Hour, 1, 8},
		"nearly all of it":         {59 * time.Minute, time.Minute, 3 * time.Hour, 1, 185},
		"more than there is":       {2 * time.Hour, 100 * time.Millisecond, time.Hour, 1, 18},
		"all of it":                {time.Hour, time.Second, 10 * time.Minute, 1, 62},
		"many, more than there is": {1000 * time.Hour, time.Second, time.Hour, 50, 18},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(lifetime)
				c := s.client(t)
				var wg sync.WaitGroup
				for began := time.Now(); time.Since(began) < tc.for_; time.Sleep(tc.every) {
					for range tc.callers {
						wg.Go(func() {
							tok, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), MinValid: tc.wanted})
							if err != nil {
								t.Error(err)
								return
							}
							if left := time.Until(tok.ExpiresOn()); left <= 0 || tc.wanted < lifetime && left < tc.wanted {
								t.Errorf("%v left, wanted %v", left, tc.wanted)
							}
						})
					}
					wg.Wait()
				}
				if n := s.requests(); n > tc.requests {
					t.Errorf("%d requests, want at most %d", n, tc.requests)
				}
			})
		})
	}
}

// No call fails for a wish: the cached token is the answer while no better can be
// had, and what has ended is not.
func TestMinValidIsAWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		tok := mustToken(t, c, s.API().Scope())
		wish := apponly.TokenRequest{Scope: s.API().Scope(), MinValid: 59 * time.Minute}
		time.Sleep(2 * time.Minute)

		s.setFault(status(503, ""))
		if got, err := c.TokenFor(t.Context(), wish); got != tok || err != nil {
			t.Errorf("Entra is down: %v, %v", got, err)
		}
		time.Sleep(time.Minute)
		s.setFault(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := c.TokenFor(ctx, wish); got != tok || err != nil {
			t.Errorf("the caller is in a hurry: %v, %v", got, err)
		}
		if _, err := c.TokenFor(ctx, wish); err != nil {
			t.Errorf("and has left: %v", err)
		}
		if st := c.Status()[0]; st.Failures != 0 {
			t.Errorf("status = %+v", st)
		}
		time.Sleep(time.Hour)
		if got, err := c.TokenFor(t.Context(), wish); err == nil {
			t.Errorf("it has ended: %v", got)
		}
		s.setFault(nil)
		time.Sleep(time.Minute)
		if got, err := c.TokenFor(t.Context(), wish); err != nil || got == tok {
			t.Errorf("Entra is back: %v, %v", got, err)
		}

		// A hit costs what Token costs.
		wish.MinValid = 10 * time.Minute
		if n := testing.AllocsPerRun(100, func() { c.TokenFor(t.Context(), wish) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		// With Rejected it is one condition more.
		now := mustToken(t, c, s.API().Scope())
		time.Sleep(50 * time.Minute)
		both := apponly.TokenRequest{Scope: s.API().Scope(), MinValid: 30 * time.Minute, Rejected: tok}
		if got, err := c.TokenFor(t.Context(), both); err != nil || got == now || time.Until(got.ExpiresOn()) < 30*time.Minute {
			t.Errorf("another than the refused one, with too little left: %v, %v", got, err)
		}
		time.Sleep(time.Minute)
	})
}
