// SPDX-License-Identifier: MIT

// Package tokencache keeps tokens by tenant and scope, for any number of
// identities: it serves them without a lock, refreshes them behind their
// callers, remembers failures, and asks for each key once at a time. It knows
// nothing of Entra or of clients: an [Identity] says whose tokens they are and a
// [Source] gets them.
//
// What is done about a call is decided by decide, a function of the token, the
// flights under way and what is remembered; Get does it. One mutex guards all
// decisions and is never held across I/O, a callback or a wait. A hit takes no
// lock.
package tokencache

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// defaultMax is what a Max of 0 means.
const defaultMax = 10_000

// A Cache holds the entries of any number of identities. The zero Cache is
// empty and ready for use. It is safe for concurrent use.
type Cache struct {
	Max int // bounds the entries, 0: 10,000; not to be changed later

	inserts atomic.Uint32 // counts insertions; what lastUsed is measured by
	entries Table[entryKey, entry, *entry]

	// mu guards writes to entries, everything below, and the state of every
	// entry. It is never held across I/O, a callback or a wait.
	mu         sync.Mutex
	namespaces map[any]*namespace // by Identity.Key
	quiet      list.List          // of those without entries, in the order in which they lost the last one
	// Entries without a flight. A flood of unknown tenants fills withoutToken and
	// leaves withToken alone.
	withToken, withoutToken entryList
	sweep                   int // where the next look for expired entries begins

	exchanges atomic.Uint64
	evictions uint64
}

// Limit returns how many entries there may be.
func (c *Cache) Limit() int { return cmp.Or(max(c.Max, 0), defaultMax) }

// Stats is a snapshot of a cache.
type Stats struct {
	Entries, Identities  int
	Exchanges, Evictions uint64
}

// Stats returns a snapshot. There is no hit counter: it would be the one word
// that all cores write.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.entries.Len(), len(c.namespaces) - c.quiet.Len(), c.exchanges.Load(), c.evictions}
}

// An Identity is whose tokens they are: an app and its proof of it. Identities
// with equal keys share their entries. The fields are not changed once it is in
// use.
type Identity struct {
	Cache   *Cache
	Key     any // comparable
	Source  Source
	Sharer  Sharer        // nil: nothing is shared with other processes
	Timeout time.Duration // of one flight
	// NewState makes what the source keeps for identities of this key, for as long
	// as they have entries and a day more. It is called with the cache locked.
	NewState func() any

	namespace atomic.Pointer[namespace] // of Key; a hint, see enter
	stat      flight.Guard              // of looks at the credential's files
}

// A View is one tenant of an identity.
type View struct {
	Identity *Identity
	Tenant   string
	// first is the entry of the first scope that was asked for. Most clients use
	// one, and a hit then needs no table.
	first atomic.Pointer[entry]
}

// find returns the entry of a scope without a lock, nil if there is none.
func (v *View) find(scope string) *entry {
	ns := v.Identity.namespace.Load()
	if ns == nil {
		return nil
	}
	k := entryKey{ns, v.Tenant, scope}
	return v.Identity.Cache.entries.Get(k.hash(), k)
}

// Hit returns the token for a scope if nothing needs a closer look, else nil. It
// takes no lock and does not allocate.
func (v *View) Hit(scope string) *Token {
	e := v.first.Load()
	if e == nil || e.scope != scope {
		if e = v.find(scope); e == nil {
			return nil
		}
	}
	return e.hit(v.Identity.Cache)
}

// Get returns a token, from memory or from a flight. It waits until the flight
// has ended or ctx has, whichever is first. Its error is what a [Failure] says,
// or [ErrWaiting]. The methods of ctx should not panic; see flight.Safe.
func (v *View) Get(ctx context.Context, a Ask) (*Token, error) {
	d, landing := v.begin(ctx, a, false)
	if d.step == lookAgain {
		if v.Identity.stamp(ctx, d.stamp) == d.stamp {
			return nil, d.err
		}
		// The credential's files have changed: what was refused before need not be
		// refused again.
		d, landing = v.begin(ctx, a, true)
	}
	switch d.step {
	case serve, serveAndRefresh:
		return d.token, nil
	case refuse, lookAgain:
		return nil, d.err
	}
	t, err := landing.wait(ctx)
	if err != nil && d.fallback != nil && !d.fallback.usable.Reached(clock.Now()) {
		return d.fallback, nil
	}
	return t, err
}

// ErrWaiting says that the caller's context ended before there was an answer.
var ErrWaiting = errors.New("the context ended first")

// begin decides about a and does what has to be done under the lock. changed
// says that the credential's files are not those that failed. The landing is nil
// where there is nothing to wait for: no flight is begun or joined for a caller
// whose context has ended.
func (v *View) begin(ctx context.Context, a Ask, changed bool) (decision, *landing) {
	ended := ctx.Err() != nil // before mu is taken: a context is not ours
	id := v.Identity
	id.Cache.mu.Lock()
	defer id.Cache.mu.Unlock()
	now := clock.Now()
	e := v.enter(a.Scope, now)
	if changed && e.state != nil {
		e.state.memory.tryAt = clock.Instant{}
	}
	var s entryState
	if e.state != nil {
		s = *e.state
	}
	d := decide(now, e.token.Load(), s, a)
	switch {
	case d.step == lookAgain:
		e.state.memory.statAt = now.Add(statInterval)
	case d.token != nil && d.token == e.token.Load() && d.token.Refresh.Reached(now):
		if d.step == serveAndRefresh {
			id.launch(ctx, e, d, a, now) // the entry shows how it ended
		}
		// Until it has, or while it is put off, a look once a second will do.
		e.recheck(now.Add(time.Second), d.token)
	case ended || d.step != fly:
	case d.join != nil:
		return d, d.join.landingFor(a)
	default:
		return d, id.launch(ctx, e, d, a, now).landingFor(a)
	}
	return d, nil
}

// enter returns the entry of a scope, made if need be. The caller holds Cache.mu.
func (v *View) enter(name string, now clock.Instant) *entry {
	c := v.Identity.Cache
	ns := c.namespaceOf(v.Identity)
	e := v.find(name)
	if e == nil {
		e = c.insert(ns, v.Tenant, name, now)
	}
	e.lastUsed.Store(c.inserts.Load())
	if old := v.first.Load(); old == nil || old.pos == evicted {
		v.first.Store(e)
	}
	return e
}

// insert makes an entry whose key is not in the cache. The caller holds mu.
func (c *Cache) insert(ns *namespace, tenant, name string, now clock.Instant) *entry {
	c.makeRoom(now)
	e := &entry{scope: ns.hold(c, name), owner: &owner{ns, tenant}}
	e.lastUsed.Store(c.inserts.Add(1))
	c.entries.Put(e.key().hash(), e)
	c.withoutToken.add(e)
	return e
}

// statLimit is how long a caller waits for a look at the credential's files, which
// may be on a volume that is gone.
const statLimit = time.Second

// stamp looks at the credential's files, in time; known if it cannot.
func (id *Identity) stamp(ctx context.Context, known string) string {
	ctx, cancel := context.WithTimeout(ctx, statLimit)
	defer cancel()
	s, err := flight.Run(ctx, &id.stat, "the file system", func(context.Context) (string, error) { return id.Source.Stamp(), nil })
	if err != nil {
		return known
	}
	return s
}

// Status returns the state of every key of the view, in no order, and what the
// source keeps for the identity, nil if it has no entries. It looks at no other
// tenant's entries.
func (v *View) Status() (all []Status, state any) {
	c := v.Identity.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	ns := c.namespaces[v.Identity.Key]
	if ns == nil {
		return nil, nil
	}
	now := clock.Now()
	for name := range ns.scopes {
		k := entryKey{ns, v.Tenant, name}
		if e := c.entries.Get(k.hash(), k); e != nil {
			all = append(all, e.status(now))
		}
	}
	return all, ns.state
}
