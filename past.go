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
	ctxErr := ctx.Err() // before mu is taken: a context is not ours
	e, err := c.look(cl, req.Scope)
	if err != nil {
		return Token{}, err
	}
	w := e.work
	if w == nil {
		w = &work{}
	}
	n := now()
	t := e.token.Load()
	if t != nil && t.usable.reached(n) {
		t = nil
	}
	f := flight{past: true, waiting: true, claims: req.Claims, reason: ReasonRejected}
	gap := w.pastGap
	switch {
	case req.Force:
		f.reason, gap = ReasonForced, pastFirst
	case t != nil && !t.refuted(req.Rejected.p, claimsID(req.Claims)):
		c.mu.Unlock()
		return Token{t}, nil // another token is here by now
	case req.Claims != "":
		f.reason = ReasonClaims
	}

	inGap := n.mono < w.pastAt+int64(gap)
	switch {
	case w.past:
		// Joined below.
	case f.claims == "" && w.ordinary:
		f.past = false // joined below: it brings another token, too
	case f.claims == "" && t == nil && (!req.Force || inGap):
		c.mu.Unlock()
		return c.get(ctx, cl, req.Scope, "")
	case inGap, n.mono < w.pastTry:
		remembered := w.pastErr
		c.mu.Unlock()
		if t != nil {
			return Token{t}, nil
		}
		if remembered != nil {
			return Token{}, remembered
		}
		return c.get(ctx, cl, req.Scope, "")
	case ctxErr != nil:
		c.mu.Unlock()
		return Token{}, waitError(req.Scope, ctxErr, context.Cause(ctx))
	default:
		e.work = w
		// The gap grows while the tokens brought this way are refused in turn:
		// then it is not the token that is wrong.
		if t != nil && t == w.pastSent && !req.Force {
			w.pastGap = min(2*w.pastGap, pastLimit)
		} else {
			w.pastGap = pastFirst
		}
		w.pastAt = n.mono
	}
	landed := c.launch(ctx, cl, e, f)
	c.mu.Unlock()
	return wait(ctx, req.Scope, landed)
}

// refuted reports whether a resource has refused t: by naming it, or, where it
// named none, unless t was obtained for the very claims it asks for.
func (t *tokenData) refuted(rejected *tokenData, claims uint64) bool {
	if rejected == nil {
		return t.claims != claims
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
