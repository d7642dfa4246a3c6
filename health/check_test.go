// SPDX-License-Identifier: MIT

package health_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/health"
)

// until sleeps to a moment.
func until(t time.Time) { time.Sleep(time.Until(t)) }

// Every row of the table in the documentation.
func TestVerdicts(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name     string
		minValid time.Duration
		prepare  func(w *world)
		verdict  health.Verdict
		state    apponly.TokenState
		failures int
		kind     apponly.Kind
		text     string
		until    time.Duration // from now; -1: never
	}{
		{name: "lasts", prepare: func(w *world) { w.mustToken() },
			verdict: health.Ready, state: apponly.TokenFresh, until: 58 * minute},
		{name: "lasts, the refresh is due", prepare: func(w *world) { until(w.mustToken().RefreshOn()) },
			verdict: health.Ready, state: apponly.TokenStale, until: -2},
		{name: "lasts, the refresh fails", prepare: func(w *world) { until(w.mustToken().RefreshOn()); w.fail(); w.mustToken(); synctest.Wait() },
			verdict: health.Degraded, state: apponly.TokenStale, failures: 1, kind: apponly.ErrService, text: "entra could not answer", until: -2},
		{name: "just lasts", prepare: func(w *world) {
			tok := w.mustToken()
			until(tok.RefreshOn())
			w.fail()
			w.mustToken()
			until(tok.ExpiresOn().Add(-2 * minute))
		}, verdict: health.Degraded, state: apponly.TokenStale, failures: 1, kind: apponly.ErrService, text: "entra could not answer", until: 0},
		{name: "good, the refresh fails", prepare: func(w *world) {
			tok := w.mustToken()
			until(tok.RefreshOn())
			w.fail()
			w.mustToken()
			until(tok.ExpiresOn().Add(-2*minute + time.Nanosecond))
		}, verdict: health.NotReady, state: apponly.TokenStale, failures: 1, kind: apponly.ErrService, text: "entra could not answer", until: -1},
		{name: "good, the refresh is due", prepare: func(w *world) { until(w.mustToken().ExpiresOn().Add(-minute)) },
			verdict: health.Ready, state: apponly.TokenStale, until: 0},
		{name: "good, and that is all it will be", minValid: 2 * time.Hour, prepare: func(w *world) { w.mustToken() },
			verdict: health.Degraded, state: apponly.TokenFresh, text: "less is left", until: -2},
		{name: "expired, failing", prepare: func(w *world) {
			tok := w.mustToken()
			until(tok.RefreshOn())
			w.fail()
			w.mustToken()
			until(tok.ExpiresOn())
		}, verdict: health.NotReady, state: apponly.TokenExpired, failures: 1, kind: apponly.ErrService, text: "entra could not answer", until: -1},
		{name: "expired, nobody asked", prepare: func(w *world) { until(w.mustToken().ExpiresOn().Add(time.Hour)) },
			verdict: health.Degraded, state: apponly.TokenExpired, text: "nobody has asked", until: 0},
		{name: "refused from the first", prepare: func(w *world) { w.App().RemoveSecret(w.Secret()); w.token() },
			verdict: health.NotReady, state: apponly.TokenMissing, failures: 1, kind: apponly.ErrSecretInvalid, text: "AADSTS7000215", until: -1},
		{name: "not asked for", prepare: func(*world) {},
			verdict: health.NotReady, state: apponly.TokenMissing, text: "not asked for yet", until: -1},
		{name: "asked for now", prepare: func(w *world) {
			if _, err := w.AddFault(entratest.Fault{Endpoint: "token", Delay: time.Second}); err != nil {
				w.t.Fatal(err)
			}
			go w.token()
			synctest.Wait()
		}, verdict: health.NotReady, state: apponly.TokenMissing, text: "under way", until: -1},
		{name: "evicted", prepare: func(w *world) {
			w.mustToken()
			for i := range 3 { // and there is room for one
				if _, err := w.client.Token(w.t.Context(), w.Tenant().NewResource("https://"+string(rune(97+i))+".example").Scope()); err != nil {
					w.t.Fatal(err)
				}
			}
		}, verdict: health.NotReady, state: apponly.TokenMissing, text: "not asked for yet", until: -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &apponly.CacheOptions{MaxEntries: 1})
				tc.prepare(w)
				c := w.check()
				c.MinValid = tc.minValid
				before, now := w.TokenRequests(), time.Now()
				r := c.Now()
				if len(r.Reasons) != 1 || r.Verdict != tc.verdict || r.Reasons[0].Verdict != tc.verdict {
					t.Fatalf("%+v, want %s", r, tc.verdict)
				}
				got := r.Reasons[0]
				if got.Scope != w.scope || got.State != tc.state || got.Failures != tc.failures || got.Kind != tc.kind || !strings.Contains(got.Text, tc.text) || (tc.text == "") != (got.Text == "") {
					t.Errorf("%+v, want %s with %d failures, kind %q and %q", got, tc.state, tc.failures, string(tc.kind), tc.text)
				}
				if tc.kind != "" && got.Remedy != tc.kind.Remedy() || tc.verdict != health.Ready && got.Remedy == "" && tc.text != "under way" {
					t.Errorf("the remedy is %q", got.Remedy)
				}
				want := now.Add(tc.until)
				switch {
				case tc.until == -1:
					want = time.Time{}
				case tc.until == -2: // depends on what was drawn
					want = got.ExpiresOn.Add(-2 * minute)
					if tc.minValid > 0 {
						want = got.NextTry
					}
				}
				if !r.Until.Equal(want) {
					t.Errorf("until %v, want %v", r.Until, want)
				}
				rec := get(c.Handler())
				if bad := rec.Code == http.StatusServiceUnavailable; bad != (tc.verdict == health.NotReady) || !bad && rec.Code != http.StatusOK {
					t.Errorf("status %d", rec.Code)
				}
				line, more, _ := strings.Cut(rec.Body.String(), "\n")
				if more != "" || !strings.HasPrefix(line, string(tc.verdict)+" "+w.scope+": "+string(tc.state)) || !strings.Contains(line, got.Text) || !strings.HasSuffix(line, got.Remedy) {
					t.Errorf("the probe says %q", rec.Body)
				}
				if n := w.TokenRequests(); n != before {
					t.Errorf("the check made %d requests", n-before)
				}
				time.Sleep(2 * time.Second) // what is under way
			})
		})
	}
}

// The worst scope counts, and the one that ends first; those that are not needed do not.
func TestScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		second := w.Tenant().NewResource("https://second.example").Scope()
		w.SetTokenLifetime(30 * time.Minute)
		w.mustToken()
		w.SetTokenLifetime(time.Hour)
		w.client.Token(t.Context(), "https://nowhere.example/.default")
		c := &health.Check{Client: w.client, Scopes: []string{second, w.scope, second}}
		if r := c.Now(); r.Verdict != health.NotReady || len(r.Reasons) != 2 || r.Reasons[0].Scope != second || r.Reasons[1].Verdict != health.Ready {
			t.Errorf("one is missing: %+v", r)
		}
		if _, err := w.client.Token(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if r := c.Now(); r.Verdict != health.Ready || !r.Until.Equal(time.Now().Add(28*time.Minute)) {
			t.Errorf("both are there: %+v", r)
		}
	})
}

// Another tenant is another view of the client.
func TestTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		tenant := w.AddTenant("customer.example")
		tenant.Install(w.App())
		tenant.Provide(w.API())
		view, err := w.client.Tenant(tenant.ID())
		if err != nil {
			t.Fatal(err)
		}
		w.mustToken()
		customer := &health.Check{Client: view, Scopes: []string{w.scope}}
		if own, other := w.check().Now(), customer.Now(); own.Verdict != health.Ready || other.Verdict != health.NotReady {
			t.Errorf("%+v and %+v", own, other)
		}
		body := get(health.Page("two", w.check(), customer)).Body.String()
		for _, want := range []string{"Not ready</h1>", "1 of 2 scopes has", w.Tenant().ID(), tenant.ID()} {
			if !strings.Contains(body, want) {
				t.Errorf("the page lacks %q:\n%s", want, body)
			}
		}
	})
}

// What cannot be right is not-ready, says why, and does not panic.
func TestMisuse(t *testing.T) {
	w := newWorld(t, nil)
	var unmade apponly.Client
	for _, tc := range []struct {
		name  string
		check *health.Check
		want  []string
	}{
		{"nil", nil, []string{"the Check is nil"}},
		{"nothing", &health.Check{}, []string{"Client of the Check is nil", "Scopes of the Check is empty"}},
		{"no client", &health.Check{Scopes: []string{w.scope}}, []string{"Client of the Check is nil"}},
		{"a client that New has not made", &health.Check{Client: &unmade, Scopes: []string{w.scope}}, []string{"not made by apponly.New"}},
		{"no scope", &health.Check{Client: w.client}, []string{"Scopes of the Check is empty"}},
		{"a negative MinValid", &health.Check{Client: w.client, Scopes: []string{w.scope}, MinValid: -1}, []string{"MinValid of the Check is negative"}},
		{"no scope's name", &health.Check{Client: w.client, Scopes: []string{"User.Read", "\xff\n", "User.Read"}}, []string{"User.Read", "/.default"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.check.Now()
			if r.Verdict != health.NotReady || !r.Until.IsZero() || len(r.Reasons) == 0 {
				t.Errorf("%+v", r)
			}
			for _, reason := range r.Reasons {
				if reason.Verdict != health.NotReady || reason.Kind.Group() != apponly.ErrConfiguration {
					t.Errorf("%+v", reason)
				}
			}
			probe, page := get(tc.check.Handler()), get(health.Page("misuse", tc.check))
			if probe.Code != http.StatusServiceUnavailable || page.Code != http.StatusOK || strings.Count(probe.Body.String(), "\n") != len(r.Reasons) {
				t.Errorf("status %d and %d, %q", probe.Code, page.Code, probe.Body)
			}
			for _, want := range tc.want {
				if !strings.Contains(probe.Body.String(), want) || !strings.Contains(page.Body.String(), want) {
					t.Errorf("%q is missing from\n%s\n%s", want, probe.Body, page.Body)
				}
			}
		})
	}
	if page := get(health.Page("no check")); page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Not ready</h1>") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
}
