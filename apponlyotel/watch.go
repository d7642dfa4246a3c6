// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"maps"
	"slices"
	"sync"

	"github.com/apponly/apponly"
)

// Watch tells of the tokens of a client, or of its view for a tenant, and of the cache it
// uses, until stop is called, which may be done twice. Metrics read [apponly.Client.Status]
// and [apponly.Cache.Stats] when they are collected: that asks nobody for a token.
//
// A token is told of from the first call that wanted it. [apponly.Client.KeepWarm] wants it
// at once, and goes on to, so that one that cannot be had is seen before somebody needs it.
//
// Of tokens that go by the same names, because their tenants or scopes are "other" or
// clients are of the same app, the worst is told of: one without a token whose requests
// fail, then one whose refreshes fail, then the one that ends first. One that nobody asks
// for any more is told of last.
//
// Cache counters count from Watch on, each cache once, however many of its clients are
// watched. A client that is watched is kept, and with it its cache, until stop.
func (t *Telemetry) Watch(c *apponly.Client) (stop func()) {
	w := &watch{c}
	t.watched.add(w)
	return sync.OnceFunc(func() { t.watched.remove(w) })
}

type watch struct{ *apponly.Client }

// watched are the clients that are watched, and their caches.
type watched struct {
	mu      sync.Mutex // guards all; held while a cache is counted, which calls nobody
	clients map[*watch]bool
	caches  map[*apponly.Cache]*counted
	// gone is what caches had counted that are not watched any more: a sum that went
	// down would be taken for a restart.
	gone counts
}

// counted is a cache that is watched by some of its clients.
type counted struct {
	clients int
	from    counts
}

// counts are what a cache counts. They only grow.
type counts struct {
	evictions, exchanges, hits, misses, unavailable, rejected uint64
}

func (w *watched) add(c *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients == nil {
		w.clients, w.caches = map[*watch]bool{}, map[*apponly.Cache]*counted{}
	}
	w.clients[c] = true
	cache := c.Cache()
	if w.caches[cache] == nil {
		w.caches[cache] = &counted{from: countsOf(cache.Stats())}
	}
	w.caches[cache].clients++
}

func (w *watched) remove(c *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.clients, c)
	cache := c.Cache()
	k := w.caches[cache]
	if k.clients--; k.clients == 0 {
		delete(w.caches, cache)
		w.gone = w.gone.plus(countsOf(cache.Stats())).minus(k.from)
	}
}

// all returns the clients.
func (w *watched) all() []*watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.clients))
}

// stats returns what the caches have counted so far, and how they are now.
func (w *watched) stats() (sum counts, entries, unavailable int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum = w.gone
	for cache, k := range w.caches {
		s := cache.Stats()
		sum = sum.plus(countsOf(s)).minus(k.from)
		entries += s.Entries
		if s.SharedUnavailable {
			unavailable++
		}
	}
	return sum, entries, unavailable
}

func countsOf(s apponly.CacheStats) counts {
	return counts{s.Evictions, s.Exchanges, s.SharedHits, s.SharedMisses, s.SharedFailures, s.SharedRejected}
}

func (c counts) plus(d counts) counts {
	return counts{
		c.evictions + d.evictions, c.exchanges + d.exchanges,
		c.hits + d.hits, c.misses + d.misses, c.unavailable + d.unavailable, c.rejected + d.rejected,
	}
}

func (c counts) minus(d counts) counts {
	return counts{
		c.evictions - d.evictions, c.exchanges - d.exchanges,
		c.hits - d.hits, c.misses - d.misses, c.unavailable - d.unavailable, c.rejected - d.rejected,
	}
}
