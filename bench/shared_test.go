// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// countingStore is a shared store that has nothing.
type countingStore struct{ n atomic.Int64 }

func (s *countingStore) Get(context.Context, string) ([]byte, time.Duration, error) {
	s.n.Add(1)
	return nil, 0, nil
}

func (s *countingStore) Set(context.Context, string, []byte, time.Duration) error {
	s.n.Add(1)
	return nil
}

func (s *countingStore) Add(context.Context, string, []byte, time.Duration) (bool, error) {
	s.n.Add(1)
	return true, nil
}

// A hit costs the same with a store that is shared with other processes and without, and
// does not ask it.
func TestHitWithASharedStore(t *testing.T) {
	const limit = 1.02
	store := new(countingStore)
	key := make([]byte, 32)
	key[0] = 1
	hits := func(opts *apponly.CacheOptions) contender {
		c, err := openCached(&sts{}, apponly.NewCache(opts))
		if err != nil {
			t.Fatal(err)
		}
		l := contender{name: ours.name, loops: []loop{hitting(c)}}
		if err := l.loops[0](1); err != nil {
			t.Fatal(err)
		}
		return l
	}
	alone, shared := hits(nil), hits(&apponly.CacheOptions{Shared: store, SharedKeys: apponly.SharedKey(key)})
	first := store.n.Load()
	if first == 0 {
		t.Fatal("the store is not in use")
	}
	holdTogether(t, limit, alone, shared)
	if n := store.n.Load(); n != first {
		t.Errorf("%d operations of the store for hits", n-first)
	}
}

// holdTogether demands that what is added to a hit costs no more than limit says, in
// proportion to one without.
func holdTogether(t *testing.T, limit float64, alone, with contender) {
	t.Helper()
	var x float64
	for try := range 8 {
		results, err := compare(200*time.Microsecond, 60*time.Millisecond, alone, with)
		if err != nil {
			t.Fatal(err)
		}
		if results[1].allocs != 0 {
			t.Errorf("a hit allocates %v times", results[1].allocs)
		}
		if x = results[1].ns / results[0].ns; raceEnabled || x <= limit {
			t.Logf("a hit is %.3f × one without", x)
			return
		}
		time.Sleep(time.Duration(try) * 100 * time.Millisecond)
	}
	t.Errorf("a hit is %.3f × one without, want at most %v", x, limit)
}
