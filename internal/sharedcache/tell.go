// SPDX-License-Identifier: MIT

package sharedcache

import (
	"context"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
)

// tell lets the others have what was brought, within one budget.
func (v *visit) tell(ctx context.Context, g *tokencache.Grant, err error) {
	if len(v.places) == 0 || v.failed || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if err != nil {
		v.tellRefusal(ctx, err)
		return
	}
	now := clock.Now()
	if left := g.Received.Add(g.Lifetime).Until(now); g.Bearer != nil && left > 0 {
		r := record{kind: aToken, at: v.now().Add(left - g.Lifetime), lifetime: g.Lifetime, refreshIn: g.RefreshIn, text: g.Bearer()}
		g.Common = v.set(ctx, v.places[0].token, r, left)
	}
	v.letGo(ctx)
}

// tellRefusal has the lease say what any other process would be told, until it is worth
// asking again; or lets it go.
func (v *visit) tellRefusal(ctx context.Context, err error) {
	r, ok := v.Refusal(err)
	if !ok {
		v.letGo(ctx)
		return
	}
	if !v.holdsLease() {
		return
	}
	n := v.Failures + 1 // which, since failures are shared, is about the same for all
	pause := flight.Backoff(2*time.Second, 5*time.Minute, n)
	if r.Passing {
		pause = flight.Backoff(time.Second, 15*time.Second, n)
	}
	pause = min(max(pause, time.Until(r.RetryAt)), flight.MaxRetryAfter)
	v.set(ctx, v.places[0].lease, record{kind: aRefusal, at: v.now().Add(pause), code: uint32(r.Code), text: r.Kind}, pause)
}

// holdsLease reports whether the lease is still ours: one that we were too slow for may
// be another's by now.
func (v *visit) holdsLease() bool { return !v.leads.IsZero() && time.Since(v.leads) < leaseTTL }

// letGo ends our lease, so that nobody who wants something else waits for it to lapse.
// What is left of it in a store that counts in seconds holds nobody.
func (v *visit) letGo(ctx context.Context) {
	if v.holdsLease() {
		v.set(ctx, v.places[0].lease, record{kind: aLease, at: time.UnixMilli(0)}, time.Millisecond)
	}
}
