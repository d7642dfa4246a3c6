// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// Warm has the keys there before the first token comes.
func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		rules, tenants := many(5)
		slices.Reverse(rules)
		rules = append(rules, verify.Rule{TenantFunc: func(context.Context, string) (bool, error) { return false, nil }, Client: daemon})
		s := serveKeys(k.entry())
		v := open(t, s, rules, verify.Options{})
		for _, st := range v.Status() {
			if st.Keys != 0 || st.Err != nil || !st.LastSuccess.IsZero() {
				t.Errorf("before: %+v", st)
			}
		}
		for range 3 {
			if err := v.Warm(t.Context()); err != nil {
				t.Error(err)
			}
		}
		s.fetched(t, 6)
		s.fails()
		for _, tenant := range tenants {
			expect(t, v, k.token(claims(of(tenant))), nil)
		}
		var urls []string
		for _, st := range v.Status() {
			urls = append(urls, st.URL)
			if st.Keys != 1 || st.Err != nil || !st.LastSuccess.Equal(time.Now()) {
				t.Errorf("after: %+v", st)
			}
		}
		if len(urls) != 6 || !slices.IsSorted(urls) || urls[5] != host+"/organizations/discovery/v2.0/keys" {
			t.Errorf("%q", urls)
		}
		time.Sleep(48 * time.Hour) // what is there is there
		if err := v.Warm(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A probe that asks every second does not storm, knows within half a minute that it
// works again, and its errors say what is wrong.
func TestWarmFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		s := serveKeys(k.entry())
		s.fails()
		v := open(t, s, byRole, verify.Options{})
		for range 3600 {
			err := v.Warm(t.Context())
			e, ok := errors.AsType[*verify.Error](err)
			if !ok || !errors.Is(err, verify.ErrKeysUnavailable) || time.Until(e.RetryAt) > 30*time.Second || !strings.Contains(err.Error(), "status 503") {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := s.fetches.Load(); n < 100 || n > 130 {
			t.Errorf("%d fetches in an hour", n)
		}
		s.set(k.entry())
		time.Sleep(30 * time.Second)
		if err := v.Warm(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Of thousands of tenants a few are fetched at once, probes that give up begin no
// more, and what is said stays short.
func TestWarmManyTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		rules, _ := many(2000)
		var now, most atomic.Int64
		s := serveKeys(k.entry())
		takes := 100 * time.Millisecond
		body, status := marshal(fields{"keys": []any{k.entry()}}), 200
		s.answers(func(r *http.Request) (int, []byte) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			ctx, cancel := context.WithTimeout(r.Context(), takes)
			defer cancel()
			<-ctx.Done()
			return status, body
		})

		// Entra does not answer, and the probe has a second.
		takes = time.Hour
		v := open(t, s, rules, verify.Options{})
		for range 60 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			err := v.Warm(ctx)
			if d := time.Since(began); d > time.Second || !errors.Is(err, verify.ErrKeysUnavailable) {
				t.Fatalf("after %v: %v", d, err)
			}
			if !errors.Is(err, context.DeadlineExceeded) || len(err.Error()) > 4000 || !strings.Contains(err.Error(), "more") {
				t.Fatalf("%.300v", err)
			}
			cancel()
		}
		if n := s.fetches.Load(); n > 150 || most.Load() > 32 {
			t.Errorf("%d fetches by probes in a minute without an answer, %d at once", n, most.Load())
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Minute)
		s.fetches.Store(0)
		if err := v.Warm(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%.300v", err)
		}
		s.fetched(t, 0)

		status, takes = 404, 0
		err := v.Warm(t.Context())
		if !errors.Is(err, verify.ErrKeysUnavailable) || len(err.Error()) > 4000 {
			t.Fatalf("%.300v", err)
		}
		time.Sleep(time.Minute)
		status, takes = 200, 100*time.Millisecond
		most.Store(0)
		began := time.Now()
		if err := v.Warm(t.Context()); err != nil {
			t.Fatalf("%.300v", err)
		}
		if n := most.Load(); n != 8 || time.Since(began) != 25*time.Second {
			t.Errorf("%d fetches at once, %v", n, time.Since(began))
		}
	})
}

// Status blocks for nobody, and nobody for it.
func TestStatusWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		s := serveKeys(k.entry())
		v := open(t, s, byRole, verify.Options{})
		expect(t, v, k.token(claims(nil)), nil)
		us := with(newSigner("us").entry(), fields{"cloud_instance_name": "microsoftonline.us"})
		first := time.Now()
		s.slow(5*time.Second, k.entry(), with(k.entry(), fields{"e": b64([]byte{3})}), newSigner("k2").entry(), us)
		var wg sync.WaitGroup
		time.Sleep(2 * time.Hour)
		for range 20 {
			wg.Go(func() {
				for range 10 {
					expect(t, v, k.token(claims(nil)), nil)
					if st := v.Status()[0]; st.Err != nil || time.Since(first) < 2*time.Hour+5*time.Second && !st.LastSuccess.Equal(first) {
						t.Errorf("%+v", st)
					}
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
		if st := v.Status()[0]; st.Keys != 2 || !st.LastSuccess.Equal(first.Add(2*time.Hour+5*time.Second)) {
			t.Errorf("%+v: keys of other clouds and of one name count once or not", st)
		}
	})
}
