// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// credentialState is what is known of the credentials of one identity: memories
// that know nothing of each other. It outlives clients and lives as long as the
// identity has entries in the cache, and a day more.
type credentialState struct {
	rotation  rotation
	cooldowns cooldowns
	skew      clockSkew
	expiry    expiryWarnings
	chains    chainNotes
	files     []*fileReader // of each credential
	msal      msalClients
}

// newCredentialState returns the state of an identity with n credentials.
func newCredentialState(n int) *credentialState {
	return &credentialState{
		rotation: rotation{members: make([]memberRotation, n)},
		expiry:   expiryWarnings{warned: map[int]int{}},
		files:    newFileReaders(n),
	}
}

// previousFor is how long replaced material stands in for what not all of Entra
// knows yet.
const previousFor = 15 * time.Minute

// maxPrevious bounds what may stand in, and with it the requests of a flight.
const maxPrevious = 3

// A rotation remembers which material of each member Entra has taken.
type rotation struct {
	mu      sync.Mutex // guards members; not held across I/O or callbacks, as those below
	members []memberRotation
}

// A memberRotation is that of one credential of a FirstOf, or of the only one.
type memberRotation struct {
	// taken is what Entra took, the latest last, while it may stand in.
	taken  []standIn
	last   [32]byte // the fingerprint of the latest, for good
	newest [32]byte // what was sent last
	// sent counts requests, and answered is the latest of those that Entra took: the
	// answer to an older one must not roll a rotation back.
	sent, answered uint64
}

// A standIn is material that Entra took. Once other material has been sent, it
// stands in until a time, whatever one of Entra's replicas says of the other: the
// next may not know it.
type standIn struct {
	*material
	until clock.Instant // zero: nothing has replaced it
}

func (t standIn) replaced() bool              { return t.until != clock.Instant{} }
func (t standIn) over(now clock.Instant) bool { return t.replaced() && t.until.Until(now) < 0 }

// beginSend notes that m is about to be sent, and returns what may stand in for
// it if Entra does not know it: what it replaced, for a while. seq is for
// accept.
func (r *rotation) beginSend(i int, m *material) (previous []*material, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.members[i]
	s.sent++
	now := clock.Now()
	s.taken = slices.DeleteFunc(s.taken, func(t standIn) bool { return t.over(now) })
	another := s.newest != m.fingerprint
	s.newest = m.fingerprint
	for k := range s.taken {
		switch t := &s.taken[k]; {
		case t.fingerprint == m.fingerprint:
			t.until = clock.Instant{}
		case another || !t.replaced():
			t.until = now.Add(previousFor)
		}
	}
	for _, t := range slices.Backward(s.taken) {
		if t.fingerprint != m.fingerprint {
			previous = append(previous, t.material)
		}
	}
	return previous, s.sent
}

// accept notes that Entra took m. It reports whether that is news: while replicas
// disagree they may take one material and the other in turn.
func (r *rotation) accept(i int, m *material, seq uint64) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.members[i]
	if seq < s.answered {
		return false // sent before what Entra has taken since
	}
	s.answered = seq
	if !m.reusable {
		return false
	}
	t := standIn{material: m}
	if s.newest != m.fingerprint {
		t.until = clock.Now().Add(previousFor)
	}
	before := len(s.taken)
	s.taken = slices.DeleteFunc(s.taken, func(old standIn) bool { return old.fingerprint == m.fingerprint })
	changed = len(s.taken) == before && s.last != [32]byte{} && s.last != m.fingerprint
	if len(s.taken) == maxPrevious {
		s.taken = slices.Delete(s.taken, 0, 1)
	}
	s.taken = append(s.taken, t)
	s.last = m.fingerprint
	return changed
}

// lastAccepted returns the material that worked last, nil if there is none, for
// when the source cannot be read: half of a rotation is no reason to stop.
func (r *rotation) lastAccepted(i int) *material {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := clock.Now()
	for _, t := range slices.Backward(r.members[i].taken) {
		if !t.over(now) {
			return t.material
		}
	}
	return nil
}

// cooldownFor is how long a credential that failed is passed over.
const cooldownFor = 5 * time.Minute

// cooldowns remembers which members are passed over for which tenants.
type cooldowns struct {
	mu      sync.Mutex
	running fading[cooldownKey, cooldown]
}

type cooldownKey struct {
	tenant string
	member int
}

type cooldown struct {
	since       clock.Instant // when it failed first
	tried       clock.Instant // when it failed last
	fingerprint [32]byte      // of what failed; zero if it could not be read
	perRequest  bool          // the fingerprint tells nothing
}

func (c cooldown) over(now clock.Instant) bool { return c.since.Add(cooldownFor).Until(now) < 0 }

// begin passes a member over for one tenant. It reports whether it was not
// already.
func (c *cooldowns) begin(i int, tenant string, failed *material) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clock.Now()
	d := cooldown{since: now, tried: now}
	if failed != nil {
		d.fingerprint, d.perRequest = failed.fingerprint, failed.perRequest
	}
	key := cooldownKey{tenant, i}
	old, was := c.running.get(key)
	if was = was && (d.perRequest || old.fingerprint == d.fingerprint); was {
		d.since = old.since
	}
	c.running.put(key, d)
	return !was
}

// end has a member tried again.
func (c *cooldowns) end(i int, tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.drop(cooldownKey{tenant, i})
}

// order returns which of n members to try for a tenant, in order. fingerprint
// tells what a member that was passed over would send now: one that has changed
// is tried again. If all are passed over it is the turn of the one that has not
// been tried for longest.
func (c *cooldowns) order(n int, tenant string, fingerprint func(i int) [32]byte) []int {
	passed := c.passedOver(n, tenant)
	var order []int
	oldest := -1
	for i := range n {
		d, ok := passed[i]
		if !ok || !d.perRequest && fingerprint(i) != d.fingerprint {
			order = append(order, i)
		} else if oldest < 0 || d.tried.Mono < passed[oldest].tried.Mono {
			oldest = i
		}
	}
	if len(order) == 0 {
		order = append(order, oldest)
	}
	return order
}

func (c *cooldowns) passedOver(n int, tenant string) map[int]cooldown {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := map[int]cooldown{}
	for i := range n {
		if d, ok := c.running.get(cooldownKey{tenant, i}); ok {
			passed[i] = d
		}
	}
	return passed
}

// expiryWarnings remembers what has been said of the end of certificates.
type expiryWarnings struct {
	mu     sync.Mutex
	ends   time.Time   // of the last proof
	issued bool        // which was an assertion
	warned map[int]int // member → days before its end that were last warned of
}

// learn notes when the last proof ends, zero if that is not known, and whether it is an
// assertion.
func (w *expiryWarnings) learn(end time.Time, issued bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !end.IsZero() {
		w.ends, w.issued = end, issued
	}
}

// due reports whether the end of a member's certificate is due for a warning: 30, 7 and
// 1 days before, once each, and again for a certificate that replaced another.
func (w *expiryWarnings) due(i int, end time.Time, renewed bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if renewed {
		delete(w.warned, i)
	}
	if end.IsZero() {
		return false
	}
	for _, days := range []int{1, 7, 30} {
		if time.Until(end) <= time.Duration(days)*24*time.Hour {
			last, was := w.warned[i]
			w.warned[i] = days
			return !was || days < last
		}
	}
	return false
}

// latest returns when the last proof ends, zero if that is not known, and whether it was
// an assertion.
func (w *expiryWarnings) latest() (ends time.Time, issued bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends, w.issued
}

// chainNotes remembers of which certificates it has been told that something was
// left out of their chain.
type chainNotes struct {
	mu   sync.Mutex
	told [][32]byte // the fingerprints of the latest
}

// maxTold is more than are in use at a time, and bounds what a function makes anew for
// each token request.
const maxTold = 64

// note reports whether the chain of m is to be told of.
func (n *chainNotes) note(m *material) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(m.leftOut) == 0 || slices.Contains(n.told, m.fingerprint) {
		return false
	}
	n.told = append(n.told[max(0, len(n.told)-maxTold+1):], m.fingerprint)
	return true
}

const (
	// notableSkew is worth an event.
	notableSkew = time.Minute
	// believableSkew is the most that is corrected.
	believableSkew = 24 * time.Hour
)

// clockSkew remembers by how much Entra's clock is ahead of ours.
type clockSkew struct {
	mu       sync.Mutex
	skew     time.Duration
	measured bool
	absurd   time.Duration // the last one, if it was beyond belief
}

// now returns the skew, and whether it has been measured.
func (c *clockSkew) now() (skew time.Duration, measured bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew, c.measured
}

// told returns the skew to tell of, 0 if there is none or it is not known: also one
// that is beyond belief.
func (c *clockSkew) told() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.absurd, c.skew)
}

// measure learns the skew from the Date header of an answer that was under way
// from began to now. It reports whether there is a skew to tell of that was not
// there before.
func (c *clockSkew) measure(date, began time.Time) (skew time.Duration, notable bool) {
	ended := time.Now()
	skew = date.Add(time.Second / 2).Sub(began.Add(ended.Sub(began) / 2)).Round(time.Second) // Date is cut to seconds
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.absurd
	if c.absurd = 0; skew.Abs() > believableSkew { // told of, and not corrected
		c.absurd = skew
		return skew, was == 0
	}
	if skew.Abs() <= tolerableSkew+ended.Sub(began)/2 {
		skew = 0
	}
	notable = skew.Abs() >= notableSkew && (skew-c.skew).Abs() >= notableSkew
	c.skew, c.measured = skew, true
	return skew, notable
}
