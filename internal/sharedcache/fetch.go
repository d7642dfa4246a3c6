// SPDX-License-Identifier: MIT

package sharedcache

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
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
		g, answered, err = v.look(ctx)
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

// A visit is one flight's business with the store.
type visit struct {
	*Client
	tokencache.Request
	began   time.Time
	places  []place   // one for each key; none: the store is not used
	failed  bool      // an operation has: the store is left alone
	leads   time.Time // since when we hold the lease, zero if we do not
	notices []notice
}

// A place is where the key of a request lies by one of the keys.
type place struct {
	*key
	token, lease string // names
}

type notice struct {
	what Notice
	err  error
}

// now returns the time by the server's clock.
func (v *visit) now() time.Time { return time.Now().Add(v.Ahead(v.State)) }

// open gets the keys, and reports whether there are any.
func (v *visit) open(ctx context.Context) bool {
	ring, tell, err := v.Cache.ring(ctx)
	if tell {
		v.notices = append(v.notices, notice{Unavailable, err})
	}
	about := append([]string{v.Tenant, v.Scope}, v.About...)
	for _, k := range ring {
		v.places = append(v.places, place{k, k.name("token", about...), k.name("lease", about...)})
	}
	return len(ring) > 0
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
		case askEntra:
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
	askEntra verdict = iota
	taken            // a token
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
		return g, askEntra, nil
	}
	next, err := v.claim(ctx)
	if next == askEntra && !v.leads.IsZero() {
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
		return askEntra, nil
	case found == missing:
		return v.takeLease(ctx), nil
	case e.holds(now):
		return wait, nil
	case e.kind == aRefusal && e.pause(now) > 0:
		if e.claims != ours.claimsMAC(v.Claims) {
			return askEntra, nil // it says nothing of what we want
		}
		if err, ok := v.Failure(Refusal{Kind: e.text, Code: int(e.code), RetryAt: time.Now().Add(e.pause(now))}); ok {
			return refused, err
		}
	}
	// Forged, kept from earlier, or over.
	if v.set(ctx, v.places[0].lease, v.lease(), leaseTTL) {
		v.leads = time.Now()
	}
	return askEntra, nil
}

func (v *visit) lease() record { return record{kind: aLease, at: v.now()} }

// takeLease takes the lease unless another process has just done so.
func (v *visit) takeLease(ctx context.Context) verdict {
	added, err := operation(ctx, v, func(ctx context.Context) (bool, error) {
		return v.Store.Add(ctx, v.places[0].lease, v.sealed(v.places[0].lease, v.lease()), leaseTTL)
	})
	switch {
	case err != nil:
		return askEntra
	case !added:
		return wait
	}
	v.leads = time.Now()
	return askEntra
}

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

func (v *visit) sealed(name string, r record) []byte {
	k := v.places[0]
	r.claims = k.claimsMAC(v.Claims)
	return k.seal(name, r.encode())
}

// What was found under a name.
type found int

const (
	missing found = iota // nothing, or not to be learned
	opened
	forged // what does not open
)

// get returns what lies under a name at a place.
func (v *visit) get(ctx context.Context, at place, name string) (e entry, _ found) {
	type kept struct {
		value []byte
		left  time.Duration
	}
	got, err := operation(ctx, v, func(ctx context.Context) (got kept, err error) {
		got.value, got.left, err = v.Store.Get(ctx, name)
		return got, err
	})
	if err != nil || len(got.value) == 0 {
		return e, missing
	}
	if len(got.value) <= maxValue {
		if plain, ok := at.open(name, got.value); ok {
			if r, ok := decode(plain); ok {
				return entry{r, got.left}, opened
			}
		}
	}
	if v.reject() {
		v.notices = append(v.notices, notice{Rejected, errRejected})
	}
	return e, forged
}

// set puts a record in place of what is there, and reports whether it did.
func (v *visit) set(ctx context.Context, name string, r record, ttl time.Duration) bool {
	value := v.sealed(name, r)
	if len(value) > maxValue {
		return false
	}
	_, err := operation(ctx, v, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, v.Store.Set(ctx, name, value, ttl)
	})
	return err == nil
}

// operation makes one operation of the store. After one that fails there are no more in
// this flight.
func operation[T any](ctx context.Context, v *visit, do func(context.Context) (T, error)) (result T, err error) {
	if v.failed {
		return result, errBusy
	}
	result, tell, err := operate(ctx, v.Cache, do)
	if tell {
		v.notices = append(v.notices, notice{Unavailable, err})
	}
	v.failed = err != nil
	return result, err
}
