// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly/cloud"
	"golang.org/x/sync/singleflight"
)

// defaultMaxEntries is what CacheOptions.MaxEntries means by 0.
const defaultMaxEntries = 10_000

// CacheOptions are the settings of a [Cache]; nil is fine.
type CacheOptions struct {
	// MaxEntries bounds the tokens and refusals kept, one per combination of
	// app, tenant and scope. 0 means 10,000.
	MaxEntries int
}

func (o *CacheOptions) maxEntries() int {
	if o == nil || o.MaxEntries <= 0 {
		return defaultMaxEntries
	}
	return o.MaxEntries
}

// A Cache keeps tokens for any number of clients. Clients of equal identity
// (authority, tenant, client ID, credential, HTTP client) share its tokens, so
// building a client costs nothing; clients of another identity never do.
//
// It is safe for concurrent use, owns no goroutine and needs no Close.
type Cache struct {
	max     int           // 0: the default
	inserts atomic.Uint32 // counts insertions; what use marks are made of
	entries table[entryKey, entry, *entry]

	// mu guards writes to entries and everything below, and the work of every
	// entry. It is never held across I/O, a callback or a wait.
	mu     sync.Mutex
	spaces map[spaceKey]*space
	// good are the entries with a token, bare those without: a flood of unknown
	// tenants fills bare and leaves good alone.
	good, bare list
	hand       int // where the next look for expired entries begins

	flights   singleflight.Group
	exchanges atomic.Uint64
	evictions uint64
}

// NewCache returns a cache of its own, for who must not share [DefaultCache]
// with the rest of the process or needs another bound.
func NewCache(opts *CacheOptions) *Cache {
	return &Cache{max: opts.maxEntries()}
}

// limit is how many entries there may be.
func (c *Cache) limit() int { return cmp.Or(c.max, defaultMaxEntries) }

var defaultCache = sync.OnceValue(func() *Cache { return NewCache(nil) })

// DefaultCache returns the cache that all clients without [Options.Cache]
// share.
func DefaultCache() *Cache { return defaultCache() }

// CacheStats is a snapshot of a [Cache].
type CacheStats struct {
	Entries   int    // keys held, with a token or a remembered refusal
	Exchanges uint64 // token requests begun so far, also those that could not be sent
	Evictions uint64 // entries that left for want of room or because they expired
}

// Stats returns a snapshot. There is no hit counter: it would be the one word
// that all cores write.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{
		Entries:   len(c.good) + len(c.bare),
		Exchanges: c.exchanges.Load(),
		Evictions: c.evictions,
	}
}

// A spaceKey is what the keys of a client's views have in common. Two clients
// with equal ones are the same app with the same proof of it.
type spaceKey struct {
	cloud      cloud.Cloud
	clientID   string
	credential any // comparable; stable across rotations
	cp1        bool
	http       *http.Client
}

// A space is an interned spaceKey. It lives as long as it has entries.
type space struct {
	key     spaceKey
	id      uint64
	entries int
	scopes  map[string]string // interned, so that a million entries share them
	// credentialExpires is when the last proof's certificate or assertion ends,
	// unix nanoseconds, 0 if unknown.
	credentialExpires int64
	keeper            keeper
}

const maxInternedScopes = 64

type entryKey struct {
	space  *space
	tenant string
	scope  string
}

// hashSeed makes where a key lies unpredictable to who chooses tenants.
var hashSeed = maphash.MakeSeed()

func maphashString(s string) uint64 { return maphash.String(hashSeed, s) }

func (k entryKey) hash() uint64 {
	return maphash.String(hashSeed, k.tenant) + maphash.String(hashSeed, k.scope)*31 + k.space.id
}

// An entry holds the token of one key. The fields a hit reads lie together in
// one cache line.
type entry struct {
	// due is when a caller must look closer: the token is to be refreshed, a
	// refresh should have come back, or the token ends. It is never later than
	// the token's last usable moment, so before it the token is good. 0 when
	// there is none.
	//
	// A new token is stored before its due; a drop clears due first. So who
	// reads due and then token never sees an old token under a later due.
	due   atomic.Uint64 // packed
	token atomic.Pointer[tokenData]

	scope string
	at    *place
	mark  atomic.Uint32 // Cache.inserts when last used

	// Cache.mu guards the rest.
	pos  int32 // in Cache.good or Cache.bare; -1 when it has left
	held bool  // in good rather than bare
	work *work // nil when idle
}

type place struct {
	space  *space
	tenant string
}

func (e *entry) matches(k entryKey) bool {
	return e.at.space == k.space && e.at.tenant == k.tenant && e.scope == k.scope
}

func (e *entry) key() entryKey { return entryKey{e.at.space, e.at.tenant, e.scope} }

// hit returns the token if nothing needs to be looked at, else nil.
func (e *entry) hit(c *Cache) *tokenData {
	if packed(e.due.Load()).reached(now()) {
		return nil
	}
	// Written only when it changes: a line that all cores read must not be one
	// that all cores write.
	if m := c.inserts.Load(); e.mark.Load() != m {
		e.mark.Store(m)
	}
	return e.token.Load()
}

// publish makes t the entry's token and looks again at due. The caller holds mu.
func (c *Cache) publish(e *entry, t *tokenData, due instant) {
	e.token.Store(t)
	e.due.Store(uint64(due.earlier(t.usable).pack()))
	if !e.held && e.pos >= 0 {
		c.bare.remove(e)
		c.good.add(e)
		e.held = true
	}
}

// find returns the entry for a client's scope without a lock, nil if there is
// none.
func (c *Cache) find(sp *space, tenant, scope string) *entry {
	if sp == nil {
		return nil
	}
	k := entryKey{sp, tenant, scope}
	return c.entries.get(k.hash(), k)
}

// obtain returns the entry for key, made if need be. The caller holds mu.
func (c *Cache) obtain(key spaceKey, tenant, scope string) *entry {
	sp := c.spaces[key]
	if sp == nil {
		sp = &space{key: key, id: rand.Uint64(), scopes: map[string]string{}}
	} else if e := c.find(sp, tenant, scope); e != nil {
		return e
	}
	c.makeRoom()
	if s, ok := sp.scopes[scope]; ok {
		scope = s
	} else if len(sp.scopes) < maxInternedScopes {
		sp.scopes[scope] = scope
	}
	if c.spaces == nil { // the zero Cache is an empty one
		c.spaces = map[spaceKey]*space{}
	}
	c.spaces[key] = sp // makeRoom may have dropped it with its last entry
	sp.entries++
	e := &entry{scope: scope, at: &place{sp, tenant}}
	e.mark.Store(c.inserts.Add(1))
	c.entries.put(e.key().hash(), e)
	c.bare.add(e)
	return e
}

// makeRoom lets a few expired entries go, and if the cache is still full one
// that is about the least recently used. The caller holds mu.
func (c *Cache) makeRoom() {
	n := now()
	for range 2 { // two steps for each insertion keep ahead of them
		if len(c.good) == 0 {
			break
		}
		c.hand = (c.hand + 1) % len(c.good)
		if e := c.good[c.hand]; e.idle() && e.expired(n) {
			c.evict(e)
		}
	}
	for len(c.good)+len(c.bare) >= c.limit() {
		// Entries without a token go first, so that a thousand tenants nobody
		// knows push out none that works.
		e := c.bare.victim(n)
		if e == nil {
			e = c.good.victim(n)
		}
		if e == nil {
			return // all are in flight: bounded by the flights then
		}
		c.evict(e)
	}
}

// idle reports whether no flight is under way for e. The caller holds mu.
func (e *entry) idle() bool { return e.work == nil || !e.work.ordinary && !e.work.past }

func (e *entry) expired(n instant) bool {
	t := e.token.Load()
	return t == nil || t.usable.reached(n)
}

// evict takes e out. A view that still points at it finds due reached and no
// token, and looks it up again; so nobody has to find the views.
func (c *Cache) evict(e *entry) {
	e.due.Store(0)
	e.token.Store(nil)
	c.entries.remove(e.key().hash(), e)
	if e.held {
		c.good.remove(e)
	} else {
		c.bare.remove(e)
	}
	e.pos = -1
	if sp := e.at.space; sp != nil {
		if sp.entries--; sp.entries == 0 {
			delete(c.spaces, sp.key)
		}
	}
	c.evictions++
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
func (l list) victim(n instant) *entry {
	const draw = 8
	var best *entry
	consider := func(e *entry) {
		switch {
		case !e.idle():
		case best == nil, e.expired(n) && !best.expired(n):
			best = e
		case e.expired(n) == best.expired(n) && int32(e.mark.Load()-best.mark.Load()) < 0:
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
