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
	worked  bool    // the key has had a token before
	keeper  *keeper // of the identity
	tell    *[]Event
}

// work is what an entry needs while it is not just serving a token: what is
// under way and what is remembered of failures. Cache.mu guards it.
type work struct {
	// Flights under way, by kind: set when one is launched, cleared when it
	// lands, both together with x/sync's own book.
	ordinary, past bool
	claims         bool // the past one carries claims

	failures int    // in a row
	failedAt int64  // when the last one was, by the monotonic clock
	err      *Error // the last one, as callers get it from memory
	tryAt    int64  // nothing is asked before
	stamp    string // state of the credential's files when it failed
	statAt   int64  // when they may be looked at again

	// What asks past the cache (claims, rejected, force) has a pace of its own.
	pastAt   int64         // when it was last asked
	pastGap  time.Duration // until a rejection may ask again
	pastTry  int64         // nothing is asked past the cache before; a server's word
	pastErr  *Error
	pastSent *tokenData // the last token it brought

	trip gate // of flights that were abandoned
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
	// For so long after a failure a flight makes one try even if callers wait:
	// the pace is then kept from outside the flight.
	failing = time.Minute
	// How often the files of a refused credential are looked at.
	statEvery = time.Second
)

// A flight is one trip to the network for one entry.
type flight struct {
	reason  Reason
	claims  string
	past    bool // asks past the cache
	waiting bool // for callers, not behind a valid token
}

// get returns the token for an ordinary request that the hit path could not
// answer. why is what a flight is for if not for the state of the token.
func (c *Cache) get(ctx context.Context, cl *Client, scope string, why Reason) (Token, error) {
	ctxErr := ctx.Err() // before mu is taken: a context is not ours
	e, err := c.look(cl, scope)
	if err != nil {
		return Token{}, err
	}
	w := e.work
	n := now()
	t := e.token.Load()
	if t != nil && !t.usable.reached(n) { // fresh or stale
		if t.refresh.reached(n) && (w == nil || !w.ordinary && n.mono >= w.tryAt) {
			c.launch(ctx, cl, e, flight{reason: cmp.Or(why, ReasonStale)}) // its landing shows in the entry
			// Callers need not look again before it must have landed.
			e.due.Store(uint64(n.add(cl.cfg.flightTimeout).earlier(t.usable).pack()))
		}
		c.mu.Unlock()
		return Token{t}, nil
	}
	if w != nil && w.err != nil && !w.ordinary && n.mono < w.tryAt {
		refused, stamp := w.err, w.stamp
		look := stamp != "" && n.mono >= w.statAt
		if look {
			w.statAt = n.mono + int64(statEvery)
		}
		c.mu.Unlock()
		if !look || cl.cfg.stamp(ctx, stamp) == stamp {
			return Token{}, refused
		}
		// Somebody has changed the credential's files: what was refused before
		// need not be refused again.
		if e, err = c.look(cl, scope); err != nil {
			return Token{}, err
		}
		if w = e.work; w != nil {
			w.tryAt = 0
		}
	}
	if ctxErr != nil { // who has left does not send anybody
		c.mu.Unlock()
		return Token{}, waitError(scope, ctxErr, context.Cause(ctx))
	}
	f := flight{reason: cmp.Or(why, ReasonMiss), waiting: true}
	if t != nil {
		f.reason = cmp.Or(why, ReasonExpired)
	}
	// A token asked for past the cache is as good, unless it is for claims.
	f.past = w != nil && w.past && !w.claims && !w.ordinary
	landed := c.launch(ctx, cl, e, f)
	c.mu.Unlock()
	return wait(ctx, scope, landed)
}

// stamp looks at the credential's files, in time; known if it cannot.
func (cfg *config) stamp(ctx context.Context, known string) string {
	s, err := guard(ctx, &cfg.looks, "the file system", func(context.Context) (string, error) { return cfg.source.stamp(), nil })
	if err != nil {
		return known
	}
	return s
}

// look returns the entry for a client's scope, made if need be, with mu held;
// or an error without mu.
func (c *Cache) look(cl *Client, scope string) (*entry, error) {
	cfg := cl.cfg
	e := c.find(cfg.space.Load(), cl.tenant, scope)
	if e == nil {
		if err := checkScope(scope); err != nil {
			return nil, cl.scopeError(scope, err)
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

// scopeError is the error of a scope that nobody needs to be asked about.
func (c *Client) scopeError(scope string, err error) *Error {
	return &Error{
		Kind: ErrScopeInvalid, TenantID: c.tenant, ClientID: c.cfg.clientID, Scope: scope,
		cause: err, reason: err.Error(),
	}
}

// launch begins a flight of e or joins the one of its kind that is under way.
// The caller holds mu, so that nobody sees one without the other: the flag that
// keeps the entry, and x/sync's flight.
func (c *Cache) launch(ctx context.Context, cl *Client, e *entry, f flight) <-chan singleflight.Result {
	if e.work == nil {
		e.work = &work{}
	}
	w := e.work
	switch {
	case !f.past:
		w.ordinary = true
	case !w.past:
		w.past, w.claims = true, f.claims != ""
	}
	f.waiting = f.waiting && (w.failures == 0 || now().mono > w.failedAt+int64(failing))
	return c.flights.DoChan(e.flightKey(f), func() (any, error) {
		t, err := c.travel(ctx, cl, e, w, f)
		if err != nil {
			return nil, err
		}
		return t, nil
	})
}

// land notes that a flight is over; who comes now begins another one. The caller
// holds mu.
func (c *Cache) land(e *entry, f flight) *work {
	c.flights.Forget(e.flightKey(f))
	w := e.work // a flight's work is not taken away
	if f.past {
		w.past, w.claims = false, false
	} else {
		w.ordinary = false
	}
	return w
}

// flightKey is unique while a flight holds e.
func (e *entry) flightKey(f flight) string {
	if f.past {
		return fmt.Sprintf("%p+", e)
	}
	return fmt.Sprintf("%p", e)
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
func (c *Cache) travel(ctx context.Context, cl *Client, e *entry, w *work, f flight) (*tokenData, error) {
	cfg := cl.cfg
	begun := time.Now()
	// The flight keeps the values of who began it, such as a span, but not its
	// cancellation: others wait for it too.
	ctx, cancel := context.WithTimeoutCause(untraced(context.WithoutCancel(ctx)), cfg.flightTimeout, errFlightTimeout)
	defer cancel()
	c.exchanges.Add(1)
	req := fetchRequest{tenantID: cl.tenant, scope: e.scope, claims: f.claims, waiting: f.waiting, worked: e.token.Load() != nil, keeper: &e.at.space.keeper}
	type baggage struct {
		grant
		stamp string
	}
	b, err := guardFor(ctx, 2*grace, &w.trip, "token request", func(ctx context.Context) (baggage, error) {
		stamp := cfg.source.stamp() // before the files are read
		g, err := cfg.source.fetch(ctx, req)
		return baggage{g, stamp}, err
	})
	if err == nil && b.bearer == nil {
		err = errors.New("the token source returned neither a token nor an error")
	}
	ev := Event{Kind: EventTokenRequest, Time: begun, TenantID: cl.tenant, ClientID: cfg.clientID, Scope: e.scope, Reason: f.reason, Duration: time.Since(begun)}
	if err != nil {
		failure := c.fail(e, f, cl.failure(err, e.scope), b.stamp)
		ev.Err = failure
		cfg.emit(context.WithoutCancel(ctx), ev, b.changes)
		return nil, failure
	}
	t := c.arrive(e, f, b.grant)
	ev.ExpiresOn = Token{t}.ExpiresOn()
	cfg.emit(context.WithoutCancel(ctx), ev, b.changes)
	return t, nil
}

var errFlightTimeout = errors.New("no answer within the time limit of one token request")

// arrive publishes what a flight brought.
func (c *Cache) arrive(e *entry, f flight, g grant) *tokenData {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.land(e, f)
	if !g.credentialExpires.IsZero() {
		e.at.space.credentialExpires = g.credentialExpires.UnixNano()
	}
	s := spreadUsual
	switch {
	case e.token.Load() == nil:
		s = spreadFirst
	case w.failures > 0:
		s = spreadRecovered
	}
	t := g.schedule(s, claimsID(f.claims))
	c.publish(e, t, t.refresh)
	w.failures, w.err, w.tryAt = 0, nil, 0
	switch {
	case f.past:
		w.pastSent, w.pastErr = t, nil
	case !w.past && now().mono >= w.pastAt+int64(w.pastGap):
		e.work = nil // an idle entry costs no more than its token
	}
	return t
}

// fail remembers a failure, so that it is not repeated for every caller, and
// returns it.
func (c *Cache) fail(e *entry, f flight, err *Error, stamp string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.land(e, f)
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
	switch jitter := rand.N(asked.Abs()/10 + 1); {
	case told && asked > maxRetryAfter-time.Second: // cut off, a moment ago
		pause = asked - jitter
	case told:
		pause = asked + jitter
	}
	next := n.add(pause)
	if valid && !told {
		next = next.earlier(t.usable) // then callers wait, who are worth a try
	}
	err.RetryAt = time.Unix(0, next.wall)
	if f.past {
		w.pastErr = err.remembered()
		if told {
			w.pastTry = next.mono
		}
		if valid || f.claims != "" {
			return err // the ordinary request need not fail
		}
	}
	w.failures, w.failedAt, w.err, w.tryAt = failures, n.mono, err.remembered(), next.mono
	w.stamp, w.statAt = stamp, n.mono+int64(statEvery)
	if valid {
		e.due.Store(uint64(next.earlier(t.usable).pack()))
	}
	return err
}
