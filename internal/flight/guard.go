// SPDX-License-Identifier: MIT

// Package flight makes calls that others wait for, too: detached from their
// caller's context, guarded against functions that panic, end their goroutine or
// hang, and paced after failures.
package flight

import (
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// A Guard counts the calls of one callback that were abandoned and have not
// returned. While there are any the callback is tried again now and then, by one
// call at a time, ever further apart: what hangs for ever costs a few goroutines and
// not one per flight, and what hung once is not given up. A trial that returns in
// time ends the caution. The zero Guard is ready for use.
type Guard struct {
	mu      sync.Mutex    // held for moments only
	stuck   int           // abandoned calls that have not returned
	trusted bool          // a trial has returned in time since a call was abandoned last
	trying  bool          // a trial is under way
	rounds  int           // how often calls were abandoned; those under way together count once
	last    clock.Instant // when a call was abandoned last, or the trust began
}

const (
	// firstTrial is how long after a call was abandoned the callback is tried
	// again. It grows fourfold each time: a callback that never returns is called
	// five times in the first day, and ten times in a year.
	firstTrial = 5 * time.Minute
	mostTrials = 12 // after which it grows no more
	// After so long a trust the next call that hangs counts as the first.
	calm = 24 * time.Hour
)

// A ticket is one call's place in a guard, whose mu guards it.
type ticket struct{ trial, returned, abandoned bool }

// enter reports whether a call may be made.
func (g *Guard) enter(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stuck == 0 || g.trusted {
		return true
	}
	distance := firstTrial << (2 * min(g.rounds-1, mostTrials-1))
	if g.trying || !g.last.Add(distance).Reached(clock.Now()) {
		return false
	}
	g.trying, t.trial = true, true
	return true
}

// leave notes that a call has returned, in time or not.
func (g *Guard) leave(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.returned = true
	switch {
	case t.abandoned:
		g.stuck--
	case t.trial:
		g.trying, g.trusted, g.last = false, true, clock.Now()
	}
}

// abandon gives a call up, unless it has returned.
func (g *Guard) abandon(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.returned {
		return false
	}
	now := clock.Now()
	if g.stuck == 0 || g.trusted && g.last.Add(calm).Reached(now) {
		g.rounds = 0
	}
	if g.stuck == 0 || g.trusted || t.trial {
		g.rounds++
	}
	if t.trial {
		g.trying = false
	}
	t.abandoned, g.trusted, g.last = true, false, now
	g.stuck++
	return true
}

// Idle reports whether no abandoned call is still running. Its memory need not be
// kept then.
func (g *Guard) Idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stuck == 0
}
