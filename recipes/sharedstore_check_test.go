// SPDX-License-Identifier: MIT

package recipes_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/bradfitz/gomemcache/memcache"
)

func TestRueidisStore(t *testing.T) {
	if !has("redis-server") {
		t.Skip("no redis-server here")
	}
	addr, stop := redisServer()
	defer stop()
	store := newRueidisStore(addr)
	t.Cleanup(func() { store.(rueidisStore).Client.Close() })
	wantStore(t, store, true)
	wantOneRequest(t, store)

	// What it answers when Redis is gone is an error and in time, and nothing else.
	stop()
	wantErrors(t, store)
	if newRueidisStore(addr) != nil {
		t.Error("there is a store without a server")
	}
}

func TestMemcachedStore(t *testing.T) {
	if !has("memcached") {
		t.Skip("no memcached here")
	}
	addr, stop := memcachedServer()
	defer stop()
	store := memcachedStore{memcache.New(addr)}
	store.Timeout = 100 * time.Millisecond
	wantStore(t, store, false)
	wantOneRequest(t, store)
	stop()
	wantErrors(t, store)
}

// wantStore fails the test unless store does what apponly asks of one. tells: for how
// much longer it keeps something.
func wantStore(t *testing.T, store apponly.SharedStore, tells bool) {
	t.Helper()
	ctx, key := t.Context(), "0123456789abcdefghijklmnopqrstuv"
	want := func(want []byte) {
		t.Helper()
		value, left, err := store.Get(ctx, key)
		if err != nil || !bytes.Equal(value, want) || (value == nil) != (want == nil) {
			t.Fatalf("Get = %d bytes, %v, %v, want %d", len(value), left, err, len(want))
		}
		if short := left < 59*time.Minute || left > time.Hour; value != nil && (tells && short || !tells && left != 0) {
			t.Errorf("left are %v", left)
		}
	}
	want(nil)
	for _, first := range []bool{true, false} {
		if added, err := store.Add(ctx, key, sealed, time.Hour); err != nil || added != first {
			t.Fatalf("Add = %v, %v, want %v", added, err, first)
		}
	}
	want(sealed)
	if err := store.Set(ctx, key, sealed[1:], time.Hour); err != nil {
		t.Fatal(err)
	}
	want(sealed[1:])
	if err := store.Set(ctx, key, sealed, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Millisecond)
	want(nil)
}

// wantOneRequest fails the test unless clients with caches of their own ask once.
func wantOneRequest(t *testing.T, store apponly.SharedStore) {
	t.Helper()
	sts, _ := emulated()
	defer sts.Close()
	for range 5 {
		if _, err := sharing(sts, store).Token(t.Context(), sts.API().Scope()); err != nil {
			t.Fatal(err)
		}
	}
	if n := sts.TokenRequests(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func wantErrors(t *testing.T, store apponly.SharedStore) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	began := time.Now()
	if value, _, err := store.Get(ctx, "k"); err == nil || value != nil {
		t.Errorf("Get = %q, %v", value, err)
	}
	if added, err := store.Add(ctx, "k", nil, time.Hour); err == nil || added {
		t.Errorf("Add = %v, %v", added, err)
	}
	if err := store.Set(ctx, "k", nil, time.Hour); err == nil {
		t.Error("Set: no error")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("errors took %v", took)
	}
}
