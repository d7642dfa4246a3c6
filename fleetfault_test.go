// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"net/http"
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

// What Entra refuses any process is asked once by the fleet, and not once by each.
func TestFleetRefusals(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	for name, tc := range map[string]struct {
		fault func(*http.Request) (*http.Response, error)
		kind  apponly.Kind
		most  int // requests in five minutes
	}{
		"throttled":        {status(429, `{"error":"temporarily_unavailable"}`, "Retry-After", "60"), apponly.ErrThrottled, 8},
		"out of order":     {status(503, ""), apponly.ErrService, 250},
		"unknown resource": {status(400, `{"error":"invalid_resource","error_codes":[500011]}`), apponly.ErrResourceNotFound, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(stsTime)
				var asked []time.Time
				s.setFault(func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, time.Now())
					return tc.fault(r)
				})
				pods := s.pods(t, fleetSize, &memStore{latency: storeTime})
				failed := live(t, s, pods, 5*time.Minute, 10*time.Second)
				t.Logf("%d requests, %d failed calls", len(asked), failed)
				if len(asked) > tc.most || failed == 0 {
					t.Errorf("%d requests and %d failed calls, want at most %d, and some", len(asked), failed, tc.most)
				}
				for i := range asked {
					if tc.kind == apponly.ErrThrottled && i > 0 && asked[i].Sub(asked[i-1]) < time.Minute {
						t.Errorf("asked again after %v", asked[i].Sub(asked[i-1]))
					}
				}
				_, err := pods[7].Token(t.Context(), s.API().Scope())
				wantKind(t, err, tc.kind)
				s.setFault(nil)
				time.Sleep(10 * time.Minute)
				if o := atOnce(pods, s.ask(t)); o.failed > 0 {
					t.Errorf("%d calls failed when it was over: %v", o.failed, o.err)
				}
			})
		})
	}
}

// What may be a process's own failure is told nobody: the next one asks.
func TestFleetOwnFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(stsTime)
		store := &memStore{latency: storeTime}
		wrong := s.podWith(t, apponly.Secret("wrong-"+s.Secret()), store, sharedKeys(1))
		_, err := wrong.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrSecretInvalid)
		right := s.pod(t, store, apponly.SharedKey(sharedKey(1)))
		began := time.Now()
		mustToken(t, right, s.API().Scope())
		if d := time.Since(began); d > 2*stsTime {
			t.Errorf("the next process waited %v", d)
		}
		// It lives on what others get, and says so.
		time.Sleep(5 * time.Minute)
		mustToken(t, wrong, s.API().Scope())
		if st := wrong.Status()[0]; !st.Shared || right.Status()[0].Shared {
			t.Errorf("shared: %v and %v, want that only of the process with the wrong secret", st.Shared, right.Status()[0].Shared)
		}
	})
}

// A token that is refused everywhere at once is replaced by one request, and so is one
// that an API wants with other claims.
func TestFleetRejects(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]string{"rejected": "", "claims": `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(stsTime)
				randomLifetimes(s)
				pods := s.pods(t, fleetSize, &memStore{latency: storeTime})
				atOnce(pods, s.ask(t))
				time.Sleep(20 * time.Second)
				before := s.requests()
				old := mustToken(t, pods[0], s.API().Scope())
				o := atOnce(pods, func(c *apponly.Client) (apponly.Token, error) {
					have := mustToken(t, c, s.API().Scope())
					return c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Rejected: have, Claims: claims})
				})
				n := s.requests() - before
				t.Logf("%d requests, the slowest took %v", n, o.slowest)
				if n > 2 || o.failed > 0 || o.values[old.Value()] > 0 {
					t.Errorf("%d requests, %d failed (%v), %d got the token that was refused", n, o.failed, o.err, o.values[old.Value()])
				}
			})
		})
	}
}

// Force asks Entra, and lets the others have what it brings.
func TestFleetForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		store := &memStore{}
		pods := s.pods(t, 3, store)
		mustToken(t, pods[0], s.API().Scope())
		time.Sleep(time.Minute)
		force(t, pods[1], s.API().Scope())
		if n := s.requests(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if got := mustToken(t, pods[2], s.API().Scope()); got.Value() != mustToken(t, pods[1], s.API().Scope()).Value() || s.requests() != 2 {
			t.Error("what was forced is not shared")
		}
		// Whoever wants something else does not wait for the lease to lapse.
		began := time.Now()
		if _, err := pods[2].TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: `{"access_token":{}}`}); err != nil || time.Since(began) > 0 || s.requests() != 3 {
			t.Errorf("claims: %v after %v and %d requests", err, time.Since(began), s.requests())
		}
	})
}

// A store that does not do what it should costs a quarter of a second, once, and a
// goroutine. Tokens come, and with a token in memory nobody notices.
func TestFleetStoreFails(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, down := range map[string]func(context.Context) error{
		"refuses":              refuses,
		"hangs":                hangs,
		"ignores its context":  func(context.Context) error { time.Sleep(day); return errDown },
		"panics":               func(context.Context) error { panic("store") },
		"ends the goroutine":   func(context.Context) error { runtime.Goexit(); return nil },
		"answers in no time":   nil,
		"answers always late":  func(ctx context.Context) error { time.Sleep(249 * time.Millisecond); return nil },
		"answers rather late":  func(ctx context.Context) error { time.Sleep(100 * time.Millisecond); return nil },
		"ends with the flight": func(ctx context.Context) error { <-ctx.Done(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(stsTime)
				store := &memStore{}
				store.setDown(down)
				pods := s.pods(t, 40, store)
				o := atOnce(pods, s.ask(t))
				most := stsTime + 300*time.Millisecond
				if name == "answers always late" || name == "answers rather late" {
					most += 250 * time.Millisecond // and another to let the others know
				}
				t.Logf("%d requests, the slowest took %v", s.requests(), o.slowest)
				if o.failed > 0 || o.slowest > most {
					t.Errorf("%d calls failed (%v), the slowest took %v", o.failed, o.err, o.slowest)
				}
				// With a dead Entra, too, what there is lasts to its end.
				s.setFault(func(*http.Request) (*http.Response, error) { return nil, errDown })
				if failed := live(t, s, pods, 55*time.Minute, 5*time.Minute); failed > 0 {
					t.Errorf("%d calls failed although there was a token", failed)
				}
				time.Sleep(2 * day)
			})
		})
	}
}

// The observers are told once that the store is down, and once that it is not.
func TestFleetStoreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(5 * time.Minute)
		store := &memStore{}
		var told []apponly.Event
		c := s.pod(t, store, apponly.SharedKey(sharedKey(1)), func(o *apponly.Options) {
			o.OnEvent = func(_ context.Context, ev apponly.Event) { told = append(told, ev) }
		})
		mustToken(t, c, s.API().Scope())
		if stats := c.Cache().Stats(); stats.SharedMisses != 1 || stats.SharedHits != 0 || stats.SharedUnavailable {
			t.Errorf("after the first token: %+v", stats)
		}
		store.setDown(refuses)
		live(t, s, []*apponly.Client{c}, 20*time.Minute, time.Minute)
		if stats := c.Cache().Stats(); stats.SharedMisses != 1 || !stats.SharedUnavailable {
			t.Errorf("while it was down: %+v", stats)
		}
		store.setDown(nil)
		live(t, s, []*apponly.Client{c}, 20*time.Minute, time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait() // for a refresh behind the last call
		if stats := c.Cache().Stats(); stats.SharedUnavailable {
			t.Errorf("after it was back: %+v", stats)
		}
		var down, up int
		for _, ev := range told {
			switch {
			case ev.Kind != apponly.EventSharedUnavailable:
			case ev.Err == nil:
				up++
			default:
				down++
				if !strings.Contains(ev.Err.Error(), "connection refused") || errors.Is(ev.Err, errDown) {
					t.Errorf("told of %v", ev.Err)
				}
			}
		}
		if stats := c.Cache().Stats(); down != 1 || up != 1 || stats.SharedFailures < 3 || stats.SharedRejected != 0 {
			t.Errorf("told %d times that it is down and %d times that it is up, %+v", down, up, stats)
		}
		if n := c.Cache().Stats().Exchanges; int(n) != s.requests() {
			t.Errorf("%d exchanges for %d requests", n, s.requests())
		}
	})
}

// What came from the store is told of as such, and an entry that does not open once a
// minute.
func TestSharedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		store := &memStore{}
		told := map[apponly.EventKind][]apponly.Event{}
		watch := func(o *apponly.Options) {
			o.OnEvent = func(_ context.Context, ev apponly.Event) { told[ev.Kind] = append(told[ev.Kind], ev) }
		}
		first := mustToken(t, s.pod(t, store, sharedKeys(1)), s.API().Scope())
		time.Sleep(5 * time.Minute)
		c := s.pod(t, store, sharedKeys(1), watch)
		second := mustToken(t, c, s.API().Scope())
		if ev := told[apponly.EventShared]; len(ev) != 1 || ev[0].Err != nil || !ev[0].ExpiresOn.Equal(first.ExpiresOn()) || ev[0].Reason != apponly.ReasonMiss || len(told) != 1 {
			t.Errorf("told of %+v", told)
		}
		if st := c.Status()[0]; !st.Shared || st.LastSuccess.After(time.Now().Add(-5*time.Minute)) || first.Value() != second.Value() {
			t.Errorf("%+v: it was obtained five minutes ago, by another", st)
		}
		// A refusal, too.
		clear(told)
		s.setFault(status(400, `{"error":"invalid_resource","error_codes":[500011]}`))
		s.pod(t, store, sharedKeys(1)).Token(t.Context(), "api://nowhere/.default")
		n := s.requests()
		_, err := c.Token(t.Context(), "api://nowhere/.default")
		wantKind(t, err, apponly.ErrResourceNotFound, "AADSTS500011", "another process")
		if e, _ := errors.AsType[*apponly.Error](err); !e.Remembered || !e.RetryAt.After(time.Now()) || s.requests() != n || len(told[apponly.EventShared]) != 1 || told[apponly.EventShared][0].Err == nil {
			t.Errorf("%+v after %d requests, told of %v", err, s.requests()-n, told)
		}
		if stats := c.Cache().Stats(); stats.SharedHits != 2 || stats.Exchanges != 0 || stats.SharedRejected+stats.SharedFailures != 0 {
			t.Errorf("%+v", stats)
		}
		// Garbage, in every entry.
		s.setFault(nil)
		clear(told)
		store.lies = func(string, []byte, time.Duration) ([]byte, time.Duration) { return []byte("garbage"), time.Hour }
		for _, scope := range []string{"api://a/.default", "api://b/.default", "api://c/.default"} {
			c.Token(t.Context(), scope)
		}
		if ev := told[apponly.EventSharedRejected]; len(ev) != 1 || !errors.Is(ev[0].Err, apponly.ErrConfiguration) || c.Cache().Stats().SharedRejected < 3 {
			t.Errorf("told of %+v, %+v", ev, c.Cache().Stats())
		}
	})
}

// Whose tokens an Azure SDK credential brings is not known: they are not shared.
func TestSharedNotForTokenCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		store := &memStore{}
		cred := s.client(t).TokenCredential()
		c, err := apponly.FromTokenCredential(cred, &apponly.Options{Cache: apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: sharedKeys(1)})})
		if err != nil {
			t.Fatal(err)
		}
		if mustToken(t, c, s.API().Scope()); store.operations() != 0 || c.Cache().Stats().Exchanges != 1 {
			t.Errorf("%d operations, %+v", store.operations(), c.Cache().Stats())
		}
	})
}

// What is shared is what any process would be told, and no kind that may be its own.
func TestFleetKinds(t *testing.T) {
	t.Parallel()
	want := []apponly.Kind{
		apponly.ErrThrottled, apponly.ErrService, apponly.ErrIssuerUnreachable,
		apponly.ErrAppNotFound, apponly.ErrAppDisabled, apponly.ErrAppMisconfigured,
		apponly.ErrTenantNotFound, apponly.ErrTenantBlocked, apponly.ErrAuthorityInvalid,
		apponly.ErrResourceNotFound, apponly.ErrScopeInvalid,
		apponly.ErrConsentRequired, apponly.ErrRoleMissing, apponly.ErrGrantNotAllowed,
	}
	slices.Sort(want)
	if got := apponly.FleetKinds(); !slices.Equal(got, want) {
		t.Errorf("shared are %q, want %q", got, want)
	}
}

// A store that never answers and ignores its context holds one goroutine for each time
// that it is tried, which is ever less often, and none of the flights.
func TestFleetStoreNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(5 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var stuck atomic.Int64
		store := &memStore{}
		store.setDown(func(context.Context) error {
			stuck.Add(1)
			<-ctx.Done()
			return errDown
		})
		pod := s.pods(t, 1, store)
		mustToken(t, pod[0], s.API().Scope())
		time.Sleep(time.Second)
		if n := stuck.Load(); n != 1 {
			t.Errorf("%d operations are stuck after one flight, want 1", n)
		}
		if failed := live(t, s, pod, 24*time.Hour, time.Minute); failed > 0 {
			t.Errorf("%d calls failed", failed)
		}
		t.Logf("%d operations are stuck after a day and %d token requests", stuck.Load(), s.requests())
		if n := stuck.Load(); n > 20 {
			t.Errorf("%d operations are stuck after a day", n)
		}
		cancel()
		time.Sleep(time.Minute)
	})
}
