// SPDX-License-Identifier: MIT

// Package sharedcache lets the processes of a fleet share tokens by a store that need
// not be reliable: one of them asks for a token, and the others get what it brought, be
// it a token or a refusal that any of them would have had. It stands between a flight of
// a token cache and its source, and knows nothing of Entra.
//
// What lies in the store is sealed and bound to its name (keys.go, record.go: no I/O).
// The store itself is not trusted and not waited for: each operation has a budget, and
// after a failure it is left alone for a while (store.go, visit.go). Who asks and who waits
// is settled by a lease (fetch.go), and the others are told (tell.go). A store can delay a
// request, never prevent it.
package sharedcache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// A Store keeps bytes for the processes of a fleet. It is not ours.
type Store interface {
	Get(ctx context.Context, key string) (value []byte, left time.Duration, err error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
}

// budget is how long one operation may take, dialling included: as long as two hundred
// processes need that dial at once from two cores.
const budget = 250 * time.Millisecond

// maxValue is more than any token needs.
const maxValue = 64 << 10

// A Cache is what the clients of one cache have in common: the store, the keys, and what
// is known of how they do. The zero Cache with a Store and Keys is ready for use.
type Cache struct {
	Store Store
	// Keys returns the ring, nil with the reason if there is none. With a ring an
	// error tells that it is that of an earlier time.
	Keys func(context.Context) (Ring, error)

	hung    flight.Guard
	breaker breaker

	hits, misses, failures, rejected atomic.Uint64

	mu         sync.Mutex // guards what follows
	toldAt     clock.Instant
	keysFailed bool
}

// Stats are a snapshot of a cache.
type Stats struct {
	Hits     uint64 // flights that were answered from the store
	Misses   uint64 // flights for which the store worked and had no answer
	Failures uint64 // operations that failed
	Rejected uint64 // entries that could not be opened
	// Unavailable says that the store, or the file of its keys, failed when it was last
	// used.
	Unavailable bool
}

// Stats returns a snapshot.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	keysFailed := c.keysFailed
	c.mu.Unlock()
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Failures: c.failures.Load(), Rejected: c.rejected.Load(),
		Unavailable: keysFailed || c.breaker.failing(),
	}
}

// A Notice is something to tell of.
type Notice int

// What there is to tell of.
const (
	// Unavailable, with an error: the store or the file of its keys has failed, or
	// works again, without.
	Unavailable Notice = iota
	// Rejected: an entry could not be opened.
	Rejected
)

var (
	errRejected = errors.New("what lies in the shared store was sealed with another key, or by somebody who has none")
	errBusy     = errors.New("the shared store is left alone for a while after a failure")
)

// rejectedEvery is how often at most it is told that entries cannot be opened.
const rejectedEvery = time.Minute

// reject counts an entry that could not be opened, and reports whether to tell of it.
func (c *Cache) reject() bool {
	c.rejected.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clock.Now()
	if !c.toldAt.Add(rejectedEvery).Reached(now) {
		return false
	}
	c.toldAt = now
	return true
}

// ring returns the keys, and reports whether to tell of how they were had.
func (c *Cache) ring(ctx context.Context) (_ Ring, tell bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	ring, err := c.Keys(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	tell = c.keysFailed != (err != nil)
	c.keysFailed = err != nil
	return ring, tell, err
}

// A breaker keeps a store that fails from being asked, for 1 s doubling to 30 s. When
// that is over one operation tries it.
type breaker struct {
	mu       sync.Mutex // guards all; held for moments only
	failures int        // in a row
	until    clock.Instant
}

const pauseFirst, pauseLimit = time.Second, 30 * time.Second

// allow reports whether an operation may be made.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return true
	}
	now := clock.Now()
	if !b.until.Reached(now) {
		return false
	}
	b.until = now.Add(budget) // this one tries, others do not wait for it
	return true
}

func (b *breaker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures > 0
}

// note takes down how an operation went that began at some time, and reports whether
// to tell of it: of the first failure, and of the first success.
func (b *breaker) note(began clock.Instant, err error) (tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch now := clock.Now(); {
	case err == nil:
		tell = b.failures > 0
		b.failures = 0
	case b.failures == 0 || b.until.Add(-budget).Reached(began): // else many fail together
		tell = b.failures == 0
		b.failures++
		b.until = now.Add(flight.Backoff(pauseFirst, pauseLimit, b.failures))
	}
	return tell
}

// operate makes one operation of the store within what is left of ctx and the budget. tell
// reports whether err, nil too, is to be told of.
func operate[T any](ctx context.Context, c *Cache, do func(context.Context) (T, error)) (v T, tell bool, err error) {
	if !c.breaker.allow() {
		return v, false, errBusy
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, flight.TimeoutError("no answer in time"))
	defer cancel()
	began := clock.Now()
	v, err = flight.RunFor(ctx, 0, &c.hung, "the shared store", do)
	if err != nil {
		c.failures.Add(1)
	}
	return v, c.breaker.note(began, err), err
}
