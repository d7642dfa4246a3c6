// SPDX-License-Identifier: MIT

package tokencache

import (
	"math/rand/v2"

	"github.com/apponly/apponly/internal/clock"
)

// makeRoom lets a few expired entries go, and if the cache is still full one
// that is about the least recently used. The caller holds Cache.mu.
func (c *Cache) makeRoom() {
	now := clock.Now()
	for range 2 { // two steps for each insertion keep ahead of them
		if len(c.withToken) == 0 {
			break
		}
		c.sweep = (c.sweep + 1) % len(c.withToken)
		if e := c.withToken[c.sweep]; e.idle() && e.usable(now) == nil {
			c.evict(e)
		}
	}
	for len(c.withToken)+len(c.withoutToken) >= c.Limit() {
		// Entries without a token go first, so that a thousand unknown tenants push
		// out none that works.
		e := c.withoutToken.victim(now)
		if e == nil {
			e = c.withToken.victim(now)
		}
		if e == nil {
			return // all are in flight: bounded by the flights then
		}
		c.evict(e)
	}
}

// evict takes e out. Clients that still point at it need not be found: they see
// recheckAt reached and no token, and look it up again.
func (c *Cache) evict(e *entry) {
	e.recheckAt.Store(0)
	e.token.Store(nil)
	c.entries.Remove(e.key().hash(), e)
	if e.hasToken {
		c.withToken.remove(e)
	} else {
		c.withoutToken.remove(e)
	}
	e.pos = -1
	c.evictions++
	e.owner.namespace.release(c, e.scope)
}

// A list is a set of entries that can be drawn from at random.
type list []*entry

func (l *list) add(e *entry) {
	e.pos = int32(len(*l))
	*l = append(*l, e)
}

func (l *list) remove(e *entry) {
	s := *l
	last := s[len(s)-1]
	s[e.pos], last.pos = last, e.pos
	s[len(s)-1] = nil
	*l = s[:len(s)-1]
}

// victim returns the least recently used of a few entries drawn at random, an
// expired one if there is any among them, and never one with a flight. A true
// LRU list would make every hit a write to shared memory.
func (l list) victim(now clock.Instant) *entry {
	const draw = 8
	var best *entry
	consider := func(e *entry) {
		if e.idle() && (best == nil || e.goesBefore(best, now)) {
			best = e
		}
	}
	if len(l) > 2*draw {
		for range draw {
			consider(l[rand.IntN(len(l))])
		}
	}
	if best == nil { // few entries, or all that were drawn are in flight
		for _, e := range l {
			consider(e)
		}
	}
	return best
}

// goesBefore reports whether e is evicted rather than other.
func (e *entry) goesBefore(other *entry, now clock.Instant) bool {
	expired, otherExpired := e.usable(now) == nil, other.usable(now) == nil
	if expired != otherExpired {
		return expired
	}
	return int32(e.lastUsed.Load()-other.lastUsed.Load()) < 0
}
