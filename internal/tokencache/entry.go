// SPDX-License-Identifier: MIT

package tokencache

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// A Token is an access token and its times. It is immutable once it is in the
// cache.
type Token struct {
	// Bearer returns "Bearer " and the value. It is a closure because fmt, spew
	// and the like print fields of any string or byte type at any depth, but
	// cannot see what a func has captured. The prefix is stored with the value so
	// that attaching a token to a request allocates no string.
	Bearer func() string

	Expires  clock.Instant // by the server's word, without any margin
	Refresh  clock.Instant // when a refresh is due
	Received int64         // by the wall clock, unix nanoseconds
	Shared   bool          // another process has obtained it

	usable clock.Instant // the last moment at which the cache hands it out
	claims uint64        // identifies the claims it was obtained with, 0 if none
}

// An entry holds the token of one key. The fields that a hit reads lie together
// in one cache line.
type entry struct {
	// recheckAt is when a caller must look closer: the token is to be refreshed,
	// a refresh should have come back, or the token ends. It is never later than
	// the token's last usable moment, so before it the token is good. 0 when
	// there is none.
	//
	// A new token is stored before its recheckAt; a drop clears recheckAt first.
	// So a reader that loads recheckAt and then token never sees an old token
	// under a later recheckAt.
	recheckAt atomic.Uint64 // clock.Packed
	token     atomic.Pointer[Token]

	scope    string
	owner    *owner
	lastUsed atomic.Uint32 // Cache.inserts at the time

	// Cache.mu guards the rest.
	pos      int32       // in Cache.withToken or Cache.withoutToken; or one of the marks below
	hasToken bool        // in withToken rather than withoutToken
	state    *entryState // nil when idle, so that a quiet entry costs no more than its token
}

// Marks of an entry that is in no list.
const (
	evicted = -1
	flying  = -2 // a flight holds it
)

// An owner is one tenant of a namespace.
type owner struct {
	namespace *namespace
	tenant    string
}

// An entryKey is what an entry is found by.
type entryKey struct {
	namespace *namespace
	tenant    string
	scope     string
}

func (k entryKey) hash() uint64 { return Hash(k.tenant) + Hash(k.scope)*31 + k.namespace.id }

// Matches reports whether e is the entry of k.
func (e *entry) Matches(k entryKey) bool {
	return e.owner.namespace == k.namespace && e.owner.tenant == k.tenant && e.scope == k.scope
}

func (e *entry) key() entryKey { return entryKey{e.owner.namespace, e.owner.tenant, e.scope} }

// entryState is what an entry needs while it does more than serve a token: the
// flights under way, what is remembered of failures, and the pace of requests
// that bypass the cache. Cache.mu guards it.
type entryState struct {
	ordinary *trip         // the ordinary flight, nil if none is under way
	hung     *flight.Guard // of flights that were abandoned

	memory memory
	plain  bypass   // of requests without claims
	claims []bypass // of each of the claims that were asked for lately
	word   serverWord
}

// A memory is what is remembered of failures, so that they are not repeated for
// every caller.
type memory struct {
	failures int           // in a row
	tries    int           // of them, those that the pace is kept by
	behind   bool          // the last one was behind a token
	failedAt clock.Instant // when the last one was
	err      error         // the last one, as callers get it from memory
	tryAt    clock.Instant // nothing is asked before
	stamp    string        // of the credential's files when it failed
	statAt   clock.Instant // when the files may be looked at again
}

// next counts a failure, behind a token or not.
func (m memory) next(behind bool) (failures, tries int) {
	if m.behind && !behind {
		return m.failures + 1, 1 // callers wait from now on, and the pace behind them was a slower one
	}
	return m.failures + 1, m.tries + 1
}

// flights returns the flights under way.
func (s *entryState) flights() []*trip {
	all := []*trip{s.ordinary, s.plain.flight}
	for _, b := range s.claims {
		all = append(all, b.flight)
	}
	return slices.DeleteFunc(all, func(f *trip) bool { return f == nil })
}

// resting reports whether nothing that is remembered keeps anybody from asking.
func (s *entryState) resting(now clock.Instant) bool {
	return s.memory.tryAt.Reached(now) && s.word.until.Reached(now) && s.plain.resting(now) && s.hung.Idle() &&
		!slices.ContainsFunc(s.claims, func(b bypass) bool { return !b.resting(now) })
}

// hit returns the token if nothing needs a closer look, else nil.
func (e *entry) hit(c *Cache) *Token {
	if clock.Packed(e.recheckAt.Load()).Reached(clock.Now()) {
		return nil
	}
	// Written only when it changes: a line that all cores read must not be one
	// that all cores write.
	if m := c.inserts.Load(); e.lastUsed.Load() != m {
		e.lastUsed.Store(m)
	}
	return e.token.Load()
}

// recheck has callers look closer at an instant, or when the token's last usable
// moment has come if that is earlier. The caller holds Cache.mu.
func (e *entry) recheck(at clock.Instant, t *Token) {
	e.recheckAt.Store(uint64(at.Earlier(t.usable).Pack()))
}

// usable returns the token if it can still be handed out, else nil.
func (e *entry) usable(now clock.Instant) *Token {
	if t := e.token.Load(); t != nil && !t.usable.Reached(now) {
		return t
	}
	return nil
}

// idle reports whether no flight is under way. The caller holds Cache.mu.
func (e *entry) idle() bool { return e.state == nil || len(e.state.flights()) == 0 }

// A State is how good a cached token is.
type State string

// The states of a token.
const (
	Fresh   State = "fresh"
	Stale   State = "stale"
	Expired State = "expired"
	Missing State = "missing"
)

// A Status describes one key.
type Status struct {
	Scope    string
	State    State
	Token    *Token // nil if there is none
	NextTry  time.Time
	Failures int   // in a row
	LastErr  error // nil after a success
}

// status describes e. The caller holds Cache.mu.
func (e *entry) status(now clock.Instant) Status {
	s := Status{Scope: e.scope, State: Missing, Token: e.token.Load(), NextTry: now.Time()}
	if t := s.Token; t != nil {
		s.NextTry = t.Refresh.Time()
		switch {
		case t.usable.Reached(now):
			s.State = Expired
		case t.Refresh.Reached(now):
			s.State = Stale
		default:
			s.State = Fresh
		}
	}
	if e.state != nil && e.state.memory.failures > 0 {
		m := &e.state.memory
		s.Failures, s.LastErr = m.failures, m.err
		s.NextTry = now.Time().Add(m.tryAt.Until(now))
	}
	return s
}
