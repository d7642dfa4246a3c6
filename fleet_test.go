// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

const (
	fleetSize = 1000
	stsTime   = 150 * time.Millisecond
	storeTime = 500 * time.Microsecond
)

// A fleet that starts at once makes one token request, however slow Entra is, and nobody
// waits much longer than for that.
func TestFleetColdStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		sts  time.Duration
		pods int
	}{{stsTime, fleetSize}, {4 * time.Second, 200}, {9 * time.Second, 100}} {
		t.Run(tc.sts.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(tc.sts)
				store := &memStore{latency: storeTime}
				pods := s.pods(t, tc.pods, store)
				o := atOnce(pods, s.ask(t))
				t.Logf("%d requests, the slowest %v, %d operations", s.requests(), o.slowest, store.operations())
				if s.requests() > 1 || o.failed > 0 || len(o.values) > 1 || o.slowest > tc.sts+300*time.Millisecond {
					t.Errorf("%d requests, %d failed (%v), %d tokens, the slowest took %v", s.requests(), o.failed, o.err, len(o.values), o.slowest)
				}
				// And nothing of the store is needed for a hit.
				before := store.operations()
				atOnce(pods, s.ask(t))
				if n := store.operations() - before; n > 0 {
					t.Errorf("%d operations for hits", n)
				}
				stats := pods[0].Cache().Stats()
				if stats.Exchanges+stats.SharedHits != 1 {
					t.Errorf("%+v, want one flight", stats)
				}
			})
		})
	}
}

// lifetimes are Entra's: between 60 and 90 minutes.
func randomLifetimes(s *sts) {
	s.setFault(func(*http.Request) (*http.Response, error) {
		s.SetTokenLifetime(time.Hour + rand.N(30*time.Minute))
		return nil, nil
	})
}

// A thousand pods make one token request for each token's life, and not one each.
func TestFleetDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(stsTime)
		randomLifetimes(s)
		store := &memStore{latency: storeTime}
		pods := s.pods(t, fleetSize, store)
		failed := live(t, s, pods, 24*time.Hour, 10*time.Minute)
		n := s.requests()
		t.Logf("%d requests, %d operations of each pod", n, store.operations()/fleetSize)
		if n > 40 || failed > 0 {
			t.Errorf("%d requests and %d failed calls, want at most 40 and none", n, failed)
		}
	})
}

// live has pods call for a time, every so often each, and returns how many calls failed.
func live(t *testing.T, s *sts, pods []*apponly.Client, d, every time.Duration) int64 {
	var failed atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range pods {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Token(ctx, s.API().Scope()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					failed.Add(1)
				}
				select {
				case <-time.After(every/2 + jitter(every)):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	return failed.Load()
}

// Pods that come and go each draw a time for their first refresh. It is that of the
// fleet: drawn as widely as that of a lonely process, it would cost 247 requests.
func TestFleetChurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(stsTime)
		s.SetTokenLifetime(time.Hour)
		store := &memStore{latency: storeTime}
		var failed atomic.Int64
		var wg sync.WaitGroup
		end := time.Now().Add(24 * time.Hour)
		for range 300 {
			wg.Go(func() {
				time.Sleep(jitter(20 * time.Minute))
				for time.Now().Before(end) {
					c := s.pods(t, 1, store)
					failed.Add(live(t, s, c, 20*time.Minute+jitter(20*time.Minute), 10*time.Minute))
				}
			})
		}
		wg.Wait()
		t.Logf("%d requests", s.requests())
		if n := s.requests(); n > 50 || failed.Load() > 0 {
			t.Errorf("%d requests and %d failed calls, want at most 50 and none", n, failed.Load())
		}
	})
}
