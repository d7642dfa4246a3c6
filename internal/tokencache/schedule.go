// SPDX-License-Identifier: MIT

package tokencache

import (
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

const expiryMargin = 10 * time.Second

// Margin is how long before its end a token is no longer handed out, so that it
// does not end on its way to the API; a tenth of the lifetime if that is shorter,
// or a token of a few seconds would never be usable.
func Margin(lifetime time.Duration) time.Duration { return min(expiryMargin, lifetime/10) }

// A Grant is what a source brought: a token and its times as it was told them.
type Grant struct {
	Bearer    func() string // as in Token
	Received  clock.Instant
	Lifetime  time.Duration
	RefreshIn time.Duration // 0 if the source was not told
	// Common says that other processes have the token too, and draw their refresh
	// times from the same base; Shared, that one of them has obtained it.
	Common, Shared bool
}

// A spread says how widely a refresh time is drawn.
type spread int

const (
	// spreadUsual is for a token that followed another in good time.
	spreadUsual spread = iota
	// spreadFirst is for the first token of a key: a fleet that was started in
	// one minute is apart after one refresh, instead of asking in step for ever.
	spreadFirst
	// spreadRecovered is for the first token after a failure: an outage lines a
	// fleet up as well. Drawing as widely as for the first token would send a
	// part of it back at once, on top of those that come back late.
	spreadRecovered
)

// schedule draws the token's refresh time, once and for good. Drawing it again
// at every hit, as some libraries do, makes a busy process always refresh at
// the early end, which spreads nothing.
func (g Grant) schedule(s spread, claims uint64) *Token {
	usable := g.Lifetime - Margin(g.Lifetime)
	base := g.RefreshIn
	if base <= 0 || base >= g.Lifetime {
		base = g.Lifetime * 3 / 4
	}
	return &Token{
		Bearer:   g.Bearer,
		Expires:  g.Received.Add(g.Lifetime),
		usable:   g.Received.Add(usable),
		Refresh:  g.Received.Add(min(refreshAfter(base, s), usable)),
		Received: g.Received.Wall,
		claims:   claims,
		Shared:   g.Shared,
	}
}

// refreshAfter draws uniformly between a part of base and base: earlier only,
// never later. TestFleet simulates what comes of it.
func refreshAfter(base time.Duration, s spread) time.Duration {
	low := base * 3 / 4
	switch s {
	case spreadFirst:
		low = base / 10
	case spreadRecovered:
		low = base / 4
	}
	return low + rand.N(base-low+1)
}
