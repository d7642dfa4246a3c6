// SPDX-License-Identifier: MIT

package tokencache

import (
	"math/rand/v2"

	"github.com/apponly/apponly/internal/clock"
)

// makeRoom lets a few expired entries go, and if the cache is still full one
// that is about the least recently used. The caller holds Cache.mu.
func (c *Cache) makeRoom(now clock.Instant) {
	for range 2 { // two steps for each insertion keep ahead of them
		if len(c.withToken) == 0 {
			break
		}
		c.sweep = (c.sweep + 1) % len(c.withToken)
		if e := c.withToken[c.sweep]; e.rank(now) == worthless {
			c.evict(e, now)
		}
	}
	for c.entries.Len() >= c.Limit() && c.evictOne(now) {
	}
	c.forgetQuiet(now)
}

// evictOne evicts one entry. It reports false if all are in flight: they are
// bounded by the flights then.
func (c *Cache) evictOne(now clock.Instant) bool {
	// Entries without a token go first, so that a thousand unknown tenants push
	// out none that works.
	e := c.withoutToken.victim(now)
	if e == nil {
		e = c.withToken.victim(now)
	}
	if e == nil {
		return false
	}
	c.evict(e, now)
	return true
}

// evict takes e out. Clients that still point at it need not be found: they see
// recheckAt reached and no token, and look it up again.
func (c *Cache) evict(e *entry, now clock.Instant) {
	e.recheckAt.Store(0)
	e.token.Store(nil)
	c.entries.Remove(e.key().hash(), e)
	c.listOf(e).remove(e)
	e.pos = evicted
	c.evictions++
	e.owner.namespace.release(c, e.scope, now)
}

// An entryList is a set of entries that can be drawn from at random. Those in flight are
// in none: they cannot be evicted, and looking past them would take the longer the
// more of them there are.
type entryList []*entry

func (c *Cache) listOf(e *entry) *entryList {
	if e.hasToken {
		return &c.withToken
	}
	return &c.withoutToken
}

// takeOff takes e out of its list while a flight holds it.
func (c *Cache) takeOff(e *entry) {
	if e.pos >= 0 {
		c.listOf(e).remove(e)
		e.pos = flying
	}
}

// putBack puts e back once no flight holds it any more, and lets an entry go if
// there are too many: when all were in flight there was none that could.
func (c *Cache) putBack(e *entry, now clock.Instant) {
	if !e.idle() {
		return
	}
	e.hasToken = e.token.Load() != nil
	c.listOf(e).add(e)
	if c.entries.Len() > c.Limit() {
		c.evictOne(now)
	}
}

func (l *entryList) add(e *entry) {
	e.pos = int32(len(*l))
	*l = append(*l, e)
}

func (l *entryList) remove(e *entry) {
	s := *l
	last := s[len(s)-1]
	s[e.pos], last.pos = last, e.pos
	s[len(s)-1] = nil
	*l = s[:len(s)-1]
}

// victim returns the least recently used of a few entries drawn at random, the
// least worth first; nil if there is none. A true LRU list would make every hit a
// write to shared memory.
func (l entryList) victim(now clock.Instant) *entry {
	const draw = 8
	var best *entry
	consider := func(e *entry) {
		if best == nil || e.goesBefore(best, now) {
			best = e
		}
	}
	if len(l) > 2*draw {
		for range draw {
			consider(l[rand.IntN(len(l))])
		}
		return best
	}
	for _, e := range l {
		consider(e)
	}
	return best
}

// The worth of an idle entry.
const (
	worthless   = iota // nothing to hand out, and nothing that keeps anybody from asking
	worthMemory        // a memory that is still at work
	worthToken
)

// rank returns what e is worth.
func (e *entry) rank(now clock.Instant) int {
	switch {
	case e.usable(now) != nil:
		return worthToken
	case e.state != nil && !e.state.resting(now):
		return worthMemory
	}
	return worthless
}

// goesBefore reports whether e is evicted rather than other.
func (e *entry) goesBefore(other *entry, now clock.Instant) bool {
	if r, o := e.rank(now), other.rank(now); r != o {
		return r < o
	}
	return int32(e.lastUsed.Load()-other.lastUsed.Load()) < 0
}
