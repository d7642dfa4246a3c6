// SPDX-License-Identifier: MIT

package apponly

import (
	"maps"

	"github.com/apponly/apponly/internal/clock"
)

// A fading map keeps values for a while, and some of them at most. No timer drops what
// is over: all values are looked at when there are twice as many as were left the last
// time, so that none costs more the more there are. It has no lock of its own; the zero
// one is ready for use.
type fading[K comparable, V interface{ over(now clock.Instant) bool }] struct {
	kept    map[K]V
	sweepAt int // how many there are when they are looked at
}

const (
	// maxFading is how many values are kept.
	maxFading = 10_000
	// minSweep is how many are not worth a look.
	minSweep = 64
)

func (f *fading[K, V]) get(key K) (v V, ok bool) {
	v, ok = f.kept[key]
	return v, ok && !v.over(clock.Now())
}

func (f *fading[K, V]) put(key K, v V) {
	if f.kept == nil {
		f.kept, f.sweepAt = map[K]V{}, minSweep
	}
	if len(f.kept) >= f.sweepAt {
		f.sweep()
	}
	f.kept[key] = v
}

func (f *fading[K, V]) drop(key K) { delete(f.kept, key) }

// sweep drops what is over, and if there is little of it any, for a quarter of the room.
func (f *fading[K, V]) sweep() {
	now := clock.Now()
	maps.DeleteFunc(f.kept, func(_ K, v V) bool { return v.over(now) })
	for key := range f.kept {
		if len(f.kept) <= maxFading*3/4 {
			break
		}
		delete(f.kept, key)
	}
	f.sweepAt = min(max(2*len(f.kept), minSweep), maxFading)
}
