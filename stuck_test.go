// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A round trip that ignores its context and never returns does not silence its key
// for good, whichever round trips do.
func TestRoundTripThatNeverReturns(t *testing.T) {
	for name, tc := range map[string]struct {
		hangs func(n int64) bool // of the nth, from 1
		warm  bool
		least int // of 144 calls, one each ten minutes
		stuck int64
	}{
		"the first":            {func(n int64) bool { return n == 1 }, false, 143, 1},
		"the first refresh":    {func(n int64) bool { return n == 2 }, true, 144, 1},
		"the first three":      {func(n int64) bool { return n <= 3 }, false, 130, 3},
		"each fifth, for ever": {func(n int64) bool { return n%5 == 0 }, true, 80, 5},
		"all":                  {func(int64) bool { return true }, false, 0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(time.Hour)
				var n, stuck atomic.Int64
				release := make(chan struct{})
				s.setFault(func(*http.Request) (*http.Response, error) {
					if tc.hangs(n.Add(1)) {
						stuck.Add(1)
						<-release
					}
					return nil, nil
				})
				c := s.client(t)
				if tc.warm {
					mustToken(t, c, s.API().Scope())
				}
				worked := 0
				for range 144 {
					if _, err := c.Token(t.Context(), s.API().Scope()); err == nil {
						worked++
					} else if !c.Status()[0].NextTry.After(time.Now()) {
						t.Error("no next try")
					}
					time.Sleep(10 * time.Minute)
				}
				if worked < tc.least || stuck.Load() > tc.stuck {
					t.Errorf("%d of 144 calls had a token, %d round trips are stuck; want at least %d and at most %d", worked, stuck.Load(), tc.least, tc.stuck)
				}
				close(release)
				time.Sleep(time.Hour)
				mustToken(t, c, s.API().Scope())
			})
		})
	}
}

// After a sleep of the machine, in which only the wall clock goes on, what is known of
// credentials that failed is over, as it is if that clock is set back.
func TestCooldownEndsByEitherClock(t *testing.T) {
	for name, tc := range map[string]struct {
		wall, mono time.Duration
		want       bool
	}{
		"a moment later":            {time.Second, time.Second, false},
		"five minutes later":        {5*time.Minute + 1, 5*time.Minute + 1, true},
		"after a sleep of hours":    {8 * time.Hour, time.Second, true},
		"a clock that was set back": {-8 * time.Hour, 6 * time.Minute, true},
		"both at once, too early":   {-8 * time.Hour, time.Minute, false},
	} {
		if cooldown, previous := apponly.OverAfter(tc.wall, tc.mono); cooldown != tc.want {
			t.Errorf("%s: a credential is tried again %t, want %t", name, cooldown, tc.want)
		} else if long := tc.wall > 15*time.Minute || tc.mono > 15*time.Minute; previous != long {
			t.Errorf("%s: the previous material has had its time %t, want %t", name, previous, long)
		}
	}
}
