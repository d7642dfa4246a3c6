// SPDX-License-Identifier: MIT

package flight_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

func TestRun(t *testing.T) {
	fault := errors.New("fault")
	for name, tc := range map[string]struct {
		fn   func(context.Context) (int, error)
		want string
	}{
		"returns":  {func(context.Context) (int, error) { return 7, nil }, ""},
		"fails":    {func(context.Context) (int, error) { return 0, fault }, "fault"},
		"panics":   {func(context.Context) (int, error) { panic("secret") }, "the function panicked"},
		"ends":     {func(context.Context) (int, error) { runtime.Goexit(); return 7, nil }, "the function ended its goroutine instead of returning"},
		"heeds":    {func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, fault }, "fault"},
		"ignores":  {func(context.Context) (int, error) { time.Sleep(time.Hour); return 7, nil }, "the function did not return in time"},
		"too late": {func(ctx context.Context) (int, error) { <-ctx.Done(); time.Sleep(time.Second); return 7, nil }, "the function did not return in time"},
		"in grace": {func(ctx context.Context) (int, error) { <-ctx.Done(); time.Sleep(flight.Grace / 2); return 7, nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				v, err := flight.Run(ctx, nil, "the function", tc.fn)
				if tc.want == "" {
					if v != 7 || err != nil {
						t.Errorf("Run = %d, %v", v, err)
					}
				} else if err == nil || err.Error() != tc.want {
					t.Errorf("Run = %d, %v, want %s", v, err, tc.want)
				}
				time.Sleep(time.Hour) // whatever still runs returns
			})
		})
	}
}

// A callback that hangs costs one goroutine, and is called again once it has
// returned.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Guard
		var calls atomic.Int32
		fn := func(context.Context) (int, error) {
			if calls.Add(1) == 1 {
				time.Sleep(time.Minute)
			}
			return 0, nil
		}
		try := func() error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("our own reason"))
			defer cancel()
			_, err := flight.Run(ctx, &g, "the function", fn)
			return err
		}
		err := try()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first call: %v", err)
		}
		if err := try(); err == nil || err.Error() != "the function is still running from an earlier call" || calls.Load() != 1 {
			t.Errorf("while it hangs: %v, %d calls", err, calls.Load())
		}
		time.Sleep(time.Minute)
		if err := try(); err != nil || calls.Load() != 2 {
			t.Errorf("once it has returned: %v, %d calls", err, calls.Load())
		}
	})
}

func TestDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "span"))
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{})
		cause := flight.TimeoutError("time is up")
		detached, cancel := flight.Detach(ctx, time.Minute, cause)
		defer cancel()
		leave()
		if detached.Err() != nil || detached.Value(key{}) != "span" {
			t.Errorf("after the caller left: %v, value %v", detached.Err(), detached.Value(key{}))
		}
		if trace := httptrace.ContextClientTrace(detached); trace != nil && trace.GotConn != nil {
			t.Error("the caller's hooks are kept")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := context.Cause(detached); got != cause || !errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("after a minute: %v", got)
		}
	})
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 15 * time.Second, 19: 15 * time.Second, 1 << 30: 15 * time.Second} {
		least, most := time.Hour, time.Duration(0)
		for range 1000 {
			d := flight.Backoff(time.Second, 15*time.Second, n)
			least, most = min(least, d), max(most, d)
		}
		if least < want/2 || most > want || most-least < want/3 {
			t.Errorf("after %d failures: %v to %v, want %v to %v", n, least, most, want/2, want)
		}
	}
}

// RFC 9110 section 10.2.3. go-retryablehttp sleeps a day when told to.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               -1,
		"soon":                           -1,
		"-1":                             -1,
		"1.5":                            -1,
		"0":                              0,
		" 17 ":                           17 * time.Second,
		"86400":                          time.Hour,
		"99999999999999999999":           time.Hour,
		"9223372037":                     time.Hour, // overflows a Duration
		"Fri, 27 Nov 2026 12:00:30 GMT":  30 * time.Second,
		"Fri, 27 Nov 2026 11:00:00 GMT":  0,
		"Fri, 27 Nov 2027 12:00:00 GMT":  time.Hour,
		"Friday, 27-Nov-26 12:00:30 GMT": 30 * time.Second,
	} {
		got, ok := flight.RetryAfter(http.Header{"Retry-After": {value}}, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("Retry-After: %s = %v, %v; want %v", value, got, ok, want)
		}
	}
}
