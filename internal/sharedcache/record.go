// SPDX-License-Identifier: MIT

package sharedcache

import (
	"encoding/binary"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

// What a record is.
const (
	aToken   = 't'
	aLease   = 'l'
	aRefusal = 'r'
)

// A record is what lies sealed under a name. Its times are those of the server's clock,
// as well as they are known.
type record struct {
	kind byte
	at   time.Time // a token was received, a lease was claimed; a refusal is over
	// lifetime and refreshIn are those of a token.
	lifetime, refreshIn time.Duration
	code                uint32   // of a refusal
	claims              [16]byte // that were asked for; see claimsMAC
	text                string   // the token, or the kind of the refusal
}

// maxLifetime is more than any token lasts.
const maxLifetime = 31 * 24 * time.Hour

const recordHead = 1 + 3*8 + 4 + 16

func (r record) encode() []byte {
	b := make([]byte, 0, recordHead+len(r.text))
	b = append(b, r.kind)
	for _, ms := range []int64{r.at.UnixMilli(), r.lifetime.Milliseconds(), r.refreshIn.Milliseconds()} {
		b = binary.BigEndian.AppendUint64(b, uint64(ms))
	}
	b = binary.BigEndian.AppendUint32(b, r.code)
	b = append(b, r.claims[:]...)
	return append(b, r.text...)
}

// decode is the inverse of encode. Whoever has a key can seal anything, so that what was
// opened need not be what we would have sealed.
func decode(b []byte) (r record, ok bool) {
	if len(b) < recordHead {
		return r, false
	}
	r.kind, b = b[0], b[1:]
	var ms [3]int64
	for i := range ms {
		ms[i], b = int64(binary.BigEndian.Uint64(b)), b[8:]
	}
	const most = int64(maxLifetime / time.Millisecond)
	if ms[1] < 0 || ms[1] > most || ms[2] < 0 || ms[2] > most {
		return r, false
	}
	r.at, r.lifetime, r.refreshIn = time.UnixMilli(ms[0]), time.Duration(ms[1])*time.Millisecond, time.Duration(ms[2])*time.Millisecond
	r.code, b = binary.BigEndian.Uint32(b), b[4:]
	r.claims, b = [16]byte(b), b[16:]
	r.text = string(b)
	return r, r.kind == aToken && r.lifetime > 0 || r.kind == aLease || r.kind == aRefusal
}

// An entry is a record as a store gave it, with how much longer the store keeps it, 0 if
// that is not known.
type entry struct {
	record
	left time.Duration
}

// remaining returns how long a token is good for. What is sealed bounds what a store
// that lies can add. The time that the store has left is by the one clock that all
// processes share, and bounds what a wrong clock of ours can add.
func (e entry) remaining(now time.Time) time.Duration {
	d := min(e.at.Add(e.lifetime).Sub(now), e.lifetime)
	if e.left > 0 {
		d = min(d, e.left)
	}
	return d
}

// pause returns for how much longer a refusal keeps everybody from asking.
func (e entry) pause(now time.Time) time.Duration {
	d := min(e.at.Sub(now), flight.MaxRetryAfter)
	if e.left > 0 {
		d = min(d, e.left)
	}
	return d
}

const (
	leaseTTL = 10 * time.Second
	// leaseAge is how far from now a lease may have been claimed. It has to bear
	// clocks that differ a little, and no lease from the past that somebody kept to
	// play it back.
	leaseAge = 30 * time.Second
)

// holds reports whether a lease is to be respected.
func (e entry) holds(now time.Time) bool {
	return e.kind == aLease && now.Sub(e.at).Abs() <= leaseAge
}
