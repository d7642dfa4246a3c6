// SPDX-License-Identifier: MIT

package tokencache

import (
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
)

// A Table is a hash table whose reads take no lock and write no memory: a hit
// of the token cache is two loads in it, whatever other cores do. Slots are
// open-addressed, 16 bytes each, so that a probe costs one cache line. Writers
// hold a lock of their own around every method but Get. The zero Table is empty.
//
// sync.Map answers the same need with a trie; over ten thousand tenants its
// extra dependent loads double the cost of a hit.
type Table[K any, T any, P interface {
	*T
	Matches(K) bool
}] struct {
	slots atomic.Pointer[[]slot[T]] // length a power of two
	live  int
	used  int // live and deleted slots
}

// Len returns how many values there are.
func (t *Table[K, T, P]) Len() int { return t.live }

var hashSeed = maphash.MakeSeed()

// Hash returns a hash for Get, Put and Remove. Its seed is the process's own, so
// that a stranger who chooses tenants cannot make them collide.
func Hash(s string) uint64 { return maphash.String(hashSeed, s) }

type slot[T any] struct {
	hash  atomic.Uint64 // 0: never used, 1: deleted
	value atomic.Pointer[T]
}

const (
	slotFree    = 0
	slotDeleted = 1
	// slotUsed is set in every stored hash, so that none is mistaken for a mark.
	slotUsed = 2
)

// Get returns the value for key, nil if there is none.
func (t *Table[K, T, P]) Get(hash uint64, key K) *T {
	slots := t.slots.Load()
	if slots == nil {
		return nil
	}
	s := *slots
	hash |= slotUsed
	for i := hash >> 2; ; i++ {
		e := &s[i&uint64(len(s)-1)]
		switch e.hash.Load() {
		case slotFree:
			return nil
		case hash:
			// A slot may be deleted and used again between the two loads; the
			// key decides.
			if v := e.value.Load(); v != nil && P(v).Matches(key) {
				return v
			}
		}
	}
}

// Put adds a value whose key is not in the table.
func (t *Table[K, T, P]) Put(hash uint64, v *T) {
	if slots := t.slots.Load(); slots == nil || (t.used+1)*10 > len(*slots)*7 {
		t.rebuild()
	}
	if insert(*t.slots.Load(), hash|slotUsed, v) == slotFree {
		t.used++
	}
	t.live++
}

func insert[T any](s []slot[T], hash uint64, v *T) (was uint64) {
	for i := hash >> 2; ; i++ {
		e := &s[i&uint64(len(s)-1)]
		if was = e.hash.Load(); was == slotFree || was == slotDeleted {
			e.value.Store(v) // before the hash, by which readers find it
			e.hash.Store(hash)
			return was
		}
	}
}

// Remove takes v out. It does nothing if v is not in the table.
func (t *Table[K, T, P]) Remove(hash uint64, v *T) {
	s := *t.slots.Load()
	hash |= slotUsed
	for i := hash >> 2; ; i++ {
		e := &s[i&uint64(len(s)-1)]
		switch e.hash.Load() {
		case slotFree:
			return
		case hash:
			if e.value.Load() == v {
				e.value.Store(nil)
				e.hash.Store(slotDeleted)
				t.live--
				return
			}
		}
	}
}

// rebuild copies the live slots into a table with room for as many again.
// Readers of the old one keep finding what was in it.
func (t *Table[K, T, P]) rebuild() {
	size := 8
	for size*7 < (t.live+1)*10*3/2 {
		size *= 2
	}
	s := make([]slot[T], size)
	for v, hash := range t.all {
		insert(s, hash, v)
	}
	t.used = t.live
	t.slots.Store(&s)
}

// all yields the values and their stored hashes.
func (t *Table[K, T, P]) all(yield func(v *T, hash uint64) bool) {
	slots := t.slots.Load()
	if slots == nil {
		return
	}
	for i := range *slots {
		e := &(*slots)[i]
		if hash := e.hash.Load(); hash > slotDeleted {
			if v := e.value.Load(); v != nil && !yield(v, hash) {
				return
			}
		}
	}
}

// Random returns a value drawn by where it happens to lie, and its stored hash;
// nil if the table is empty.
func (t *Table[K, T, P]) Random() (*T, uint64) {
	if t.live == 0 {
		return nil, 0
	}
	s := *t.slots.Load()
	for i := rand.Uint64(); ; i++ {
		e := &s[i&uint64(len(s)-1)]
		if v := e.value.Load(); v != nil {
			return v, e.hash.Load()
		}
	}
}
