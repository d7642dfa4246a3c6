// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// An assertion always ends soon: who warns of the end of certificates must know.
func TestStatusOfAnAssertion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for _, issued := range []bool{true, false} {
			cred := apponly.Certificate(chainOf(s), s.Certificate().Key, nil)
			if issued {
				t.Setenv("APPONLY_TEST_TOKEN", s.FederatedToken())
				cred = apponly.Federated(apponly.AssertionEnv("APPONLY_TEST_TOKEN"))
			}
			c := s.with(t, cred)
			mustToken(t, c, s.API().Scope())
			if st := c.Status(); len(st) != 1 || st[0].CredentialIssued != issued || !st[0].CredentialExpiresOn.After(time.Now()) {
				t.Errorf("an assertion: %v; status %+v", issued, st)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		c := s.with(t, apponly.Certificate(chainOf(s), s.Certificate().Key, nil))
		if st := c.Status(); len(st) != 0 {
			t.Errorf("before the first token: %+v", st)
		}
		tok := mustToken(t, c, s.API().Scope())
		began := time.Now()
		check := func(when string, state apponly.TokenState, failures int) apponly.TokenStatus {
			t.Helper()
			st := c.Status()
			if len(st) != 1 {
				t.Fatalf("%s: %d tokens, want 1", when, len(st))
			}
			if st[0].State != state || st[0].Failures != failures || (st[0].LastError != nil) != (failures > 0) {
				t.Errorf("%s: %+v, want %s with %d failures", when, st[0], state, failures)
			}
			return st[0]
		}
		st := check("fresh", apponly.TokenFresh, 0)
		if st.Scope != s.API().Scope() || st.TenantID != s.Tenant().ID() || !st.ExpiresOn.Equal(tok.ExpiresOn()) ||
			!st.NextTry.Equal(tok.RefreshOn()) || !st.LastSuccess.Equal(began) ||
			!st.CredentialExpiresOn.Equal(s.Certificate().Leaf.NotAfter) {
			t.Errorf("fresh: %+v", st)
		}

		s.setFault(status(503, ""))
		time.Sleep(time.Until(tok.RefreshOn()))
		check("stale", apponly.TokenStale, 0)
		mustToken(t, c, s.API().Scope())
		synctest.Wait()
		st = check("a refresh failed", apponly.TokenStale, 1)
		if d := time.Until(st.NextTry); d <= 0 || d > time.Second {
			t.Errorf("the next try is in %v, want within a second", d)
		}
		if !errors.Is(st.LastError, apponly.ErrService) {
			t.Errorf("last error = %v", st.LastError)
		}
		time.Sleep(time.Until(tok.ExpiresOn()))
		check("expired", apponly.TokenExpired, 1)
		s.setFault(nil)
		mustToken(t, c, s.API().Scope())
		check("well again", apponly.TokenFresh, 0)

		if st := c.Status(); st[0].LastError != nil {
			t.Errorf("well again: %v", st[0].LastError)
		}

		other := s.with(t, apponly.Secret("not-the-secret"))
		_, err := other.Token(t.Context(), s.API().Scope())
		if st := other.Status(); len(st) != 1 || st[0].State != apponly.TokenMissing || st[0].Failures != 1 ||
			!errors.Is(err, apponly.ErrSecretInvalid) || !errors.Is(st[0].LastError, apponly.ErrSecretInvalid) {
			t.Errorf("refused: %+v", st)
		}
		s.App().AddSecret("not-the-secret", time.Now().AddDate(1, 0, 0))
		force(t, other, s.API().Scope())
		if st := other.Status(); len(st) != 1 || st[0].State != apponly.TokenFresh || st[0].Failures != 0 || st[0].LastError != nil ||
			!st[0].NextTry.After(time.Now()) || !st[0].CredentialExpiresOn.IsZero() { // nobody knows when a secret ends
			t.Errorf("accepted when forced: %+v", st)
		}
	})
}

// Status tells of one app and tenant, whoever shares the cache, in order.
func TestStatusIsOnesOwn(t *testing.T) {
	s := newSTS(t)
	second := s.Tenant().NewResource("https://a.example").Scope()
	third := s.Tenant().NewResource("https://z.example").Scope()
	tenant := s.AddTenant()
	tenant.Install(s.App())
	tenant.Provide(s.API())
	opts := s.options()
	opts.AllowedTenants = []string{"*"}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
	if err != nil {
		t.Fatal(err)
	}
	other, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(chainOf(s), s.Certificate().Key, nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	view, err := c.Tenant(tenant.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{third, s.API().Scope(), second} {
		mustToken(t, c, scope)
	}
	mustToken(t, other, second)
	mustToken(t, view, s.API().Scope())
	for name, tc := range map[string]struct {
		c    *apponly.Client
		want []string
	}{
		"client":     {c, []string{s.API().Scope(), second, third}},
		"credential": {other, []string{second}},
		"tenant":     {view, []string{s.API().Scope()}},
	} {
		var got []string
		for _, st := range tc.c.Status() {
			got = append(got, st.Scope)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(50 * time.Millisecond)
		second := s.Tenant().NewResource("https://second.example")
		c := s.client(t)
		began := time.Now()
		if err := c.Warm(t.Context(), s.API().Scope(), second.Scope()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 50*time.Millisecond || s.requests() != 2 {
			t.Errorf("warmed in %v with %d requests, want 50 ms and 2", d, s.requests())
		}
		err := c.Warm(t.Context(), s.API().Scope(), "https://nowhere.example/.default", "no-scope")
		wantKind(t, err, apponly.ErrResourceNotFound, "https://nowhere.example")
		wantKind(t, err, apponly.ErrScopeInvalid, "no-scope")

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := s.client(t).Warm(ctx, s.API().Scope()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of time: %v", err)
		}
		time.Sleep(time.Second) // the flight goes on without its caller
	})
}

func TestKeepWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Reason != apponly.ReasonKeepWarm {
				t.Errorf("%s", ev.Reason)
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		scope := s.API().Scope()
		if err := c.KeepWarm(t.Context(), "no-scope"); !errors.Is(err, apponly.ErrScopeInvalid) {
			t.Errorf("KeepWarm of no scope: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.KeepWarm(ctx, scope) }()
		synctest.Wait()
		for range 24 {
			time.Sleep(time.Hour)
			before := s.requests()
			mustToken(t, c, scope)
			if s.requests() != before {
				t.Error("a call after a quiet hour had to ask")
			}
		}
		if n := s.requests(); n < 30 || n > 44 {
			t.Errorf("%d requests in a day, want about 37", n)
		}

		// An outage longer than the token's life ends, and nobody had to call.
		s.setFault(status(503, ""))
		before := s.requests()
		time.Sleep(time.Until(c.Status()[0].ExpiresOn) - time.Minute)
		if n := s.requests() - before; n < 5 || n > 30 { // seconds apart at first, minutes later
			t.Errorf("%d requests of an outage behind a valid token", n)
		}
		time.Sleep(2 * time.Minute)
		before = s.requests()
		time.Sleep(3 * time.Hour)
		if n := s.requests() - before; n < 3*240 || n > 3*500 { // 15 s apart at most
			t.Errorf("%d requests in three hours without a token", n)
		}
		s.setFault(nil)
		time.Sleep(time.Minute)
		before = s.requests()
		mustToken(t, c, scope)
		if s.requests() != before {
			t.Error("after an outage a call had to ask")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("KeepWarm returned %v", err)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(time.Hour)
		var mu sync.Mutex
		var events []apponly.Event
		var text bytes.Buffer
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, ev)
			if ev.Kind != apponly.EventTokenRequest || ev.Duration != 50*time.Millisecond || !ev.Time.Add(ev.Duration).Equal(time.Now()) {
				t.Errorf("%s of %v, begun %v ago", ev.Kind, ev.Duration, time.Since(ev.Time))
			}
		}
		s.setDelay(50 * time.Millisecond)
		opts.Logger = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		scope := s.API().Scope()
		tok := mustToken(t, c, scope)
		mustToken(t, c, scope) // from memory: no event
		time.Sleep(time.Until(tok.RefreshOn()))
		mustToken(t, c, scope)
		time.Sleep(time.Second)
		tok = mustToken(t, c, scope)
		for _, req := range []apponly.TokenRequest{
			{Scope: scope, Rejected: tok}, {Scope: scope, Force: true}, {Scope: scope, Claims: `{"access_token":{}}`},
		} {
			time.Sleep(10 * time.Second)
			if _, err := c.TokenFor(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		s.setFault(status(401, `{"error":"invalid_client","error_codes":[7000215]}`)) // there is none beside it: it is not set aside
		time.Sleep(2 * time.Hour)
		c.Token(t.Context(), scope)

		want := []apponly.Reason{apponly.ReasonMiss, apponly.ReasonStale, apponly.ReasonRejected, apponly.ReasonForced, apponly.ReasonClaims, apponly.ReasonExpired}
		mu.Lock()
		defer mu.Unlock()
		if len(events) != len(want) {
			t.Fatalf("%d events, want %d: %+v", len(events), len(want), events)
		}
		for i, ev := range events {
			if ev.Reason != want[i] || ev.Behind != (want[i] == apponly.ReasonStale) || ev.Scope != scope || ev.TenantID != c.TenantID() || ev.ClientID != c.ClientID() {
				t.Errorf("event %d: %+v, want reason %s", i, ev, want[i])
			}
			if last := i == len(events)-1; last != (ev.Err != nil) || last == !ev.ExpiresOn.IsZero() {
				t.Errorf("event %d: error %v, expires %v", i, ev.Err, ev.ExpiresOn)
			}
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%d log lines, want %d:\n%s", len(lines), len(want), &text)
		}
		about := " tenant=" + c.TenantID() + " client=" + c.ClientID() + " scope=" + scope
		if line, want := lines[0], `level=DEBUG msg="token obtained"`+about+" reason=miss duration=50ms expires=2000-01-01T01:00:00"; !strings.Contains(line, want) || strings.Contains(line, "error") {
			t.Errorf("log line = %s, want %s and no error", line, want)
		}
		if line, want := lines[len(lines)-1], `level=WARN msg="token request failed"`+about+" reason=expired duration=50ms error."; !strings.Contains(line, want) {
			t.Errorf("log line = %s, want %s", line, want)
		}
		if line, want := lines[len(lines)-1], fmt.Sprintf(" kind=%s remedy=%q", string(apponly.ErrSecretInvalid), apponly.ErrSecretInvalid.Remedy()); !strings.HasSuffix(line, want) {
			t.Errorf("log line = %s, want %s at its end", line, want)
		}
	})
}

// A tracer finds the span of whoever caused a token request.
func TestEventContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := newSTS(t)
		opts := s.options()
		var seen []any
		opts.OnEvent = func(ctx context.Context, _ apponly.Event) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("the context of an observer has no end")
			}
			seen = append(seen, ctx.Value(key{}))
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Token(context.WithValue(t.Context(), key{}, "span"), s.API().Scope()); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || seen[0] != "span" {
			t.Errorf("the observer saw %v, want the caller's span", seen)
		}
	})
}

// An observer that fails is its own problem.
func TestObserversThatFail(t *testing.T) {
	for name, observer := range map[string]func(context.Context, apponly.Event){
		"panics": func(context.Context, apponly.Event) { panic("observer") },
		"ends":   func(context.Context, apponly.Event) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				opts := s.options()
				opts.OnEvent = observer
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
			})
		})
	}
	t.Run("hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			release := make(chan struct{})
			var calls atomic.Int32 // the observer hangs in a goroutine of its own
			opts := s.options()
			opts.OnEvent = func(context.Context, apponly.Event) { calls.Add(1); <-release }
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			mustToken(t, c, s.API().Scope())
			if d := time.Since(began); d > 1200*time.Millisecond {
				t.Errorf("the caller waited %v for an observer", d)
			}
			began = time.Now()
			if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true}); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d != 0 || calls.Load() != 1 {
				t.Errorf("while it hangs: waited %v, %d calls", d, calls.Load())
			}
			close(release)
			synctest.Wait()
			time.Sleep(time.Minute)
			if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true}); err != nil || calls.Load() != 2 {
				t.Errorf("after it has returned: %v, %d calls", err, calls.Load())
			}
		})
	})
}

func chainOf(s *sts) []*x509.Certificate { return []*x509.Certificate{s.Certificate().Leaf} }
