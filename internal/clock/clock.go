// SPDX-License-Identifier: MIT

// Package clock reads both clocks that a process has: the wall clock, which
// can be set, and the monotonic one, which stands still while a virtual machine
// sleeps.
package clock

import "time"

// An Instant is a point in time by both clocks. It has passed when either says
// so: the wall clock is right after a sleep, the monotonic one after somebody
// set the wall clock back.
type Instant struct {
	Wall int64 // nanoseconds since 1970
	Mono int64 // nanoseconds since an origin long before the process started
}

// monoOrigin carries a monotonic reading. It lies 68 years back, so that zero
// stands for a point in time that has always been reached: in a synctest bubble
// too, whose clock begins at the year 2000.
var monoOrigin = time.Now().Add(-monoAtStart)

const monoAtStart = 1 << 31 * time.Second

// Now returns the present instant.
func Now() Instant {
	t := time.Now()
	// In a synctest bubble times have no monotonic part, and Sub falls back to
	// the (virtual) wall clock: both parts then move together, which is all that
	// is asked of them.
	return Instant{Wall: t.UnixNano(), Mono: int64(t.Sub(monoOrigin))}
}

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{i.Wall + int64(d), i.Mono + int64(d)}
}

// Reached reports whether now is at or past i by either clock.
func (i Instant) Reached(now Instant) bool {
	return now.Wall >= i.Wall || now.Mono >= i.Mono
}

// Until returns how long it is from now to i, by the clock that gets there first.
// It is negative once i has passed.
func (i Instant) Until(now Instant) time.Duration {
	return time.Duration(min(i.Wall-now.Wall, i.Mono-now.Mono))
}

// Earlier returns the instant that is reached first, by each clock.
func (i Instant) Earlier(j Instant) Instant {
	return Instant{min(i.Wall, j.Wall), min(i.Mono, j.Mono)}
}

// Time returns the wall clock's part.
func (i Instant) Time() time.Time { return time.Unix(0, i.Wall) }

// A Packed instant fits one machine word, so that a cache hit reads it in one
// atomic load: whole seconds of both clocks, rounded down. Rounding down can
// only make a reader look earlier than necessary, and the closer look is by
// the exact instant. The zero Packed has always been reached.
type Packed uint64

const second = int64(time.Second)

// Pack returns i in whole seconds. Both halves are unsigned: the wall clock's
// is good from 1970 to 2106, the monotonic one's for 68 years of the process.
func (i Instant) Pack() Packed {
	return Packed(uint64(uint32(i.Wall/second))<<32 | uint64(uint32(i.Mono/second)))
}

// Reached is [Instant.Reached] for a packed instant.
func (p Packed) Reached(now Instant) bool {
	return now.Wall >= int64(p>>32)*second || now.Mono >= int64(uint32(p))*second
}
