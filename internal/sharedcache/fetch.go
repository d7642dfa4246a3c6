// SPDX-License-Identifier: MIT

package sharedcache

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

// Terms are what the protocol has to be told of the tokens and failures it carries.
type Terms interface {
	// Ahead returns by how much the server's clock is ahead of ours, 0 if that is not
	// known. state is that of a request.
	Ahead(state any) time.Duration
	// Grant is the inverse of Grant.Bearer. It returns no Bearer if the text is none.
	Grant(bearer string, received clock.Instant, lifetime, refreshIn time.Duration) tokencache.Grant
	// Refusal returns what other processes may know of a failure, and false if it may
	// be this process's own. Failure is the inverse; false means that such a refusal
	// is none to share.
	Refusal(err error) (Refusal, bool)
	Failure(r Refusal) (error, bool)
	// Note adds what there is to tell of to the note of a flight.
	Note(note any, n Notice, err error) any
}

// A Refusal is a failure that any process would have had.
type Refusal struct {
	Kind    string
	Code    int
	Passing bool      // it can pass at any moment
	RetryAt time.Time // zero: the server did not say
}

// A Client shares the tokens of one identity by a cache. It is a [tokencache.Sharer].
type Client struct {
	*Cache
	Terms
	// About is what tokens depend on besides tenant and scope. The credential is not
	// in it: processes with the old and the new one share.
	About []string
}

// Fetch brings what another process has got, or asks and lets the others have it.
func (c *Client) Fetch(ctx context.Context, req tokencache.Request, ask func(context.Context) (tokencache.Grant, any, error)) (g tokencache.Grant, note any, err error) {
	v := &visit{Client: c, Request: req, began: time.Now()}
	answered := false
	if v.open(ctx) && req.Reason != tokencache.ReasonForced {
		if g, answered, err = v.look(ctx); !answered && !v.failed {
			c.misses.Add(1)
		}
	}
	if answered {
		c.hits.Add(1)
	} else {
		g, note, err = ask(ctx)
		v.tell(ctx, &g, err)
	}
	for _, n := range v.notices {
		note = c.Note(note, n.what, n.err)
	}
	return g, note, err
}

// patience is how long others are waited for. With less, a server that takes 8 s has a
// thousand processes ask at once.
const patience = 15 * time.Second

// look finds out whether another process has brought the answer, and waits for one that
// is about to. It returns without one when it is for us to ask.
func (v *visit) look(ctx context.Context) (g tokencache.Grant, answered bool, err error) {
	for n := 0; time.Since(v.began) < patience; n++ {
		g, next, err := v.round(ctx, n)
		switch next {
		case taken, refused:
			return g, true, err
		case askSource:
			return g, false, nil
		}
		if !pause(ctx, n) {
			break
		}
	}
	return g, false, nil
}

// A verdict is what comes of one look at the store.
type verdict int

const (
	askSource verdict = iota
	taken             // a token
	refused
	wait
)

// round looks once. The first look has one budget for all of its operations: nobody is
// known yet who could be worth waiting for.
func (v *visit) round(ctx context.Context, n int) (g tokencache.Grant, _ verdict, err error) {
	if n == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget)
		defer cancel()
	}
	if g, ok := v.token(ctx); ok {
		return g, taken, nil
	}
	if v.failed {
		return g, askSource, nil
	}
	next, err := v.claim(ctx)
	if next == askSource && !v.leads.IsZero() {
		// Who led before us may have been done between our look and our claim.
		if g, ok := v.token(ctx); ok {
			v.letGo(ctx)
			return g, taken, nil
		}
	}
	return g, next, err
}

// pause waits before the nth look after the first, and reports whether there is to be one.
func pause(ctx context.Context, n int) bool {
	const first, longest = 10 * time.Millisecond, 250 * time.Millisecond
	d := longest
	if n < 9 {
		d = min(time.Duration(float64(first)*math.Pow(1.5, float64(n))), longest)
	}
	select {
	case <-time.After(d/2 + rand.N(d/2+1)):
		return true
	case <-ctx.Done():
		return false
	}
}

// token returns a token that serves the request. It may lie under any key: those who
// write with another are being rolled out.
func (v *visit) token(ctx context.Context) (g tokencache.Grant, ok bool) {
	for _, p := range v.places {
		if e, found := v.get(ctx, p, p.token); found == opened {
			if g, ok := v.grant(p.key, e); ok {
				return g, true
			}
		}
		if v.failed {
			break
		}
	}
	return g, false
}

// grant makes a grant of an entry, if it serves: obtained with the claims that are asked
// for, good for a while, and a successor to what the process has.
func (v *visit) grant(k *key, e entry) (g tokencache.Grant, ok bool) {
	now := v.now()
	left := e.remaining(now)
	if e.kind != aToken || left <= tokencache.Margin(e.lifetime) || v.Claims != "" && e.claims != k.claimsMAC(v.Claims) {
		return g, false
	}
	ahead := v.Ahead(v.State)
	if b := v.Before; b != nil {
		later := e.at.After(time.Unix(0, b.Received).Add(ahead)) || now.Add(left).After(b.Expires.Time().Add(ahead))
		if !later || b.Bearer() == e.text {
			return g, false
		}
	}
	if left < v.MinValid && e.at.Before(v.began.Add(ahead)) {
		return g, false // else nobody gets a longer one
	}
	// The token is as old here as anywhere: all draw their refresh times from one base.
	g = v.Grant(e.text, clock.Now().Add(left-e.lifetime), e.lifetime, e.refreshIn)
	g.Common, g.Shared = true, true
	return g, g.Bearer != nil
}

// claim takes the lease, or finds out what it is held for.
func (v *visit) claim(ctx context.Context) (verdict, error) {
	ours := v.places[0]
	e, found := v.get(ctx, ours, ours.lease)
	now := v.now()
	switch {
	case v.failed:
		return askSource, nil
	case found == missing:
		return v.takeLease(ctx), nil
	case e.holds(now):
		return v.waitFor(e.at), nil
	case e.kind == aRefusal && e.pause(now) > 0:
		if e.claims != ours.claimsMAC(v.Claims) {
			return askSource, nil // it says nothing of what we want
		}
		if err, ok := v.Failure(Refusal{Kind: e.text, Code: int(e.code), RetryAt: time.Now().Add(e.pause(now))}); ok {
			return refused, err
		}
	}
	// Forged, kept from earlier, or over.
	if v.set(ctx, v.places[0].lease, v.lease(), leaseTTL) {
		v.leads = time.Now()
	}
	return askSource, nil
}

// mostTurns is how often the lease may turn out to be another's. Whoever led brought
// nothing that we can see: its failure was its own, as that of the next may be; or
// somebody takes away what they store, and a thousand processes would ask in single file.
const mostTurns = 4

// waitFor notes when the lease was claimed that we wait for, zero if that is not known,
// unless there have been too many.
func (v *visit) waitFor(claimed time.Time) verdict {
	if claimed.IsZero() || !claimed.Equal(v.leader) {
		v.leader = claimed
		v.turns++
	}
	if v.turns > mostTurns {
		return askSource
	}
	return wait
}

func (v *visit) lease() record { return record{kind: aLease, at: v.now()} }

// takeLease takes the lease unless another process has just done so.
func (v *visit) takeLease(ctx context.Context) verdict {
	added, err := operation(ctx, v, func(ctx context.Context) (bool, error) {
		return v.Store.Add(ctx, v.places[0].lease, v.sealed(v.places[0].lease, v.lease()), leaseTTL)
	})
	switch {
	case err != nil:
		return askSource
	case !added:
		return v.waitFor(time.Time{})
	}
	v.leads = time.Now()
	return askSource
}
