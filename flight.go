// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/singleflight"
)

// A source asks for one token over the network. It is called in a goroutine of
// its own, may panic or end it, and is abandoned when ctx ends.
type source interface {
	fetch(ctx context.Context, req fetchRequest) (grant, error)
	// stamp says in what state the credential's files are, "" if it has none.
	// It may stat but not read.
	stamp() string
}

type fetchRequest struct {
	tenantID, scope, claims string
	// waiting says that callers wait for the answer, who are worth retrying
	// for; a refresh behind a valid token makes one try.
	waiting bool
}

// work is what an entry needs while it is not just serving a token: what is
// under way and what is remembered of failures. Cache.mu guards it.
type work struct {
	ordinary, past bool // flights under way, by kind

	failures int    // in a row
	err      *Error // the last one, as callers get it from memory
	tryAt    int64  // nothing is asked before, by the monotonic clock
	stamp    string // state of the credential's files when it failed
	statAt   int64  // when they may be looked at again

	// What asks past the cache (claims, rejected, force) has a pace of its own.
	pastAt   int64
	pastGap  time.Duration
	pastErr  *Error
	pastSent *tokenData // the last token it brought
}

// How long a failure keeps others from asking again; see backoff.
const (
	// Behind a valid token nobody is in a hurry.
	behindFirst, behindLimit = time.Second, 5 * time.Minute
	// A refusal will most likely be repeated until somebody has done something.
	refusedFirst, refusedLimit = 2 * time.Second, 5 * time.Minute
	// Not having been able to ask can pass at any moment.
	unaskedFirst, unaskedLimit = time.Second, 15 * time.Second
	// Between trips past the cache.
	pastFirst, pastLimit = 10 * time.Second, 5 * time.Minute
	// How often the files of a refused credential are looked at.
	statEvery = time.Second
)

// A flight is one trip to the network for one entry.
type flight struct {
	reason  Reason
	claims  string
	past    bool   // asks past the cache
	waiting bool   // for callers, not behind a valid token
	landed  uint32 // entry.landed when the caller looked
}

// get returns the token for an ordinary request that the hit path could not
// answer. why is what a flight is for if not for the state of the token.
func (c *Cache) get(ctx context.Context, cl *Client, scope string, why Reason) (Token, error) {
	e, err := c.look(cl, scope)
	if err != nil {
		return Token{}, err
	}
	w := e.work
	n := now()
	t := e.token.Load()
	if t != nil && !t.usable.reached(n) { // fresh or stale
		stale := t.refresh.reached(n) && (w == nil || !w.ordinary && n.mono >= w.tryAt)
		if stale {
			e.depart(false)
			// Callers need not look again before this flight must have landed.
			e.due.Store(uint64(n.add(cl.cfg.flightTimeout).earlier(t.usable).pack()))
		}
		c.mu.Unlock()
		if stale {
			c.fly(ctx, cl, e, flight{reason: cmp.Or(why, ReasonStale)}) // its landing shows in the entry
		}
		return Token{t}, nil
	}
	if w != nil && w.err != nil && !w.ordinary && n.mono < w.tryAt {
		refused, stamp := w.err, w.stamp
		look := stamp != "" && n.mono >= w.statAt
		if look {
			w.statAt = n.mono + int64(statEvery)
		}
		c.mu.Unlock()
		if !look || cl.cfg.source.stamp() == stamp {
			return Token{}, refused
		}
		// Somebody has changed the credential's files: what was refused before
		// need not be refused again.
		c.mu.Lock()
		w.tryAt = 0
	}
	if ctx.Err() != nil { // who has left does not send anybody
		c.mu.Unlock()
		return Token{}, waitError(scope, ctx.Err(), context.Cause(ctx))
	}
	e.depart(false)
	f := flight{reason: cmp.Or(why, ReasonMiss), waiting: true, landed: e.landed}
	c.mu.Unlock()
	if t != nil {
		f.reason = cmp.Or(why, ReasonExpired)
	}
	return wait(ctx, scope, c.fly(ctx, cl, e, f))
}

// look returns the entry for a client's scope, made if need be, with mu held;
// or an error without mu.
func (c *Cache) look(cl *Client, scope string) (*entry, error) {
	cfg := cl.cfg
	e := c.find(cfg.space.Load(), cl.tenant, scope)
	if e == nil {
		if err := checkScope(scope); err != nil {
			return nil, &Error{
				Kind: ErrScopeInvalid, TenantID: cl.tenant, ClientID: cfg.clientID, Scope: scope,
				cause: err, reason: err.Error(),
			}
		}
	}
	c.mu.Lock()
	if e == nil || e.pos < 0 {
		e = c.obtain(cfg.key, cl.tenant, scope)
		cfg.space.Store(e.at.space)
	}
	e.mark.Store(c.inserts.Load())
	if old := cl.first.Load(); old == nil || old.pos < 0 {
		cl.first.Store(e)
	}
	return e, nil
}

// depart notes that a flight is about to begin, which keeps the entry from
// being evicted. The caller holds mu and calls fly once it has let go of it.
func (e *entry) depart(past bool) *work {
	if e.work == nil {
		e.work = &work{}
	}
	if past {
		e.work.past = true
	} else {
		e.work.ordinary = true
	}
	return e.work
}

// fly begins a flight of e or joins the one of its kind that is under way.
func (c *Cache) fly(ctx context.Context, cl *Client, e *entry, f flight) <-chan singleflight.Result {
	key := fmt.Sprintf("%p", e) // unique while the flight holds e
	if f.past {
		key += "+"
	}
	// The flight keeps the values of who began it, for tracing, but not its
	// cancellation: others wait for it too.
	ctx = context.WithoutCancel(ctx)
	return c.flights.DoChan(key, func() (any, error) {
		t, err := c.travel(ctx, cl, e, f)
		if err != nil {
			return nil, err
		}
		return t, nil
	})
}

// wait returns the flight's result or leaves when ctx ends.
func wait(ctx context.Context, scope string, landed <-chan singleflight.Result) (Token, error) {
	select {
	case r := <-landed:
		if r.Err != nil {
			return Token{}, r.Err
		}
		return Token{r.Val.(*tokenData)}, nil
	case <-ctx.Done():
		return Token{}, waitError(scope, ctx.Err(), context.Cause(ctx))
	}
}

// travel is the flight itself. x/sync ends the process when it panics and never
// answers when it ends its goroutine, so whatever is not ours runs in guard.
func (c *Cache) travel(ctx context.Context, cl *Client, e *entry, f flight) (*tokenData, error) {
	if t, err := c.takeOff(e, &f); t != nil || err != nil {
		return t, err
	}
	cfg := cl.cfg
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.flightTimeout, errFlightTimeout)
	defer cancel()
	stamp := cfg.source.stamp()
	c.exchanges.Add(1)
	req := fetchRequest{tenantID: cl.tenant, scope: e.scope, claims: f.claims, waiting: f.waiting}
	g, err := guard(ctx, nil, "token request", func(ctx context.Context) (grant, error) {
		return cfg.source.fetch(ctx, req)
	})
	if err == nil && g.bearer == nil {
		err = errors.New("the token source returned neither a token nor an error")
	}
	ev := Event{Time: begun, TenantID: cl.tenant, ClientID: cfg.clientID, Scope: e.scope, Reason: f.reason, Duration: time.Since(begun)}
	if err != nil {
		failure := c.fail(e, f, cl.failure(err, e.scope), stamp)
		ev.Err = failure
		cfg.emit(ctx, ev)
		return nil, failure
	}
	t := c.arrive(e, f, g)
	ev.ExpiresOn = Token{t}.ExpiresOn()
	cfg.emit(ctx, ev)
	return t, nil
}

// takeOff looks once more before anybody is asked: between the caller's look and
// this flight another one may have landed, which then was what the caller wanted.
// It returns what that one brought, or nothing.
func (c *Cache) takeOff(e *entry, f *flight) (*tokenData, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := now()
	w := e.depart(f.past)
	landed := e.landed != f.landed
	ordinary := !f.past && f.reason != ReasonRejected && f.reason != ReasonForced
	if landed || ordinary {
		t := e.token.Load()
		switch {
		case t != nil && !t.refresh.reached(n):
			w.clear(f.past)
			return t, nil
		case f.past && landed && w.pastErr != nil:
			w.clear(true)
			return nil, w.pastErr
		case !f.past && w.err != nil && n.mono < w.tryAt:
			w.clear(false)
			return nil, w.err
		}
	}
	// The pace of failures is kept from outside the flight: retries inside it
	// are for the first one only.
	f.waiting = f.waiting && w.failures == 0
	return nil, nil
}

var errFlightTimeout = errors.New("no answer within the time limit of one token request")

// arrive publishes what a flight brought.
func (c *Cache) arrive(e *entry, f flight, g grant) *tokenData {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := e.land(f)
	if !g.credentialExpires.IsZero() {
		e.at.space.credentialExpires = g.credentialExpires.UnixNano()
	}
	t := g.schedule(e.token.Load() == nil || w.failures > 0, claimsID(f.claims))
	c.publish(e, t, t.refresh)
	w.failures, w.err, w.tryAt = 0, nil, 0
	switch {
	case f.past:
		w.pastSent, w.pastErr = t, nil
	case !w.past && now().mono >= w.pastAt:
		e.work = nil // an idle entry costs no more than its token
	}
	return t
}

// fail remembers a failure, so that it is not repeated for every caller, and
// returns it.
func (c *Cache) fail(e *entry, f flight, err *Error, stamp string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := e.land(f)
	n := now()
	t := e.token.Load()
	valid := t != nil && !t.usable.reached(n)
	failures := w.failures + 1

	var pause time.Duration
	switch {
	case valid:
		pause = backoff(behindFirst, behindLimit, failures)
	case kinds[err.Kind].does.soon:
		pause = backoff(unaskedFirst, unaskedLimit, failures)
	default:
		pause = backoff(refusedFirst, refusedLimit, failures)
	}
	asked := min(err.RetryAt.Sub(time.Unix(0, n.wall)), maxRetryAfter)
	told := asked > pause // the server may ask for more patience, not for less
	if told {
		pause = asked + rand.N(asked/10+1)
	}
	next := n.add(pause)
	if valid && !told {
		next = next.earlier(t.usable) // then callers wait, who are worth a try
	}
	if !told {
		err.RetryAt = time.Unix(0, next.wall)
	}
	if f.past {
		w.pastGap = min(2*w.pastGap, pastLimit)
		w.pastAt = max(n.mono+int64(w.pastGap), next.mono)
		w.pastErr = err.remembered()
		if valid {
			return err // the ordinary pace is not this one's
		}
	}
	w.failures, w.err, w.tryAt = failures, err.remembered(), next.mono
	w.stamp, w.statAt = stamp, n.mono+int64(statEvery)
	if valid {
		e.due.Store(uint64(next.earlier(t.usable).pack()))
	}
	return err
}

// land notes that a flight is over. The caller holds mu.
func (e *entry) land(f flight) *work {
	w := e.depart(f.past) // nobody takes work away while a flight is under way
	w.clear(f.past)
	e.landed++
	return w
}

func (w *work) clear(past bool) {
	if past {
		w.past = false
	} else {
		w.ordinary = false
	}
}
