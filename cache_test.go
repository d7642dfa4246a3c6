// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// Every test here runs in a synctest bubble where it can: a lock held across
// I/O, or a goroutine left behind, hangs or fails it.

func TestFreshStaleExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		s.setDelay(2 * time.Second)
		c := s.client(t)
		scope := s.API().Scope()
		first := mustToken(t, c, scope)

		time.Sleep(time.Until(first.RefreshOn()) - time.Second)
		if tok := mustToken(t, c, scope); tok != first || s.requests() != 1 {
			t.Errorf("before the refresh time: another token or %d requests, want the first and 1", s.requests())
		}

		time.Sleep(2 * time.Second)
		began := time.Now()
		for range 100 {
			if tok := mustToken(t, c, scope); tok != first {
				t.Error("stale: not the token that is still good")
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("stale: callers waited %v for the refresh", waited)
		}
		time.Sleep(3 * time.Second)
		second := mustToken(t, c, scope)
		if second == first || s.requests() != 2 {
			t.Errorf("after the refresh: the same token or %d requests, want another and 2", s.requests())
		}

		time.Sleep(time.Until(second.ExpiresOn()) - 9*time.Second) // inside the margin
		third := mustToken(t, c, scope)
		if third == second || s.requests() != 3 {
			t.Errorf("expired: the same token or %d requests, want another and 3", s.requests())
		}
	})
}

func TestRefreshIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(24 * time.Hour)
		s.SetRefreshIn(12 * time.Hour)
		for range 20 {
			tok := mustToken(t, s.client(t), s.API().Scope())
			if d := time.Until(tok.RefreshOn()); d < 72*time.Minute || d > 12*time.Hour {
				t.Errorf("refresh_in of 12 h: refresh in %v", d)
			}
		}
		s.SetRefreshIn(24 * time.Hour) // which is none
		for range 20 {
			tok := mustToken(t, s.client(t), s.API().Scope())
			if d := time.Until(tok.RefreshOn()); d > 18*time.Hour {
				t.Errorf("refresh_in of the lifetime: refresh in %v", d)
			}
		}
	})
}

// The first token of a key is drawn widely, and so is the first after a failure.
func TestRefreshTimeOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const base = 45 * time.Minute // of an hour
		var down atomic.Bool
		c := apponly.NewFake("t", apponly.NewCache(nil), func(context.Context, string, string) (string, time.Duration, error) {
			if down.Load() {
				return "", 0, errors.New("down")
			}
			return "token", time.Hour, nil
		}, nil)
		// least returns when the earliest of 200 keys is refreshed.
		least := func(req apponly.TokenRequest) time.Duration {
			first := time.Hour
			for i := range 200 {
				req.Scope = fmt.Sprintf("https://%d.example/.default", i)
				tok, err := c.TokenFor(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				first = min(first, time.Until(tok.RefreshOn()))
			}
			return first
		}
		if d := least(apponly.TokenRequest{}); d < base/10 || d > base/4 {
			t.Errorf("the first tokens: refresh from %v", d)
		}
		time.Sleep(10 * time.Second)
		if d := least(apponly.TokenRequest{Force: true}); d < base*3/4 {
			t.Errorf("their successors: refresh from %v", d)
		}
		down.Store(true)
		time.Sleep(base)
		least(apponly.TokenRequest{}) // each tries once
		synctest.Wait()
		down.Store(false)
		time.Sleep(time.Second)
		least(apponly.TokenRequest{})
		synctest.Wait()
		if d := least(apponly.TokenRequest{}); d < base/4 || d > base/2 {
			t.Errorf("after a failure: refresh from %v", d)
		}
	})
}

// A thousand callers on a cold key ask once. MSAL Go asks a thousand times.
func TestColdHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(50 * time.Millisecond)
		c := s.client(t)
		tenants := []string{s.Tenant().ID()}
		opts := s.options()
		opts.AllowedTenants = []string{"*"}
		all, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 19 {
			tenant := s.AddTenant()
			tenant.Install(s.App())
			tenant.Provide(s.API())
			tenants = append(tenants, tenant.ID())
		}
		for name, run := range map[string]struct {
			call func(i int) error
			want int
		}{
			"one key": {func(int) error { _, err := c.Token(t.Context(), s.API().Scope()); return err }, 1},
			"20 tenants": {func(i int) error {
				v, err := all.Tenant(tenants[i%20])
				if err == nil {
					_, err = v.Token(t.Context(), s.API().Scope())
				}
				return err
			}, 20},
		} {
			before, began := s.requests(), time.Now()
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() {
					if err := run.call(i); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := s.requests() - before; n != run.want {
				t.Errorf("%s: %d requests, want %d", name, n, run.want)
			}
			if d := time.Since(began); d > 60*time.Millisecond {
				t.Errorf("%s: done after %v, want 50 ms", name, d)
			}
		}
		before := s.requests()
		for range 100 {
			mustToken(t, c, s.API().Scope())
		}
		if n := s.requests() - before; n != 0 {
			t.Errorf("cached: %d requests", n)
		}
	})
}

// azidentity holds one lock over the network for all tenants of a credential,
// and a waiter with a deadline waits for the leader all the same.
func TestWaitersLeaveOnTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		scope := s.API().Scope()
		s.setDelay(2 * time.Second)

		cause := errors.New("the job was cancelled")
		leader, cancel := context.WithCancelCause(t.Context())
		leaderDone := make(chan error, 1)
		go func() { _, err := c.Token(leader, scope); leaderDone <- err }()
		waiterDone := make(chan error, 1)
		synctest.Wait()
		go func() { _, err := c.Token(t.Context(), scope); waiterDone <- err }()

		began := time.Now()
		short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		_, err := c.Token(short, scope)
		if d := time.Since(began); d != 50*time.Millisecond {
			t.Errorf("a waiter with 50 ms returned after %v", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), scope) {
			t.Errorf("a waiter's deadline: %v, want DeadlineExceeded that names the scope", err)
		}
		if _, ok := errors.AsType[*apponly.Error](err); ok {
			t.Errorf("a waiter's deadline is an *Error: %v", err)
		}

		cancel(cause)
		if err := <-leaderDone; !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("the leader: %v, want context.Canceled and its cause", err)
		}
		if err := <-waiterDone; err != nil {
			t.Errorf("a waiter whose leader left: %v", err)
		}
		if s.requests() != 1 {
			t.Errorf("%d requests, want 1", s.requests())
		}

		// Who has left already sends nobody.
		gone, cancelGone := context.WithCancel(t.Context())
		cancelGone()
		if _, err := s.client(t).Token(gone, scope); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: %v", err)
		}
		if s.requests() != 1 {
			t.Errorf("a cancelled caller sent a request")
		}
	})
}

func TestHungTenantDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		opts := s.options()
		opts.AllowedTenants = []string{"*"}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		hung := s.AddTenant()
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, hung.ID()) {
				return hang(r)
			}
			return nil, nil
		})
		view, err := c.Tenant(hung.ID())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		began := time.Now()
		go func() { _, err := view.Token(context.Background(), s.API().Scope()); done <- err }()
		synctest.Wait()
		mustToken(t, c, s.API().Scope())
		if d := time.Since(began); d != 0 {
			t.Errorf("another tenant waited %v", d)
		}
		wantKind(t, <-done, apponly.ErrUnreachable, hung.ID(), "no answer in time")
		if d := time.Since(began); d > 30*time.Second {
			t.Errorf("the hung flight ended after %v, want 30 s at most", d)
		}
	})
}

// azidentity makes 44 requests and its worst caller waits 94 s here; x/oauth2
// fails every call although the token is good.
func TestOutageWithValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		tok := mustToken(t, c, s.API().Scope())
		time.Sleep(time.Until(tok.RefreshOn()) + time.Second)
		s.setFault(status(500, ""))
		before := s.requests()
		worst := load(t, 10, 10*time.Second, func() { mustToken(t, c, s.API().Scope()) })
		if n := s.requests() - before; n > 5 {
			t.Errorf("%d requests in 10 s, want at most 5", n)
		}
		if worst > 0 {
			t.Errorf("the worst call took %v", worst)
		}

		// Until its end, and a success resets the pace.
		for time.Until(tok.ExpiresOn()) > 20*time.Second {
			mustToken(t, c, s.API().Scope())
			time.Sleep(time.Second)
		}
		s.setFault(nil)
		time.Sleep(25 * time.Second)
		if next := mustToken(t, c, s.API().Scope()); next == tok {
			t.Error("after the outage: still the token that has ended")
		}
	})
}

// load runs callers that call ten times a second for a while, and returns how
// long the slowest call took.
func load(t *testing.T, callers int, d time.Duration, call func()) time.Duration {
	t.Helper()
	var worst atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				began := time.Now()
				call()
				if took := int64(time.Since(began)); took > worst.Load() {
					worst.Store(took)
				}
			}
		})
	}
	wg.Wait()
	return time.Duration(worst.Load())
}

func TestOutageWithoutToken(t *testing.T) {
	t.Parallel()
	for range 20 { // the pace is random
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			c := s.client(t)
			s.setFault(status(500, ""))
			_, first := c.Token(t.Context(), s.API().Scope()) // retried inside, while callers wait
			wantKind(t, first, apponly.ErrService, "HTTP 500")
			before := s.requests()
			worst := load(t, 10, 60*time.Second, func() {
				if _, err := c.Token(t.Context(), s.API().Scope()); err == nil || err.Error() != first.Error() {
					t.Errorf("error = %v, want %v", err, first)
				}
			})
			if n := s.requests() - before; n > 11 { // and the first one
				t.Errorf("%d exchanges in 60 s, want at most 12", n+1)
			}
			if worst > 0 {
				t.Errorf("the worst call took %v", worst)
			}
		})
	}
}

// An outage that began behind a good token is asked about anew once that has
// ended: callers wait then, and must not wait for the pace of minutes.
func TestPaceOnceTheTokenHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(10 * time.Minute)
		c, scope := s.client(t), s.API().Scope()
		tok := mustToken(t, c, scope)
		s.setFault(status(503, ""))
		var err error
		for time.Until(tok.ExpiresOn()) > 10*time.Second {
			if _, err = c.Token(t.Context(), scope); err != nil {
				t.Fatalf("with a token that is good: %v", err)
			}
			time.Sleep(time.Second)
		}
		for want := time.Second; want <= 4*time.Second; want *= 2 {
			_, err := c.Token(t.Context(), scope)
			wait := time.Until(asError(t, err).RetryAt)
			if wait > want {
				t.Errorf("asked again in %v, want %v at most", wait, want)
			}
			time.Sleep(wait)
		}
		s.setFault(nil)
		mustToken(t, c, scope)
	})
}

// Every peer repeats a permanent refusal for every call.
func TestPermanentRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, "not-the-secret")
		c := s.with(t, apponly.SecretFile(path))
		scope := s.API().Scope()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := c.Token(t.Context(), scope)
				wantKind(t, err, apponly.ErrSecretInvalid, "AADSTS7000215")
			})
		}
		wg.Wait()
		var last error
		for range 100 {
			_, last = c.Token(t.Context(), scope)
			wantKind(t, last, apponly.ErrSecretInvalid)
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.requests(); n > 3 {
			t.Errorf("%d requests, want at most 3", n)
		}
		if e, ok := errors.AsType[*apponly.Error](last); !ok || !e.Remembered || !e.RetryAt.After(time.Now().Add(-time.Second)) {
			t.Errorf("the last refusal = %+v, want it remembered, with RetryAt", last)
		}

		// Memory lasts minutes by now; a new file ends it within a second.
		before := s.requests()
		for range 3600 {
			time.Sleep(time.Second)
			c.Token(t.Context(), scope)
		}
		if n := s.requests() - before; n < 12 || n > 30 { // 300 s apart at most, 225 on average
			t.Errorf("%d requests in an hour", n)
		}
		time.Sleep(5 * time.Minute)
		c.Token(t.Context(), scope)
		before = s.requests()
		if _, err := c.Token(t.Context(), scope); err == nil || s.requests() != before {
			t.Fatalf("the refusal is not remembered: %v", err)
		}
		write(t, path, s.Secret()+"\n")
		time.Sleep(time.Second)
		mustToken(t, c, scope)
	})
}

// A refused file is looked at once a second, however many ask, and only a change
// of it is worth a request.
func TestRefusedFileIsLookedAtOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, "not-the-secret")
		c := s.with(t, apponly.SecretFile(path))
		get := func() error {
			_, err := c.Token(t.Context(), s.API().Scope())
			return err
		}
		get()
		for range 8 { // until memory lasts minutes
			time.Sleep(5 * time.Minute)
			get()
		}
		before := s.requests()
		time.Sleep(time.Second)
		unchanged := get()
		write(t, path, s.Secret())
		time.Sleep(100 * time.Millisecond)
		if tooEarly := get(); unchanged == nil || tooEarly == nil || s.requests() != before {
			t.Errorf("unchanged: %v; looked at 100 ms ago: %v; %d requests", unchanged, tooEarly, s.requests()-before)
		}

		s.setFault(func(*http.Request) (*http.Response, error) {
			if st := c.Status(); st[0].NextTry.After(time.Now()) {
				t.Errorf("under way, and the next try is in %v", time.Until(st[0].NextTry))
			}
			return nil, nil
		})
		began := time.Now()
		for get() != nil && time.Since(began) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(began); d != 900*time.Millisecond {
			t.Errorf("with a call each 100 ms the change was seen after %v, want 900ms", d)
		}
	})
}

// write replaces a file by rename, as an editor or a volume mount does.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestRetryAfterIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		s.setFault(status(429, "Too Many Requests", "Retry-After", "60", "Content-Type", "text/plain"))
		for i := range 590 {
			_, err := c.Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrThrottled)
			if e, _ := errors.AsType[*apponly.Error](err); e == nil || e.Remembered != (i > 0) || e.RetryAt.IsZero() {
				t.Fatalf("call %d: %+v", i, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if s.requests() != 1 {
			t.Errorf("%d requests within Retry-After, want 1", s.requests())
		}
		s.setFault(nil)
		time.Sleep(10 * time.Second)
		mustToken(t, c, s.API().Scope())
	})
}

// Retry-After holds for an hour at most, with jitter so that a fleet does not come
// back in step, and beyond the end of a token.
func TestRetryAfterIsKeptTo(t *testing.T) {
	for told, want := range map[string][2]time.Duration{
		"600":   {10 * time.Minute, 11 * time.Minute},
		"86400": {54 * time.Minute, time.Hour},
	} {
		s := newSTS(t) // in no bubble: time passes between the answer and what is made of it
		s.setFault(status(429, "{}", "Retry-After", told))
		var all []time.Duration
		for range 20 {
			_, err := s.client(t).Token(t.Context(), s.API().Scope())
			d := time.Until(asError(t, err).RetryAt).Round(time.Second)
			if d < want[0] || d > want[1] {
				t.Errorf("Retry-After %s: in %v, want %v to %v", told, d, want[0], want[1])
			}
			all = append(all, d)
		}
		if slices.Min(all) == slices.Max(all) {
			t.Errorf("Retry-After %s: in %v, each time", told, all[0])
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		tok := mustToken(t, c, s.API().Scope())
		time.Sleep(50 * time.Minute)
		s.setFault(status(429, "{}", "Retry-After", "3000"))
		mustToken(t, c, s.API().Scope())
		synctest.Wait()
		before := s.requests()
		time.Sleep(time.Until(tok.ExpiresOn()))
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrThrottled)
		if n := s.requests() - before; n != 0 {
			t.Errorf("%d requests within Retry-After, for the token has ended", n)
		}
	})
}

// A server that says "at once" for ever gets no more requests than one that
// says nothing.
func TestRetryAfterZeroIsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		s.setFault(status(503, "", "Retry-After", "0"))
		c.Token(t.Context(), s.API().Scope())
		before := s.requests()
		load(t, 10, time.Minute, func() { c.Token(t.Context(), s.API().Scope()) })
		if n := s.requests() - before; n > 11 {
			t.Errorf("%d requests in a minute, want at most 11", n)
		}
	})
}

func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		scope := s.API().Scope()
		first := mustToken(t, c, scope)
		force := apponly.TokenRequest{Scope: scope, Force: true}
		for range 100 {
			if _, err := c.TokenFor(t.Context(), force); err != nil {
				t.Fatal(err)
			}
		}
		if s.requests() != 2 {
			t.Errorf("%d requests, want 2", s.requests())
		}
		if tok := mustToken(t, c, scope); tok == first {
			t.Error("the forced token did not replace the cached one")
		}
		for i := range 5 { // not taken for a resource that refuses each one
			time.Sleep(10 * time.Second)
			if _, err := c.TokenFor(t.Context(), force); err != nil || s.requests() != 3+i {
				t.Errorf("forced again after 10 s: %v, %d requests", err, s.requests())
			}
		}

		// A remembered refusal is no obstacle.
		other := s.with(t, apponly.Secret("not-the-secret"))
		_, err := other.Token(t.Context(), scope)
		wantKind(t, err, apponly.ErrSecretInvalid)
		s.App().AddSecret("not-the-secret", time.Now().Add(time.Hour))
		if _, err := other.Token(t.Context(), scope); err == nil {
			t.Error("the refusal was not remembered")
		}
		if _, err := other.TokenFor(t.Context(), force); err != nil {
			t.Errorf("forced past a refusal: %v", err)
		}
	})
}

// A resource that always answers 401 makes azcore drop the token each time.
func TestResourceThatAlwaysRejects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		scope := s.API().Scope()
		tok := mustToken(t, c, scope)
		for range 600_000 {
			next, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Rejected: tok})
			if err != nil {
				t.Fatal(err)
			}
			tok = next
			time.Sleep(time.Millisecond)
		}
		if n := s.requests(); n > 12 {
			t.Errorf("%d token requests in 10 minutes, want at most 12", n)
		}
		if mustToken(t, c, scope) != tok {
			t.Error("the cached token is gone")
		}
		// And when the STS is down as well, nothing is dropped.
		s.setFault(status(503, ""))
		time.Sleep(10 * time.Minute)
		if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Rejected: tok}); err == nil {
			t.Error("a token came from an STS that is down")
		}
		if mustToken(t, c, scope) != tok {
			t.Error("the cached token was dropped on a resource's word")
		}
		if st := c.Status()[0]; st.Failures != 0 || st.LastError != nil {
			t.Errorf("what asked past the cache shows as a failed refresh: %+v", st)
		}
	})
}

func TestRejectedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		scope := s.API().Scope()
		tok := mustToken(t, c, scope)
		s.setDelay(50 * time.Millisecond)
		for _, name := range []string{"rejected", "claims"} {
			req := apponly.TokenRequest{Scope: scope, Rejected: tok}
			if name == "claims" {
				req = apponly.TokenRequest{Scope: scope, Claims: `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`}
			}
			before := s.requests()
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond) // before, during and after
					next, err := c.TokenFor(t.Context(), req)
					if err != nil || next == tok {
						t.Errorf("%s: %v, the refused token: %v", name, err, next == tok)
					}
				})
			}
			wg.Wait()
			if n := s.requests() - before; n != 1 {
				t.Errorf("%s: %d requests for 200 refusals, want 1", name, n)
			}
			time.Sleep(time.Minute)
			tok = mustToken(t, c, scope)
		}
	})
}

// A hundred thousand tenants that nobody knows push out none that works.
func TestUnknownTenantsPushOutNone(t *testing.T) {
	t.Parallel()
	cache := apponly.NewCache(&apponly.CacheOptions{MaxEntries: 2000})
	var asked atomic.Int64
	c := apponly.NewFake("home", cache, func(_ context.Context, tenant, _ string) (string, time.Duration, error) {
		asked.Add(1)
		if strings.HasPrefix(tenant, "1") {
			return "t", 24 * time.Hour, nil
		}
		return "", 0, &apponly.Error{Kind: apponly.ErrTenantNotFound}
	}, nil)
	guid := func(kind, i int) string { return fmt.Sprintf("%d0000000-0000-4000-8000-%012d", kind, i) }
	get := func(id string) error {
		v, err := c.Tenant(id)
		if err == nil {
			_, err = v.Token(t.Context(), "api://x/.default")
		}
		return err
	}
	for i := range 1000 {
		if err := get(guid(1, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100_000 {
		wantKind(t, get(guid(2, i)), apponly.ErrTenantNotFound)
	}
	if n := cache.Stats().Entries; n != 2000 {
		t.Errorf("%d entries, want the 2000 that are allowed", n)
	}
	asked.Store(0)
	for i := range 1000 {
		if err := get(guid(1, i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d good tenants were pushed out", n)
	}
}

func TestEvictsTheLeastRecentlyUsed(t *testing.T) {
	const size = 200
	cache := apponly.NewCache(&apponly.CacheOptions{MaxEntries: size})
	asked := map[string]int{}
	c := apponly.NewFake("home", cache, func(_ context.Context, _, scope string) (string, time.Duration, error) {
		asked[scope]++
		return scope, time.Hour, nil
	}, nil)
	scope := func(i int) string { return fmt.Sprintf("api://%d/.default", i) }
	for i := range 10 * size {
		mustToken(t, c, scope(i))
		for hot := range 20 { // used all the time
			mustToken(t, c, scope(hot))
		}
	}
	again := 0
	for hot := range 20 {
		again += asked[scope(hot)] - 1
	}
	if again > 2 {
		t.Errorf("entries in constant use were evicted %d times", again)
	}
	st := cache.Stats()
	if st.Entries != size || st.Evictions < 9*size {
		t.Errorf("stats = %+v, want %d entries and evictions for the rest", st, size)
	}
}

func TestExpiredEntriesLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := apponly.NewCache(nil)
		c := apponly.NewFake("home", cache, func(context.Context, string, string) (string, time.Duration, error) {
			return "t", time.Minute, nil
		}, nil)
		for i := range 1000 {
			mustToken(t, c, fmt.Sprintf("api://old%d/.default", i))
		}
		time.Sleep(time.Hour)
		for i := range 600 {
			mustToken(t, c, fmt.Sprintf("api://new%d/.default", i))
		}
		if n := cache.Stats().Entries; n > 700 {
			t.Errorf("%d entries, want the expired ones gone", n)
		}
	})
}

// openai-node#2490: a refresh window longer than the token's life makes every
// call a request.
func TestLifetimes(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Minute, 5 * time.Minute, 75 * time.Minute, 24 * time.Hour, 28 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.SetTokenLifetime(lifetime)
			s.setDelay(100 * time.Millisecond)
			c := s.client(t)
			step := lifetime / 500
			for range 2000 { // four lifetimes
				tok := mustToken(t, c, s.API().Scope())
				if left := time.Until(tok.ExpiresOn()); left <= 0 {
					t.Fatalf("%v: a token %v past its end", lifetime, -left)
				}
				time.Sleep(step)
			}
			// At the earliest a refresh comes after 9/16 of the lifetime, the
			// first after 3/40.
			if n := s.requests(); n < 4 || n > 10 {
				t.Errorf("%v: %d requests in four lifetimes", lifetime, n)
			}
		})
	}
}

// A controller that builds a client for each reconcile asks once.
func TestClientsShare(t *testing.T) {
	s := newSTS(t)
	goroutines := runtime.NumGoroutine()
	build := func(secret string, change func(*apponly.Options)) *apponly.Client {
		opts := &apponly.Options{Cloud: s.Cloud(), HTTPClient: s.http}
		if change != nil {
			change(opts)
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(secret), opts)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var tok apponly.Token
	for i := range 10_000 {
		next := mustToken(t, build(s.Secret(), nil), s.API().Scope())
		if i > 0 && next != tok {
			t.Fatal("two clients of one identity have two tokens")
		}
		tok = next
	}
	if s.requests() != 1 {
		t.Errorf("10,000 clients made %d requests, want 1", s.requests())
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines more than before", n-goroutines)
	}

	second := s.App().NewSecret(time.Now().Add(time.Hour))
	for name, c := range map[string]*apponly.Client{
		"another secret":      build(second, nil),
		"cp1":                 build(s.Secret(), func(o *apponly.Options) { o.CAE = true }),
		"another HTTP client": build(s.Secret(), func(o *apponly.Options) { o.HTTPClient = &http.Client{Transport: s.http.Transport} }),
		"another cache":       build(s.Secret(), func(o *apponly.Options) { o.Cache = apponly.NewCache(nil) }),
	} {
		before := s.requests()
		if mustToken(t, c, s.API().Scope()) == tok || s.requests() != before+1 {
			t.Errorf("%s: shares a token with another identity", name)
		}
	}
	wrong := build("not-the-secret", nil)
	_, err := wrong.Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrSecretInvalid)
}

func TestViewsAreTheSame(t *testing.T) {
	s := newSTS(t)
	opts := s.options()
	opts.AllowedTenants = []string{"*"}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
	if err != nil {
		t.Fatal(err)
	}
	other := s.AddTenant().ID()
	v, err := c.Tenant(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{other, strings.ToUpper(other)} {
		if w, _ := c.Tenant(id); w != v {
			t.Errorf("Tenant(%s) gives another view", id)
		}
		if w, _ := v.Tenant(id); w != v {
			t.Errorf("a view's Tenant(%s) gives another view", id)
		}
	}
	if w, _ := v.Tenant(c.TenantID()); w != c {
		t.Error("the way back gives another client")
	}
	if n := testing.AllocsPerRun(100, func() { c.Tenant(other) }); n != 0 {
		t.Errorf("Tenant allocates %v times", n)
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	scope := s.API().Scope()
	mustToken(t, c, scope)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { c.Token(ctx, scope) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

// The cache sees whatever an STS, a network and a scheduler can do wrong, for
// thirty days: no call fails while there is a token, and nothing is left behind.
func TestThirtyDaysOfFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.client(t)
		scope := s.API().Scope()
		var good apponly.Token // the last that came
		var failed, calls int
		for end := time.Now().Add(30 * 24 * time.Hour); time.Now().Before(end); {
			s.setFault(randomFault())
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				tok, err := c.Token(ctx, scope)
				cancel()
				calls++
				switch {
				case err == nil:
					good = tok
					if time.Until(tok.ExpiresOn()) <= 0 {
						t.Fatal("a token past its end")
					}
				case !good.IsZero() && time.Until(good.ExpiresOn()) > 11*time.Second:
					t.Fatalf("failed with a token that is good for %v: %v", time.Until(good.ExpiresOn()), err)
				default:
					failed++
				}
				time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Minute))))
			}
		}
		time.Sleep(time.Minute) // flights outlive their callers, not their time limit
		if failed == 0 || failed > calls/2 {
			t.Errorf("%d of %d calls without a token failed: the faults do not do their work", failed, calls)
		}
		t.Logf("%d calls, %d failed without a token, %d requests", calls, failed, s.requests())
	})
}

// randomFault returns one of many ways to fail, or none.
func randomFault() func(*http.Request) (*http.Response, error) {
	faults := []func(*http.Request) (*http.Response, error){
		nil, nil, nil,
		status(500, ""), status(503, "", "Retry-After", "30"), status(429, "slow down"),
		status(429, "", "Retry-After", "600"), status(504, "<html>gateway</html>", "Content-Type", "text/html"),
		status(200, "{"), status(200, `{"token_type":"Bearer","expires_in":"soon","access_token":"x"}`),
		status(200, `{"error":"temporarily_unavailable"}`), status(400, `{"error":"invalid_request"}`),
		status(307, "", "Location", "https://elsewhere.test/"),
		hang,
		func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		func(*http.Request) (*http.Response, error) { panic("a RoundTripper that panics") },
		func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil },
		func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("a RoundTripper that quotes: " + r.URL.String())
		},
	}
	f := faults[rand.IntN(len(faults))]
	if f == nil || rand.IntN(2) == 0 {
		return f
	}
	p := rand.Float64() // or only now and then
	return func(r *http.Request) (*http.Response, error) {
		if rand.Float64() < p {
			return f(r)
		}
		return nil, nil
	}
}

// Rotation, refresh, refusals, cancellation and eviction at once, for the race
// detector.
func TestChaos(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Minute)
		opts := s.options()
		opts.AllowedTenants = []string{"*"}
		opts.Cache = apponly.NewCache(&apponly.CacheOptions{MaxEntries: 16})
		opts.OnEvent = func(context.Context, apponly.Event) {}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		var tenants []*entratest.Tenant
		for range 30 {
			tenant := s.AddTenant()
			if len(tenants) < 20 {
				tenant.Install(s.App())
				tenant.Provide(s.API())
			}
			tenants = append(tenants, tenant)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 200 {
					v, err := c.Tenant(tenants[rand.IntN(len(tenants))].ID())
					if err != nil {
						t.Error(err)
						return
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(3*time.Second))))
					req := apponly.TokenRequest{Scope: s.API().Scope()}
					tok, err := v.Token(ctx, req.Scope)
					switch rand.IntN(6) {
					case 0:
						req.Rejected = tok
					case 1:
						req.Claims = `{"access_token":{}}`
					case 2:
						req.Force = true
					case 3:
						s.setDelay(time.Duration(rand.Int64N(int64(4 * time.Second))))
						s.setFault(randomFault())
					case 4:
						v.Status()
						opts.Cache.Stats()
					}
					if err == nil && time.Until(tok.ExpiresOn()) < 0 {
						t.Error("a token past its end")
					}
					v.TokenFor(ctx, req)
					cancel()
					time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Second))))
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute) // flights outlive their callers, not their time limit
		if n := opts.Cache.Stats().Entries; n > 16 {
			t.Errorf("%d entries, want at most 16", n)
		}
	})
}
