// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// retryAfter returns what a throttled client is told, 0 if it is served.
func retryAfter(t *testing.T, got rawResponse) time.Duration {
	t.Helper()
	if got.status == http.StatusOK && got.token() {
		return 0
	}
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	if err != nil || seconds < 1 || got.status != http.StatusTooManyRequests || got.body != "Too Many Requests" ||
		!strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("got %+v, want 429 as Entra writes it", got)
	}
	return time.Duration(seconds) * time.Second
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetThrottle(entratest.Throttle{Requests: 3, Per: time.Minute, RetryAfter: 29*time.Second + time.Millisecond})
		home := s.Tenant().ID()
		guest := s.AddTenant("contoso.example")
		guest.Install(s.App())
		guest.Provide(s.API())
		ask := func(after, want time.Duration) {
			t.Helper()
			time.Sleep(after)
			if got := retryAfter(t, askToken(t, s, home)); got != want {
				t.Errorf("Retry-After %v, want %v", got, want)
			}
		}

		ask(0, 0)
		ask(time.Second, 0)
		ask(59*time.Second, 0) // the first window has ended
		ask(0, 0)
		ask(0, 0)
		ask(59*time.Second, 30*time.Second)
		ask(30*time.Second, 0) // who waits is served
		ask(0, 0)
		ask(0, 0)
		ask(0, 30*time.Second)
		if c := s.Counters(); c.Throttled != 2 || c.EarlyReturns != 0 {
			t.Errorf("counters %+v, want 2 throttled, none early", c)
		}
		ask(29*time.Second, time.Minute) // who does not starts over, and again
		for _, minutes := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			ask(time.Second, minutes*time.Minute)
		}
		if c := s.Counters(); c.Throttled != 10 || c.EarlyReturns != 8 || c.Statuses[429] != 10 || c.Faults != 0 {
			t.Errorf("counters %+v, want 10 throttled, 8 early", c)
		}

		// Others are not concerned: another tenant, another client, nobody.
		if got := askToken(t, s, "contoso.example"); !got.token() {
			t.Errorf("other tenant: %+v", got)
		}
		form := secretForm(s)
		form.Set("client_id", s.Tenant().NewApp().ClientID())
		if got := postForm(t, s, home, form); got.Status != http.StatusUnauthorized {
			t.Errorf("other client: %d, want 401", got.Status)
		}
		if got := postForm(t, s, home, url.Values{}); got.Status != http.StatusBadRequest {
			t.Errorf("no client: %d, want 400", got.Status)
		}
		getJSON(t, s.HTTPClient(), s.Cloud().Authority()+"/"+home+"/discovery/v2.0/keys", &struct{}{})

		ask(time.Hour-time.Second, 60*time.Minute)
		ask(time.Hour, 0) // all is forgiven
		ask(0, 0)         //
		ask(0, 0)         //
		ask(0, 30*time.Second)

		last := s.Requests()[len(s.Requests())-1]
		if last.Status != 429 || last.Tenant != home || last.ClientID != s.App().ClientID() || last.Scope != s.API().Scope() || last.Fault != "" {
			t.Errorf("record %+v", last)
		}
		s.SetClockOffset(24 * time.Hour) // does not help
		ask(time.Second, time.Minute)
		s.SetThrottle(entratest.Throttle{})
		ask(0, 0)
	})
}

// TestThrottleIsOfClients counts a client once, however it is spelled.
func TestThrottleIsOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Hour})
		guest := s.AddTenant("contoso.example")
		guest.Install(s.App())
		guest.Provide(s.API())
		if got := retryAfter(t, askToken(t, s, "contoso.example")); got != 0 {
			t.Fatalf("throttled at once, for %v", got)
		}
		form := secretForm(s)
		form.Set("client_id", strings.ToUpper(s.App().ClientID()))
		basic := tokenRequest(t.Context(), s, "CONTOSO.example", url.Values{"grant_type": {"client_credentials"}, "scope": {s.API().Scope()}})
		basic.SetBasicAuth(s.App().ClientID(), url.QueryEscape(s.Secret()))
		for name, req := range map[string]*http.Request{
			"by ID":      tokenRequest(t.Context(), s, guest.ID(), secretForm(s)),
			"capitals":   tokenRequest(t.Context(), s, guest.ID(), form),
			"in a Basic": basic,
		} {
			got, err := send(s.HTTPClient(), req)
			if err != nil {
				t.Fatal(err)
			}
			if got := retryAfter(t, got); got != time.Minute { // the default
				t.Errorf("%s: Retry-After %v, want a minute", name, got)
			}
		}
	})
}

// Requests that come at once are counted one by one.
func TestThrottleOfTheNext(t *testing.T) {
	s := entratest.New(t)
	s.SetThrottle(entratest.Throttle{Requests: 37, Per: time.Hour})
	var served atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if askToken(t, s, s.Tenant().ID()).status == http.StatusOK {
				served.Add(1)
			}
			s.Counters() // which may be read meanwhile
		})
	}
	wg.Wait()
	if c := s.Counters(); served.Load() != 37 || c.Throttled != 163 {
		t.Errorf("%d served, %d throttled; want 37, 163", served.Load(), c.Throttled)
	}
}

func TestThrottleForgets(t *testing.T) {
	s := entratest.NewServer()
	s.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Minute})
	now := time.Now()
	most := 0
	for i := range 300_000 {
		// A thousand tenants a second: 60,000 are in their minute.
		most = max(most, s.Admit(strconv.Itoa(i), "client", now.Add(time.Duration(i)*time.Millisecond)))
	}
	if most > 100_000 {
		t.Errorf("up to %d windows are remembered", most)
	}
	for i := range 150_000 {
		most = max(most, s.Admit("crowd", strconv.Itoa(i), now))
	}
	if most > 100_000 {
		t.Errorf("in a crowd up to %d windows are remembered", most)
	}
	left := 0
	for i := range 50_000 { // quiet days
		left = s.Admit("quiet", strconv.Itoa(i), now.Add(time.Duration(i)*time.Hour))
	}
	if left > 2000 {
		t.Errorf("%d windows are remembered of clients long gone", left)
	}
}

func TestThrottleMisuse(t *testing.T) {
	s := entratest.NewServer()
	for _, tt := range []struct {
		throttle entratest.Throttle
		names    string
	}{
		{entratest.Throttle{Requests: -1, Per: time.Second}, "requests is -1"},
		{entratest.Throttle{Per: time.Second}, "requests is 0"},
		{entratest.Throttle{Requests: 1}, "per is 0s"},
		{entratest.Throttle{Requests: 1, Per: -1}, "per is -1ns"},
		{entratest.Throttle{Requests: 1, Per: 1, RetryAfter: -1}, "retry_after is -1ns"},
		{entratest.Throttle{Requests: 1, Per: 1, RetryAfter: 2 * time.Hour}, "retry_after is 2h"},
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.HasPrefix(v, "entratest: throttle: ") || !strings.Contains(v, tt.names) {
					t.Errorf("%+v: recovered %q, want a panic that names %s", tt.throttle, v, tt.names)
				}
			}()
			s.SetThrottle(tt.throttle)
		}()
	}
}

// A daemon with several scopes sends several requests at once: the ones behind
// the first that is refused cannot know, and who then waits as long as it was
// told comes back in time.
func TestThrottleSparesTheObedient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Minute, RetryAfter: 10 * time.Second})
		home := s.Tenant().ID()
		askToken(t, s, home)
		a := retryAfter(t, askToken(t, s, home))
		for range 9 { // under way at the same time
			if b := retryAfter(t, askToken(t, s, home)); b != a {
				t.Errorf("told %v and %v", a, b)
			}
		}
		time.Sleep(a)
		again := retryAfter(t, askToken(t, s, home))
		if c := s.Counters(); again != 0 || c.EarlyReturns != 0 {
			t.Errorf("who waited %v as told has to wait %v; counters %+v", a, again, c)
		}
	})
}

// A client that goes by its own backoff, however soon, is found out.
func TestThrottleCountsEarlyReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Minute, RetryAfter: time.Second})
		for range 4 {
			askToken(t, s, s.Tenant().ID())
			time.Sleep(200 * time.Millisecond)
		}
		if c := s.Counters(); c.Throttled != 3 || c.EarlyReturns != 2 {
			t.Errorf("counters %+v, want 3 throttled, 2 of them early", c)
		}
	})
}
