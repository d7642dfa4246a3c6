// SPDX-License-Identifier: MIT

package flight_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

// What waits for others must not be told that its own time is up.
func TestPause(t *testing.T) {
	const cause = flight.TimeoutError("time is up")
	for name, tc := range map[string]struct {
		work func(ctx context.Context)
		want time.Duration // when the context ends
	}{
		"never stopped":  {func(context.Context) {}, 30 * time.Second},
		"stopped once":   {func(ctx context.Context) { pause(ctx, time.Hour) }, time.Hour + 30*time.Second},
		"in between":     {func(ctx context.Context) { time.Sleep(29 * time.Second); pause(ctx, time.Hour) }, time.Hour + 30*time.Second},
		"twice":          {func(ctx context.Context) { pause(ctx, time.Minute); pause(ctx, time.Minute) }, 2*time.Minute + 30*time.Second},
		"within another": {func(ctx context.Context) { resume := flight.Pause(ctx); pause(ctx, time.Minute); resume() }, time.Minute + 30*time.Second},
		"resumed twice":  {func(ctx context.Context) { resume := flight.Pause(ctx); resume(); resume() }, 30 * time.Second},
		"derived contexts": {func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			pause(ctx, time.Minute)
		}, time.Minute + 30*time.Second},
		"after the end": {func(ctx context.Context) { <-ctx.Done(); pause(ctx, time.Minute) }, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := flight.Detach(t.Context(), 30*time.Second, cause)
				defer cancel()
				child, leave := context.WithTimeout(ctx, 100*time.Hour)
				defer leave()
				start := time.Now()
				var took time.Duration
				defer context.AfterFunc(ctx, func() { took = time.Since(start) })()
				tc.work(ctx)
				<-child.Done()
				synctest.Wait()
				if took != tc.want {
					t.Errorf("ended after %v, want %v", took, tc.want)
				}
				for _, c := range []context.Context{ctx, child} {
					if c.Err() != context.DeadlineExceeded || context.Cause(c) != cause {
						t.Errorf("ended with %v, cause %v", c.Err(), context.Cause(c))
					}
				}
			})
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	resume := flight.Pause(ctx)
	defer resume()
	time.Sleep(d)
}

func TestPauseShowsInTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := flight.Detach(t.Context(), 30*time.Second, nil)
		defer cancel()
		time.Sleep(10 * time.Second)
		resume := flight.Pause(ctx)
		time.Sleep(time.Hour)
		if at, ok := ctx.Deadline(); !ok || time.Until(at) != 20*time.Second {
			t.Errorf("%v are left while the clock stands still, want 20s", time.Until(at))
		}
		resume()
		time.Sleep(time.Second)
		if at, ok := ctx.Deadline(); !ok || time.Until(at) != 19*time.Second {
			t.Errorf("%v are left, want 19s", time.Until(at))
		}
		cancel()
		if ctx.Err() != context.Canceled || context.Cause(ctx) != context.Canceled {
			t.Errorf("canceled: %v, %v", ctx.Err(), context.Cause(ctx))
		}
		flight.Pause(context.Background())() // no clock to stop
	})
}
