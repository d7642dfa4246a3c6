// SPDX-License-Identifier: MIT

package apponly

import (
	"sync"

	"github.com/apponly/apponly/internal/sharedcache"
	"github.com/apponly/apponly/internal/tokencache"
)

// CacheOptions are the settings of a [Cache]; nil is fine.
type CacheOptions struct {
	// MaxEntries bounds the tokens and refusals kept, one per combination of
	// app, tenant and scope. 0 means 10,000.
	MaxEntries int

	// Shared, if set, keeps the tokens for other processes too: of a fleet one
	// process makes a token request, and the others get what it brought. It is asked
	// when there would be a token request, never on a hit, and when it fails Entra is
	// asked as if there were none. Clients share what they hold there by authority,
	// tenant, client ID, scope and CAE, whatever their credentials: a process that
	// never proves itself lives on what others have obtained ([TokenStatus.Shared]).
	// Clients from [FromTokenCredential] do not use it.
	Shared SharedStore
	// SharedKeys seal what lies in Shared, which does not go without; what is wrong
	// with them [New] reports.
	SharedKeys SharedKeys
}

// A Cache keeps tokens for any number of clients. Clients of equal identity
// (authority, client ID, credential, CAE, HTTP client) share its tokens, so
// building a client costs nothing; clients of another identity never do.
//
// It is safe for concurrent use, owns no goroutine and needs no Close. The zero
// Cache is an empty one.
type Cache struct {
	tokens  tokencache.Cache
	domains domains
	fleet   *sharedcache.Cache // nil: there are no other processes
	fault   error              // of the options, for New
}

// NewCache returns a cache of its own, for clients that must not share
// [DefaultCache] with the rest of the process or need another bound.
func NewCache(opts *CacheOptions) *Cache {
	if opts == nil {
		opts = &CacheOptions{}
	}
	c := &Cache{tokens: tokencache.Cache{Max: opts.MaxEntries}}
	c.fleet, c.fault = opts.fleet()
	return c
}

var defaultCache = sync.OnceValue(func() *Cache { return NewCache(nil) })

// DefaultCache returns the cache that all clients without [Options.Cache]
// share.
func DefaultCache() *Cache { return defaultCache() }

// CacheStats is a snapshot of a [Cache].
type CacheStats struct {
	Entries int // keys held, with a token or a remembered refusal
	// Identities is how many identities the entries belong to. If it grows with
	// every client that is built, those clients share nothing, because each has a
	// credential or an http.Client of its own.
	Identities int
	Exchanges  uint64 // token requests begun so far, also those that could not be sent
	Evictions  uint64 // entries that left for want of room or because they expired
	// SharedHits is how often [CacheOptions.Shared] had the answer, a token or a
	// refusal, in place of a token request, and SharedMisses how often it worked and had
	// none. SharedFailures is how many of its operations failed. SharedRejected is how
	// many entries could not be opened: they were sealed with a key that is none of ours,
	// or have been tampered with.
	SharedHits, SharedMisses, SharedFailures, SharedRejected uint64
	// SharedUnavailable says that it, or its [SharedKeyFile], failed when it was last
	// used, as [EventSharedUnavailable] has told.
	SharedUnavailable bool
}

// Stats returns a snapshot. There is no hit counter: it would be the one word
// that all cores write.
func (c *Cache) Stats() CacheStats {
	if c == nil {
		return CacheStats{}
	}
	t := c.tokens.Stats()
	s := CacheStats{Entries: t.Entries, Identities: t.Identities, Exchanges: t.Exchanges, Evictions: t.Evictions}
	if c.fleet != nil {
		f := c.fleet.Stats()
		s.SharedHits, s.SharedMisses, s.SharedFailures, s.SharedRejected, s.SharedUnavailable = f.Hits, f.Misses, f.Failures, f.Rejected, f.Unavailable
	}
	return s
}
