// SPDX-License-Identifier: MIT

package tokencache

import (
	"cmp"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// A Reason says why a flight was made.
type Reason string

// The reasons that the cache finds itself.
const (
	ReasonMiss     Reason = "miss"
	ReasonStale    Reason = "stale"
	ReasonExpired  Reason = "expired"
	ReasonClaims   Reason = "claims"
	ReasonRejected Reason = "rejected"
	ReasonForced   Reason = "forced"
)

// An Ask is what a caller wants. With Claims, Rejected, Force or MinValid the
// cached token may not do: such requests bypass the cache then.
type Ask struct {
	Scope    string
	Claims   string        // of a claims challenge, "" if none
	Rejected *Token        // that the resource refused
	MinValid time.Duration // that the token should have left; 0: any that is usable
	Force    bool
	Reason   Reason // of a flight, if not the state of the token
}

func (a Ask) bypasses() bool {
	return a.Claims != "" || a.Rejected != nil || a.MinValid > 0 || a.Force
}

// A step is what is done about an ask.
type step int

const (
	serve           step = iota // return the token
	serveAndRefresh             // return the token and begin a flight behind it
	refuse                      // return the remembered error
	lookAgain                   // see whether the credential's files have changed: if not, refuse; else decide again
	fly                         // join a flight, or begin it, and wait
)

// A decision is a step and what it is made with.
type decision struct {
	step step

	token *Token // serve, serveAndRefresh
	err   error  // refuse, lookAgain
	stamp string // lookAgain: the files as they were

	join   *trip  // fly: the flight to wait for, nil to begin one
	reason Reason // serveAndRefresh, and fly if one begins
	// The flight that begins is for requests that bypass the cache, with these
	// claims; the next one has to wait for gap after its end.
	bypass bool
	claims string
	gap    time.Duration
	// fallback does where the flight brings nothing: it is only shorter than was
	// wanted.
	fallback *Token
}

// decide says what is done about a, by the token, the flights under way and
// what is remembered. It reads nothing else and changes nothing.
func decide(now clock.Instant, t *Token, s entryState, a Ask) decision {
	reason := ReasonMiss
	if t != nil && t.usable.Reached(now) {
		t, reason = nil, ReasonExpired
	}
	if a.bypasses() {
		if d, done := decideBypass(now, t, s, a); done {
			return d
		}
	}
	m := s.memory
	mayAsk := m.tryAt.Reached(now)
	join := cmp.Or(s.ordinary, s.plain.flight) // which is as good, as it is not for claims
	switch {
	case t != nil && t.Refresh.Reached(now) && mayAsk && s.ordinary == nil:
		return decision{step: serveAndRefresh, token: t, reason: cmp.Or(a.Reason, ReasonStale)}
	case t != nil:
		return decision{step: serve, token: t}
	case m.err == nil, mayAsk, join != nil:
		return decision{step: fly, join: join, reason: cmp.Or(a.Reason, reason)}
	case m.stamp != "" && m.statAt.Reached(now):
		return decision{step: lookAgain, err: m.err, stamp: m.stamp}
	}
	return decision{step: refuse, err: m.err}
}
