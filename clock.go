// SPDX-License-Identifier: MIT

package apponly

import "time"

// An instant is a point in time by both clocks a process has: the wall clock,
// which can be set, and the monotonic one, which stands still while a virtual
// machine sleeps. A token has expired when either says so: the wall clock is
// right after a sleep, the monotonic one after somebody set the clock back.
type instant struct {
	wall int64 // nanoseconds since 1970
	mono int64 // nanoseconds since an origin long before the process started
}

// monoOrigin carries a monotonic reading. It lies 68 years back, so that zero
// stands for a point in time that has always been reached: in a synctest bubble
// too, whose clock stands at the year 2000.
var monoOrigin = time.Now().Add(-monoAtStart)

const monoAtStart = 1 << 31 * time.Second

func now() instant { return instantOf(time.Now()) }

// instantOf takes the monotonic part from t's reading. In a synctest bubble
// times have none, and Sub falls back to the (virtual) wall clock: both parts
// then move together, which is all that is asked of them.
func instantOf(t time.Time) instant {
	return instant{wall: t.UnixNano(), mono: int64(t.Sub(monoOrigin))}
}

func (i instant) add(d time.Duration) instant {
	return instant{i.wall + int64(d), i.mono + int64(d)}
}

// reached reports whether now is at or past i by either clock.
func (i instant) reached(now instant) bool {
	return now.wall >= i.wall || now.mono >= i.mono
}

// earlier returns the instant that is reached first, by each clock.
func (i instant) earlier(j instant) instant {
	return instant{min(i.wall, j.wall), min(i.mono, j.mono)}
}

// A packed instant fits one machine word, so that the hit path reads it in one
// atomic load: whole seconds of both clocks, rounded down. Rounding down can
// only make a reader look earlier than necessary, and whoever looks decides by
// the exact instant.
type packed uint64

const second = int64(time.Second)

// Both halves are unsigned: the wall half is good from 1970 to 2106, the
// monotonic one for 68 years of the process.
func (i instant) pack() packed {
	return packed(uint64(uint32(i.wall/second))<<32 | uint64(uint32(i.mono/second)))
}

// reached is instant.reached for a packed instant. The zero packed has always
// been reached.
func (p packed) reached(now instant) bool {
	return now.wall >= int64(p>>32)*second || now.mono >= int64(uint32(p))*second
}
