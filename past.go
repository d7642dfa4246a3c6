// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"hash/maphash"
)

// getPast returns a token for a request that says that the cached one will not
// do. Nothing is dropped on a resource's word: the cached token stays until
// another one has been brought.
func (c *Cache) getPast(ctx context.Context, cl *Client, req TokenRequest) (Token, error) {
	e, err := c.look(cl, req.Scope)
	if err != nil {
		return Token{}, err
	}
	w := e.work
	n := now()
	t := e.token.Load()
	if t != nil && t.usable.reached(n) {
		t = nil
	}
	rejected := req.Rejected.p
	f := flight{past: true, waiting: true, claims: req.Claims, landed: e.landed}
	switch {
	case req.Force:
		f.reason = ReasonForced
	case t != nil && !t.refuted(rejected, claimsID(req.Claims)):
		c.mu.Unlock()
		return Token{t}, nil // another token is here by now
	case req.Claims != "":
		f.reason = ReasonClaims
	default:
		f.reason = ReasonRejected
	}

	switch {
	case w != nil && w.past:
		// Joined below.
	case f.claims == "" && w != nil && w.ordinary:
		f.past = false // the ordinary flight brings another token, too
	case f.claims == "" && !req.Force && t == nil:
		c.mu.Unlock()
		return c.get(ctx, cl, req.Scope, "")
	case w != nil && n.mono < w.pastAt:
		remembered := w.pastErr
		if remembered == nil {
			remembered = w.err
		}
		c.mu.Unlock()
		if t != nil {
			return Token{t}, nil
		}
		if remembered != nil {
			return Token{}, remembered
		}
		return c.get(ctx, cl, req.Scope, "")
	default:
		w = e.depart(true)
		// The gap grows while the tokens brought this way are refused in turn:
		// then it is not the token that is wrong.
		if t != nil && t == w.pastSent && !req.Force {
			w.pastGap = min(2*w.pastGap, pastLimit)
		} else {
			w.pastGap = pastFirst
		}
		w.pastAt = n.mono + int64(w.pastGap)
	}
	c.mu.Unlock()
	return wait(ctx, req.Scope, c.fly(ctx, cl, e, f))
}

// refuted reports whether a resource has refused t: by naming it, or, where it
// named none, unless t was obtained for the very claims it asks for.
func (t *tokenData) refuted(rejected *tokenData, claims uint64) bool {
	if rejected == nil {
		return claims == 0 || t.claims != claims
	}
	return t == rejected || t.bearer() == rejected.bearer()
}

// claimsID identifies a claims challenge; 0 stands for none.
func claimsID(claims string) uint64 {
	if claims == "" {
		return 0
	}
	return maphash.String(hashSeed, claims) | 1
}
