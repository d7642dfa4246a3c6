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

// An Ask is what a caller wants. With Claims, Rejected or Force the cached token
// will not do: such requests bypass the cache.
type Ask struct {
	Scope    string
	Claims   string // of a claims challenge, "" if none
	Rejected *Token // that the resource refused
	Force    bool
	Reason   Reason // of a flight, if not the state of the token
}

func (a Ask) bypasses() bool { return a.Claims != "" || a.Rejected != nil || a.Force }

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

	reason Reason // serveAndRefresh, fly
	// Of the two flights that an entry can have: the one for requests that bypass
	// the cache, with these claims.
	bypass bool
	claims string
	// gap, if not 0, says that a bypass begins, and how long a rejection will then
	// have to wait for another.
	gap time.Duration
}

// How long it takes between flights that bypass the cache.
const bypassFirst, bypassLimit = 10 * time.Second, 5 * time.Minute

// decide says what is done about a, by the token, the flights under way and
// what is remembered. It reads nothing else and changes nothing.
func decide(now clock.Instant, t *Token, s entryState, a Ask) decision {
	d := decision{reason: ReasonMiss}
	if t != nil && t.usable.Reached(now) {
		t, d.reason = nil, ReasonExpired
	}
	if a.bypasses() {
		if d, done := decideBypass(now, t, s, a); done {
			return d
		}
	}
	m := s.memory
	mayAsk := now.Mono >= m.tryAt
	switch {
	case t != nil && t.Refresh.Reached(now) && mayAsk && !s.ordinary:
		return decision{step: serveAndRefresh, token: t, reason: cmp.Or(a.Reason, ReasonStale)}
	case t != nil:
		return decision{step: serve, token: t}
	case m.err == nil, mayAsk, s.ordinary:
		d.step, d.reason = fly, cmp.Or(a.Reason, d.reason)
		// A token that bypasses the cache is as good, unless it is for claims.
		d.bypass = s.bypassing && !s.bypassClaims && !s.ordinary
		return d
	case m.stamp != "" && now.Mono >= m.statAt:
		return decision{step: lookAgain, err: m.err, stamp: m.stamp}
	}
	return decision{step: refuse, err: m.err}
}

// decideBypass decides about a request for which the cached token, t, will not
// do. done is false where an ordinary request would do as well. Nothing is
// dropped on a resource's word: the token stays until another one has come.
func decideBypass(now clock.Instant, t *Token, s entryState, a Ask) (d decision, done bool) {
	b, gap := s.bypass, s.bypass.gap
	d = decision{step: fly, bypass: true, claims: a.Claims, reason: ReasonRejected}
	switch {
	case a.Force:
		d.reason, gap = ReasonForced, bypassFirst
	case t != nil && !t.refutedBy(a):
		return decision{step: serve, token: t}, true // another token is here by now
	case a.Claims != "":
		d.reason = ReasonClaims
	}
	inGap := now.Mono < b.at+int64(gap)
	switch {
	case s.bypassing:
		return d, true
	case a.Claims == "" && s.ordinary:
		d.bypass = false // a refresh brings another token, too
		return d, true
	case a.Claims == "" && t == nil && (inGap || !a.Force):
		return d, false
	case (inGap || now.Mono < b.notBefore) && t != nil:
		return decision{step: serve, token: t}, true
	case inGap || now.Mono < b.notBefore:
		return decision{step: refuse, err: b.err}, b.err != nil
	}
	// The gap grows while the tokens that were brought this way are refused in
	// turn: then it is not the token that is wrong.
	d.gap = bypassFirst
	if t != nil && t == b.token && !a.Force {
		d.gap = min(2*b.gap, bypassLimit)
	}
	return d, true
}

// refutedBy reports whether a resource has refused t: by naming it, or, where it
// named none, unless t was obtained with the very claims that it asks for.
func (t *Token) refutedBy(a Ask) bool {
	if a.Rejected == nil {
		return t.claims != claimsID(a.Claims)
	}
	return t == a.Rejected || t.Bearer() == a.Rejected.Bearer()
}

// claimsID identifies the claims of a challenge; 0 stands for none.
func claimsID(claims string) uint64 {
	if claims == "" {
		return 0
	}
	return Hash(claims) | 1
}
