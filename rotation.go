// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"sync"
	"time"
)

// A material is a credential as it was read at one moment: what may change
// between two token requests.
type material struct {
	// fingerprint tells material apart and is worthless outside the process.
	fingerprint [32]byte
	// keep says that the material stays worth trying after it was replaced. An
	// assertion does not.
	keep bool
	// clocked says that proofs are made by the clock, and may be right once it is.
	clocked bool
	// volatile says that the fingerprint is another each time, as that of an
	// assertion made to order, and tells nothing.
	volatile bool
	// prove makes the proof for one request: signs, if it is a key.
	prove func(ctx context.Context, req AssertionRequest) (proof, error)
	// refused, if set, is told when a proof was refused.
	refused func(req AssertionRequest)
}

const (
	// previousFor is how long replaced material stands in for what Entra does
	// not know yet.
	previousFor = 15 * time.Minute
	// asideFor is how long a credential that failed is passed over.
	asideFor = 5 * time.Minute
	// A federated credential that has worked and suddenly matches nothing is
	// most likely Entra's replicas disagreeing.
	patienceTries = 3
	patienceTotal = 10 * time.Second
)

// A keeper remembers how the credentials of one identity fared. It outlives
// clients and lives with the identity's entries in the cache.
type keeper struct {
	mu      sync.Mutex // guards the rest; not held across I/O or callbacks
	members map[int]*member
	aside   map[asideKey]aside
	skew    time.Duration
	skewed  bool // skew has been measured
	absurd  bool // and is beyond belief
}

// A member is one credential of a FirstOf, or the only one.
type member struct {
	accepted *material // what Entra last took, while it may stand in for what is new
	last     [32]byte  // its fingerprint, for good
	pending  [32]byte  // what was first sent after it, while Entra has not taken it
	since    int64     // when that was, by the monotonic clock
	// sent counts requests, and took is the latest of those that Entra took: the
	// answer to an older one must not roll a rotation back.
	sent, took uint64
	warned     int // days before its end that were last warned of, 0: none
}

type asideKey struct {
	tenant string
	member int
}

type aside struct {
	since       int64    // when it failed first
	tried       int64    // when it failed last
	fingerprint [32]byte // of what failed; zero if it could not be read
	volatile    bool     // the fingerprint tells nothing
}

func (k *keeper) member(i int) *member {
	m := k.members[i]
	if m == nil {
		if k.members == nil {
			k.members = map[int]*member{}
		}
		m = &member{}
		k.members[i] = m
	}
	return m
}

// sending notes that m is about to be sent, and returns what may stand in for
// it if Entra does not know it: what it replaced, for a while. seq is for accept.
func (k *keeper) sending(i int, m *material) (previous *material, seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.member(i)
	s.sent++
	if s.accepted == nil || s.accepted.fingerprint == m.fingerprint {
		return nil, s.sent
	}
	if n := now().mono; s.pending != m.fingerprint {
		s.pending, s.since = m.fingerprint, n
	} else if n > s.since+int64(previousFor) {
		s.accepted = nil
	}
	return s.accepted, s.sent
}

// accept notes that Entra took m. It reports whether that ended a rotation.
func (k *keeper) accept(i int, tenant string, m *material, seq uint64) (changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.aside, asideKey{tenant, i})
	s := k.member(i)
	if seq < s.took {
		return false // sent before what Entra has taken since
	}
	s.took = seq
	s.pending = [32]byte{}
	if !m.keep {
		return false
	}
	changed = s.last != [32]byte{} && s.last != m.fingerprint
	if changed {
		s.warned = 0
	}
	s.accepted, s.last = m, m.fingerprint
	return changed
}

// kept returns the material that worked last, for when the source cannot be
// read: half of a rotation is no reason to stop.
func (k *keeper) kept(i int) *material {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.member(i).accepted
}

// putAside passes a credential over for one tenant. It reports whether it was
// not already.
func (k *keeper) putAside(i int, tenant string, failed *material) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := now().mono
	for key, a := range k.aside { // nobody else takes them out
		if n > a.since+int64(asideFor) {
			delete(k.aside, key)
		}
	}
	if k.aside == nil {
		k.aside = map[asideKey]aside{}
	}
	a := aside{since: n, tried: n}
	if failed != nil {
		a.fingerprint, a.volatile = failed.fingerprint, failed.volatile
	}
	key := asideKey{tenant, i}
	old, was := k.aside[key]
	if was = was && (a.volatile || old.fingerprint == a.fingerprint); was {
		a.since = old.since
	}
	k.aside[key] = a
	return !was
}

// order returns which of n credentials to try for a tenant, in order. resolved
// tells the fingerprint of a credential that was passed over, as it is now: one
// that has changed is tried again. If all are passed over it is the turn of the
// one that has not been tried for longest.
func (k *keeper) order(n int, tenant string, resolved func(i int) [32]byte) []int {
	k.mu.Lock()
	passed := map[int]aside{}
	for i := range n {
		if a, ok := k.aside[asideKey{tenant, i}]; ok && now().mono <= a.since+int64(asideFor) {
			passed[i] = a
		}
	}
	k.mu.Unlock()
	var order []int
	first := -1
	for i := range n {
		a, ok := passed[i]
		if ok && (a.volatile || resolved(i) == a.fingerprint) {
			if first < 0 || a.tried < passed[first].tried {
				first = i
			}
			continue
		}
		order = append(order, i)
	}
	if len(order) == 0 {
		order = append(order, first)
	}
	return order
}

// expiring reports whether somebody has to be warned that a certificate ends:
// 30, 7 and 1 days before, once each. What ends within the hour of its issue, as
// assertions do, is renewed by who wrote it.
func (k *keeper) expiring(i int, end time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.member(i)
	if end.IsZero() || s.accepted == nil {
		return false
	}
	left := time.Until(end)
	for _, days := range []int{1, 7, 30} {
		if left <= time.Duration(days)*24*time.Hour {
			warn := s.warned == 0 || days < s.warned
			s.warned = days
			return warn
		}
	}
	return false
}

// clock returns by how much Entra's clock is ahead of ours, and whether that has
// been measured.
func (k *keeper) clock() (skew time.Duration, measured bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.skew, k.skewed
}

const (
	// tolerableSkew is what a Date header in whole seconds and the way of an
	// answer can amount to; less is none.
	tolerableSkew = 5 * time.Second
	// notableSkew is what somebody should mend.
	notableSkew = time.Minute
	// believableSkew is the most that is corrected.
	believableSkew = 24 * time.Hour
)

// measure learns the skew from the Date header of an answer that was under way
// from began to now. It reports whether there is a skew to tell of that was not
// there before.
func (k *keeper) measure(date, began time.Time) (skew time.Duration, notable bool) {
	ended := time.Now()
	skew = date.Add(time.Second / 2).Sub(began.Add(ended.Sub(began) / 2)).Round(time.Second) // Date is cut to seconds
	k.mu.Lock()
	defer k.mu.Unlock()
	size := skew.Abs()
	was := k.absurd
	if k.absurd = size > believableSkew; k.absurd { // told of, and not corrected
		return skew, !was
	}
	if size <= tolerableSkew+ended.Sub(began)/2 {
		skew = 0
	}
	notable = skew.Abs() >= notableSkew && (skew-k.skew).Abs() >= notableSkew
	k.skew, k.skewed = skew, true
	return skew, notable
}
