// SPDX-License-Identifier: MIT

package tokencache

import (
	"time"
	"unsafe"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// EntrySize is the size of what a hit reads.
const EntrySize = unsafe.Sizeof(entry{})

// TokenAt makes a token of a lifetime received at an instant and reports its
// state at another.
func TokenAt(received, now clock.Instant, lifetime time.Duration) (refresh, usable bool) {
	t := Grant{Bearer: func() string { return "Bearer x" }, Received: received, Lifetime: lifetime}.schedule(spreadUsual, 0)
	return t.Refresh.Reached(now), !t.usable.Reached(now)
}

// A TestTable is a table of strings for its own tests.
type TestTable struct {
	t Table[string, testValue, *testValue]
}

type testValue struct{ key string }

func (v *testValue) Matches(key string) bool { return v.key == key }

// Put adds key and returns how to remove it.
func (t *TestTable) Put(key string, hash uint64) (remove func()) {
	v := &testValue{key}
	t.t.Put(hash, v)
	return func() { t.t.Remove(hash, v) }
}

// Has reports whether key is there.
func (t *TestTable) Has(key string, hash uint64) bool { return t.t.Get(hash, key) != nil }

// Len counts the live values twice, by bookkeeping and by looking.
func (t *TestTable) Len() (live, found int) {
	for range t.t.all {
		found++
	}
	return t.t.Len(), found
}

// Schedule is the refresh rule alone, for the simulation of a fleet: how long
// after a token of a lifetime came the cache looks for its successor, and how
// long it hands it out. first is for the first token of a key, recovered for the
// first after a failure.
func Schedule(lifetime time.Duration, first, recovered bool) (refresh, usable time.Duration) {
	s := spreadUsual
	switch {
	case first:
		s = spreadFirst
	case recovered:
		s = spreadRecovered
	}
	t := Grant{Lifetime: lifetime}.schedule(s, 0)
	return time.Duration(t.Refresh.Mono), time.Duration(t.usable.Mono)
}

// Pause is the pace at which a cache asks a source that is down, after the nth
// failure in a row: behind a token that is good, or without one.
func Pause(valid bool, n int) time.Duration {
	if valid {
		return flight.Backoff(staleFirst, staleLimit, n)
	}
	return flight.Backoff(passingFirst, passingLimit, n)
}

// Namespaces counts those with entries and those without.
func (c *Cache) Namespaces() (held, quiet int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.namespaces) - c.quiet.Len(), c.quiet.Len()
}

// State returns what is kept for an identity, nil if it is not known any more.
func (c *Cache) State(id *Identity) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ns := c.namespaces[id.Key]; ns != nil {
		return ns.state
	}
	return nil
}
