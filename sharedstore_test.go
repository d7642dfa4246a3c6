// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// A memStore is a shared store in memory, which can be made to do something else.
type memStore struct {
	latency time.Duration
	// down, if set, is what every operation does.
	down func(ctx context.Context) error
	// lies, if set, changes what Get returns.
	lies func(key string, value []byte, left time.Duration) ([]byte, time.Duration)

	onSet func(key string, k kept)

	mu   sync.Mutex
	kept map[string]kept
	ops  int
	seen bytes.Buffer // all that the store was ever handed
}

type kept struct {
	value []byte
	ends  time.Time
}

// begin makes the delay and the fault of one operation, and locks the store if there is
// none.
func (s *memStore) begin(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	s.ops++
	fmt.Fprintf(&s.seen, "%s %s\n", key, value)
	down := s.down
	s.mu.Unlock()
	if s.latency > 0 {
		select {
		case <-time.After(s.latency):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if down != nil {
		if err := down(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.kept == nil {
		s.kept = map[string]kept{}
	}
	return nil
}

func (s *memStore) Get(ctx context.Context, key string) ([]byte, time.Duration, error) {
	if err := s.begin(ctx, key, nil); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	k := s.kept[key]
	value, left := k.value, time.Until(k.ends)
	if left <= 0 {
		value, left = nil, 0
	}
	if s.lies != nil {
		value, left = s.lies(key, value, left)
	}
	return value, left, nil
}

func (s *memStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.begin(ctx, key, value); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.put(key, kept{value, time.Now().Add(ttl)})
	return nil
}

func (s *memStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.begin(ctx, key, value); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	if time.Until(s.kept[key].ends) > 0 {
		return false, nil
	}
	s.put(key, kept{value, time.Now().Add(ttl)})
	return true, nil
}

func (s *memStore) put(key string, k kept) {
	s.kept[key] = k
	if s.onSet != nil {
		s.onSet(key, k)
	}
}

func (s *memStore) setDown(down func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *memStore) operations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops
}

var errDown = errors.New("connection refused")

func refuses(context.Context) error { return errDown }

func hangs(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// sharedKey returns the nth key of a test.
func sharedKey(n byte) []byte {
	k := make([]byte, 32)
	for i := range k {
		k[i] = n + byte(i)
	}
	return k
}

// A pod is a process of a fleet, as far as a test has them: a client with a cache of its
// own.
func (s *sts) pod(t testing.TB, store apponly.SharedStore, keys apponly.SharedKeys, change ...func(*apponly.Options)) *apponly.Client {
	t.Helper()
	return s.podWith(t, apponly.Secret(s.Secret()), store, keys, change...)
}

func (s *sts) podWith(t testing.TB, cred apponly.Credential, store apponly.SharedStore, keys apponly.SharedKeys, change ...func(*apponly.Options)) *apponly.Client {
	t.Helper()
	opts := s.options()
	opts.Cache = apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
	for _, f := range change {
		f(opts)
	}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func (s *sts) pods(t testing.TB, n int, store apponly.SharedStore) []*apponly.Client {
	t.Helper()
	all := make([]*apponly.Client, n)
	for i := range all {
		all[i] = s.pod(t, store, apponly.SharedKey(sharedKey(1)))
	}
	return all
}

// outcome is what a call of many pods at once brought.
type outcome struct {
	failed  int
	slowest time.Duration
	values  map[string]int
	err     error // one of them
}

// atOnce has all pods call at once.
func atOnce(pods []*apponly.Client, call func(*apponly.Client) (apponly.Token, error)) outcome {
	o := outcome{values: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range pods {
		wg.Go(func() {
			began := time.Now()
			tok, err := call(c)
			mu.Lock()
			defer mu.Unlock()
			o.slowest = max(o.slowest, time.Since(began))
			if err != nil {
				o.failed, o.err = o.failed+1, err
			} else {
				o.values[tok.Value()]++
			}
		})
	}
	wg.Wait()
	return o
}

func (s *sts) ask(t testing.TB) func(*apponly.Client) (apponly.Token, error) {
	return func(c *apponly.Client) (apponly.Token, error) { return c.Token(t.Context(), s.API().Scope()) }
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d) }
