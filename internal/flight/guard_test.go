// SPDX-License-Identifier: MIT

package flight_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

// A callee is a callback that hangs in some of its calls, for ever or for a time.
type callee struct {
	guard   flight.Guard
	hangs   func(n int) time.Duration // of the nth call, from 1
	mu      sync.Mutex
	n       int
	running int
	most    int // running at once
}

func (c *callee) fn(context.Context) (int, error) {
	c.mu.Lock()
	c.n++
	d := c.hangs(c.n)
	c.running++
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	time.Sleep(d)
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	return 7, nil
}

func (c *callee) call(t *testing.T) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := flight.Run(ctx, &c.guard, "the function", c.fn)
	return err == nil
}

// However calls hang, few are left running, and the callback is not given up.
func TestGuardTriesAgain(t *testing.T) {
	const forEver, day = 1000 * 24 * time.Hour, 24 * time.Hour
	for name, tc := range map[string]struct {
		hangs   func(n int) time.Duration
		callers int
		lasts   time.Duration
		works   time.Duration // after so long every call does, or 0
		most    int           // running at once
		calls   int           // that worked, at least
	}{
		"once, for ever":         {func(n int) time.Duration { return forEver * time.Duration(min(1, 1/n)) }, 1, day, 6 * time.Minute, 2, 1400},
		"twice, for ever":        {func(n int) time.Duration { return forEver * time.Duration(min(1, 2/n)) }, 1, day, 27 * time.Minute, 3, 1400},
		"always":                 {func(int) time.Duration { return forEver }, 1, day, 0, 5, 0},
		"always, for a year":     {func(int) time.Duration { return forEver }, 1, 365 * day, 0, 10, 0},
		"always, an hour":        {func(int) time.Duration { return time.Hour }, 1, day, 0, 3, 0},
		"always, a hundred once": {func(int) time.Duration { return forEver }, 100, day, 0, 104, 0},
		"each tenth, for ever":   {func(n int) time.Duration { return forEver * time.Duration(n%10/9) }, 1, 10 * day, 0, 8, 40},
		"once a day, for ever":   {func(n int) time.Duration { return forEver * time.Duration(n%1500/1499) }, 1, 5 * day, 0, 5, 7000},
		"a moment too long":      {func(int) time.Duration { return 11 * time.Second }, 1, day, 0, 1, 0},
		"never":                  {func(int) time.Duration { return time.Second }, 10, time.Hour, time.Second, 10, 600},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &callee{hangs: tc.hangs}
				defer func() {
					time.Sleep(2 * forEver) // all return
					if !c.guard.Idle() {
						t.Error("not idle although all have returned")
					}
				}()
				began, worked := time.Now(), 0
				for time.Since(began) < tc.lasts {
					var wg sync.WaitGroup
					var mu sync.Mutex
					for range tc.callers {
						wg.Go(func() {
							ok := c.call(t)
							mu.Lock()
							defer mu.Unlock()
							if ok {
								worked++
							} else if tc.works > 0 && time.Since(began) > tc.works {
								t.Errorf("a call failed after %v", time.Since(began))
							}
						})
					}
					wg.Wait()
					time.Sleep(max(time.Minute, tc.lasts/8000))
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.most > tc.most || worked < tc.calls {
					t.Errorf("%d calls at once and %d that worked, want at most %d and at least %d", c.most, worked, tc.most, tc.calls)
				}
			})
		})
	}
}

// A trial is one call, however many are waiting for it.
func TestGuardTriesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &callee{hangs: func(int) time.Duration { return time.Hour }}
		defer time.Sleep(2 * time.Hour)
		c.call(t)
		time.Sleep(10 * time.Minute)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { c.call(t) })
		}
		wg.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.most != 2 {
			t.Errorf("%d calls at once, want the one that hangs and a trial", c.most)
		}
	})
}
