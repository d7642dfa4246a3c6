// SPDX-License-Identifier: MIT

package tokencache

import (
	"slices"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// How long it takes from the end of a flight that bypasses the cache to the next.
const bypassFirst, bypassLimit = 10 * time.Second, 5 * time.Minute

// mostClaims is how many different claims an entry remembers. An API that asks for
// new ones each time has to wait like one that repeats itself.
const mostClaims = 8

// A bypass is the pace of flights for which the cached token will not do: those for
// certain claims, or those for none.
type bypass struct {
	claims uint64        // see claimsID
	flight *trip         // under way; nil if none is
	at     clock.Instant // when the last one ended
	gap    time.Duration // until the next one may begin
	err    error         // of the last one, as callers get it from memory
	token  *Token        // that the last one brought
}

// waits reports whether the next flight may not begin yet.
func (b *bypass) waits(now clock.Instant, gap time.Duration) bool { return !b.at.Add(gap).Reached(now) }

// resting reports whether nothing is lost if b is forgotten.
func (b *bypass) resting(now clock.Instant) bool { return b.flight == nil && !b.waits(now, b.gap) }

// A serverWord is when a server wants to be asked again by flights that bypass the
// cache.
type serverWord struct {
	until clock.Instant
	err   error // the answer that said so, as callers get it from memory
}

// bypassFor returns the pace for claims, nil if they have not been asked for lately.
func (s *entryState) bypassFor(claims uint64) *bypass {
	if claims == 0 {
		return &s.plain
	}
	if i := slices.IndexFunc(s.claims, func(b bypass) bool { return b.claims == claims }); i >= 0 {
		return &s.claims[i]
	}
	return nil
}

// bypassRoom returns where the pace for new claims can be kept: in place of what
// rests, if there is no room beside it; -1 if nothing does.
func (s *entryState) bypassRoom(now clock.Instant) int {
	if len(s.claims) < mostClaims {
		return len(s.claims)
	}
	return slices.IndexFunc(s.claims, func(b bypass) bool { return b.resting(now) })
}

// enterBypass returns the pace for claims, made if need be.
func (s *entryState) enterBypass(claims uint64, now clock.Instant) *bypass {
	b := s.bypassFor(claims)
	if b == nil {
		i := s.bypassRoom(now)
		if i == len(s.claims) {
			s.claims = append(s.claims, bypass{})
		}
		b = &s.claims[i]
		*b = bypass{claims: claims}
	}
	return b
}

// claimsFlight returns a flight for claims, nil if none is under way.
func (s *entryState) claimsFlight() *trip {
	for _, b := range s.claims {
		if b.flight != nil {
			return b.flight
		}
	}
	return nil
}

// decideBypass decides about a request for which the cached token, t, may not do.
// done is false where the answer is that to an ordinary request. Nothing is dropped
// on a resource's word: the token stays until another one has come.
func decideBypass(now clock.Instant, t *Token, s entryState, a Ask) (d decision, done bool) {
	d = decision{step: fly, bypass: true, claims: a.Claims, reason: a.bypassReason()}
	if t != nil && !t.refutedBy(a) {
		if t.Lasts(now, a.MinValid) {
			return d, false
		}
		d.fallback = t
	}
	if t == nil && a.Claims == "" && !a.Force {
		return d, false // whatever comes is another one
	}
	own := s.bypassFor(claimsID(a.Claims))
	if d.join = joinBypass(s, own, a); d.join != nil {
		return d, true
	}
	inGap := s.inGap(now, own, a)
	switch {
	case a.Claims == "" && t == nil && inGap:
		return d, false
	case !inGap && s.word.until.Reached(now):
		d.gap = s.nextGap(t, own, a)
		return d, true
	case a.Claims != "" && own != nil && own.token != nil && !own.token.usable.Reached(now) && !own.token.refutedBy(a):
		return decision{step: serve, token: own.token}, true // what the last one for these claims brought
	case t != nil:
		return d, false
	}
	err := s.word.err
	if own != nil && own.err != nil {
		err = own.err
	}
	return decision{step: refuse, err: err}, err != nil
}

func (a Ask) bypassReason() Reason {
	switch {
	case a.Force:
		return ReasonForced
	case a.Claims != "":
		return ReasonClaims
	case a.Rejected != nil:
		return ReasonRejected
	}
	return ReasonStale
}

// joinBypass returns the flight that brings what is asked for, nil if none does.
// Without claims any other token will do.
func joinBypass(s entryState, own *bypass, a Ask) *trip {
	switch {
	case own != nil && own.flight != nil:
		return own.flight
	case a.Claims != "":
		return nil
	case s.ordinary != nil:
		return s.ordinary
	}
	return s.claimsFlight()
}

// inGap reports whether a flight for a has to wait. Claims that were never asked for
// need not, while there is room to remember them: what others have asked for says
// nothing of them.
func (s *entryState) inGap(now clock.Instant, own *bypass, a Ask) bool {
	if own == nil {
		return s.bypassRoom(now) < 0
	}
	gap := own.gap
	if a.Force {
		gap = bypassFirst
	}
	if own.waits(now, gap) {
		return true
	}
	return a.Claims == "" && slices.ContainsFunc(s.claims, func(b bypass) bool { return b.waits(now, bypassFirst) })
}

// nextGap returns how long the next flight like a has to wait after this one. It grows
// while nothing is brought, and while the tokens that were brought this way are
// refused in turn, or were too short from the first: then it is not the token that is
// wrong.
func (s *entryState) nextGap(t *Token, own *bypass, a Ask) time.Duration {
	if a.Force {
		return bypassFirst
	}
	var last time.Duration
	if own != nil && own.err != nil {
		last = own.gap
	}
	for _, b := range append([]bypass{s.plain}, s.claims...) {
		if t != nil && b.token == t && (t.refutedBy(a) || t.lifetime() < a.MinValid) {
			last = max(last, b.gap)
		}
	}
	return min(max(2*last, bypassFirst), bypassLimit)
}

// refutedBy reports whether t will not do for a: a resource has refused it, by naming
// it, or by asking for claims where it named none, unless t was obtained with them.
func (t *Token) refutedBy(a Ask) bool {
	switch {
	case a.Force:
		return true
	case a.Rejected != nil:
		return t == a.Rejected || t.Bearer() == a.Rejected.Bearer()
	}
	return a.Claims != "" && t.claims != claimsID(a.Claims)
}

// Lasts reports whether t has at least so long left until its end.
func (t *Token) Lasts(now clock.Instant, d time.Duration) bool { return t.Expires.Until(now) >= d }

// lifetime is how long t was good for when it came.
func (t *Token) lifetime() time.Duration { return time.Duration(t.Expires.Wall - t.Received) }

// claimsID identifies the claims of a challenge; 0 stands for none.
func claimsID(claims string) uint64 {
	if claims == "" {
		return 0
	}
	return Hash(claims) | 1
}
