// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"hash/maphash"
	"math"
	"strings"
	"sync/atomic"

	"github.com/apponly/apponly/internal/clock"
)

const (
	// ways is how many tokens of one bucket are remembered.
	ways = 4
	// maxRemembered bounds a token that is remembered, in bytes: the memory is
	// bounded by it and by the number of them.
	maxRemembered = 8 << 10
	// defaultRemember is how many are remembered unless the options say otherwise,
	// maxRemember what they can say.
	defaultRemember, maxRemember = 4096, 1_000_000
)

// A memory holds tokens that were verified: a table of buckets without lock, list
// or timer. Nobody can fill it with what Entra has not signed.
type memory struct {
	seed    maphash.Seed
	buckets [][ways]atomic.Pointer[remembered]
	header  atomic.Pointer[joseHeader] // of the token that was verified last
}

type remembered struct {
	hash uint64
	// is compares with the token, which is in a closure because fmt and what dumps
	// values print fields at any depth.
	is   func(token string) bool
	auth *authentication
}

// newMemory returns a memory of n tokens or a few more, of none if n is negative.
func newMemory(n int) *memory {
	m := &memory{seed: maphash.MakeSeed()}
	if n > 0 {
		m.buckets = make([][ways]atomic.Pointer[remembered], (n+ways-1)/ways)
	}
	return m
}

func (m *memory) bucket(hash uint64) *[ways]atomic.Pointer[remembered] {
	return &m.buckets[hash%uint64(len(m.buckets))]
}

// find returns what is remembered of a token, nil if nothing is, and its hash for
// add. The whole token is compared, so that no property of the hash decides who gets
// in, and only where all of the keyed hash is equal, so that the time it takes tells
// nothing of other tokens.
func (m *memory) find(token string) (*authentication, uint64) {
	if len(m.buckets) == 0 || len(token) > maxRemembered {
		return nil, 0
	}
	hash := maphash.String(m.seed, token)
	bucket := m.bucket(hash)
	for i := range bucket {
		if r := bucket[i].Load(); r != nil && r.hash == hash && r.is(token) {
			return r.auth, hash
		}
	}
	return nil, hash
}

// trusted reports whether the key that has signed a remembered token is trusted
// still. Remembered tokens have the keys fetched, too, when that is due: there may be
// no others for as long as they are good.
func (a *authentication) trusted(ctx context.Context, now clock.Instant) bool {
	if d := a.party.document; d.isDue(now) {
		_, _ = d.find(ctx, now, a.key.id)
	}
	return !a.key.dropped.Load()
}

// add remembers a token in place of the same one, or of the one in its bucket that
// ends first. It keeps a copy: a token may be a part of much else, or of a buffer
// that is used again.
func (m *memory) add(hash uint64, token string, auth *authentication) {
	if len(m.buckets) == 0 || len(token) > maxRemembered {
		return
	}
	bucket := m.bucket(hash)
	place := &bucket[0]
	first := int64(math.MaxInt64)
	for i := range bucket {
		r := bucket[i].Load()
		if r == nil || r.hash == hash {
			place = &bucket[i]
			break
		}
		if r.auth.expires < first {
			place, first = &bucket[i], r.auth.expires
		}
	}
	token = strings.Clone(token)
	place.Store(&remembered{hash, func(t string) bool { return t == token }, auth})
}
