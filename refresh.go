// SPDX-License-Identifier: MIT

package apponly

import (
	"math/rand/v2"
	"time"
)

// expiryMargin is how long before its end a token is no longer handed out, so
// that it does not end on its way to the API; a tenth of the lifetime if that
// is shorter, or a token of a few seconds would never be usable.
const expiryMargin = 10 * time.Second

// A grant is what a token source brought: a token and its times as told.
type grant struct {
	bearer    func() string
	received  instant
	lifetime  time.Duration
	refreshIn time.Duration // 0 if the source did not say
	// credentialExpires is when the certificate or assertion ends that the
	// token was obtained with, zero if unknown.
	credentialExpires time.Time
	// changes is what happened on the way, told also when it led to nothing.
	changes []Event
}

// A spread says how widely a refresh time is drawn.
type spread int

const (
	// spreadUsual is for a token that followed another in good time.
	spreadUsual spread = iota
	// spreadFirst is for the first token of a key: a fleet that was started in
	// one minute is apart after one refresh instead of asking in step for ever.
	spreadFirst
	// spreadRecovered is for the first token after a failure: an outage lines a
	// fleet up as well. Drawing as widely as for the first token would send a
	// part of it back at once, on top of those that come back late.
	spreadRecovered
)

// schedule draws the token's refresh time, once and for good. Drawing it again
// at every hit, as some libraries do, makes a busy process always refresh at
// the early end, which spreads nothing.
func (g grant) schedule(s spread, claims uint64) *tokenData {
	usable := g.lifetime - min(expiryMargin, g.lifetime/10)
	base := g.refreshIn
	if base <= 0 || base >= g.lifetime {
		base = g.lifetime * 3 / 4
	}
	return &tokenData{
		bearer:   g.bearer,
		expires:  g.received.add(g.lifetime),
		usable:   g.received.add(usable),
		refresh:  g.received.add(min(refreshAfter(base, s), usable)),
		received: g.received.wall,
		claims:   claims,
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

// backoff returns how long to wait after the nth failure in a row (from 1):
// first, doubled each time up to limit, the upper half of it at random.
func backoff(first, limit time.Duration, n int) time.Duration {
	w := limit
	if n < 20 { // the shift cannot overflow
		w = min(first<<(n-1), limit)
	}
	return w/2 + rand.N(w/2+1)
}
