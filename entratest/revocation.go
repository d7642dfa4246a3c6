// SPDX-License-Identifier: MIT

package entratest

import "time"

// RevokeTokens makes the tokens that app got in t so far worthless to APIs that
// take part in continuous access evaluation ([Resource.Protect]): they answer
// with a claims challenge until the app sends a token that was asked for with
// the claims in it. Entra does this when a service principal is disabled,
// deleted or at risk. It panics if the app is not installed in t.
//
// Times in tokens are whole seconds. All tokens of the second in which the
// revocation falls count as revoked, and one that is asked for with the claims
// of the challenge carries the next second as its iat and nbf, even if that is
// still less than a second away.
//
// A revocation is at its time by the emulator's clock. If [Server.SetClockOffset]
// puts that back afterwards, the revocation lies in the future: the token that
// answers the challenge is issued at that time, and an API takes it for one that
// is not yet valid until the clock is there.
func (t *Tenant) RevokeTokens(app *App) {
	now := t.s.Now()
	t.changePrincipal(&app.entry, func(p *principal) { p.revokedBefore = revokedBefore(now) })
}

// revokedBefore is the first second of which a token is good after a revocation
// at now.
func revokedBefore(now time.Time) int64 { return now.Unix() + 1 }

// revoked tells a resource whether a token no longer counts, by its tid, its
// azp or appid, its oid and its iat; since is the time that a token has to be
// issued at or after to count again.
func (s *Server) revoked(tid, appID, objectID string, issuedAt time.Time) (since time.Time, revoked bool) {
	gone := time.Unix(revokedBefore(s.Now()), 0)
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, app := s.tenants[tid], s.apps[appID]
	if t == nil || app == nil {
		return gone, true
	}
	p := t.principals.find(appID)
	if p == nil || p.disabled || app.disabled || p.objectID.String() != objectID {
		return gone, true // the last: of a service principal that was deleted, though there is a new one
	}
	if p.revokedBefore == 0 {
		return time.Time{}, false
	}
	return time.Unix(p.revokedBefore, 0), issuedAt.Unix() < p.revokedBefore
}
