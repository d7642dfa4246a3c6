// SPDX-License-Identifier: MIT

package tokencache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"golang.org/x/sync/singleflight"
)

// A Source is what a cache gets its tokens from.
type Source interface {
	// Fetch asks for one token over the network. It is called in a goroutine of
	// its own, may panic or end it, and is abandoned when ctx ends. note is for
	// Observe, also with an error.
	Fetch(ctx context.Context, req Request) (g Grant, note any, err error)
	// Stamp says in what state the credential's files are, "" if it has none. It
	// may stat, not read.
	Stamp() string
	// Failure returns what callers get for an error of Fetch, or because Fetch
	// did not return.
	Failure(err error, req Request) Failure
	// Observe is told of a flight that has ended, under no lock. Callers wait for
	// it. ctx may have ended with the flight.
	Observe(ctx context.Context, f Flight)
}

// A Request is what a source is asked for.
type Request struct {
	Tenant, Scope, Claims string
	Reason                Reason
	// Waiting says that callers wait for the answer, for whom it is worth
	// trying again; a refresh behind a good token makes one try.
	Waiting bool
	Worked  bool // the key has had a token before
	State   any  // what Identity.NewState made for the namespace
}

// A Failure is why there is no token.
type Failure interface {
	// Pace says whether the failure can pass at any moment, and when the server
	// wants to be asked again, zero if it did not say.
	Pace() (passing bool, retryAt time.Time)
	// At returns the error for callers that waited, and the one for those that are
	// answered from memory until retryAt. It is called with the cache locked.
	At(retryAt time.Time) (answer, remembered error)
}

// A Flight is one trip to the source that has ended.
type Flight struct {
	Request
	Began    time.Time
	Duration time.Duration
	Token    *Token // nil with Err
	Err      error
	Note     any // of Source.Fetch
}

// How long a failure keeps others from asking again; see flight.Backoff.
const (
	// Behind a good token there is no hurry.
	staleFirst, staleLimit = time.Second, 5 * time.Minute
	// A refusal is most likely repeated until a person has done something.
	refusedFirst, refusedLimit = 2 * time.Second, 5 * time.Minute
	// What can pass at any moment, such as not having reached the server.
	passingFirst, passingLimit = time.Second, 15 * time.Second
	// For so long after a failure a flight makes one try even if callers wait:
	// the pace is then kept from outside the flight.
	oneTryWindow = time.Minute
	// How often the files of a refused credential are looked at.
	statInterval = time.Second
)

// launch begins the flight that d asks for, or joins it if it is under way. The
// caller holds Cache.mu, so that the flag that keeps the entry and x/sync's flight
// are never seen apart.
func (id *Identity) launch(ctx context.Context, e *entry, d decision, now clock.Instant) <-chan singleflight.Result {
	if e.state == nil {
		e.state = &entryState{hung: new(flight.Guard)}
	}
	s := e.state
	switch {
	case !d.bypass:
		s.ordinary = true
	case !s.bypassing:
		s.bypassing, s.bypassClaims = true, d.claims != ""
	}
	if d.gap > 0 {
		s.bypass.at, s.bypass.gap = now.Mono, d.gap
	}
	req := Request{
		Tenant: e.owner.tenant, Scope: e.scope, Claims: d.claims, Reason: d.reason, State: e.owner.namespace.state,
		Waiting: d.step == fly && (s.memory.failures == 0 || now.Mono > s.memory.failedAt+int64(oneTryWindow)),
		Worked:  e.token.Load() != nil,
	}
	return id.Cache.flights.DoChan(e.flightKey(d.bypass), func() (any, error) {
		return id.run(ctx, e, s.hung, d, req)
	})
}

// end notes that a flight is over: the next caller begins another one. The caller
// holds Cache.mu.
func (c *Cache) end(e *entry, bypass bool) *entryState {
	c.flights.Forget(e.flightKey(bypass))
	s := e.state // which is kept while a flight is under way
	if bypass {
		s.bypassing, s.bypassClaims = false, false
	} else {
		s.ordinary = false
	}
	return s
}

// flightKey is unique while a flight holds e.
func (e *entry) flightKey(bypass bool) string { return fmt.Sprintf("%p %t", e, bypass) }

// wait returns the flight's result, or ErrWaiting when ctx ends first.
func wait(ctx context.Context, result <-chan singleflight.Result) (*Token, error) {
	select {
	case r := <-result:
		t, _ := r.Val.(*Token)
		return t, r.Err
	case <-ctx.Done():
		return nil, ErrWaiting
	}
}

var errNothing = errors.New("the token source returned neither a token nor an error")

// run is the flight. x/sync ends the process when it panics and never answers
// when it ends its goroutine, so whatever is not ours runs in a guard.
func (id *Identity) run(ctx context.Context, e *entry, hung *flight.Guard, d decision, req Request) (*Token, error) {
	f := Flight{Request: req, Began: time.Now()}
	ctx, cancel := flight.Detach(ctx, id.Timeout, flight.TimeoutError("no answer within the time limit of one token request"))
	defer cancel()
	id.Cache.exchanges.Add(1)
	type fetched struct {
		grant Grant
		note  any
		stamp string
	}
	got, err := flight.RunFor(ctx, 2*flight.Grace, hung, "token request", func(ctx context.Context) (fetched, error) {
		stamp := id.Source.Stamp() // before the files are read
		g, note, err := id.Source.Fetch(ctx, req)
		return fetched{g, note, stamp}, err
	})
	if err == nil && got.grant.Bearer == nil {
		err = errNothing
	}
	f.Note, f.Duration = got.note, time.Since(f.Began)
	if err == nil {
		f.Token = id.Cache.succeed(e, d, req, got.grant)
	} else {
		f.Err = id.Cache.fail(e, d, req, id.Source.Failure(err, req), got.stamp)
	}
	id.Source.Observe(ctx, f)
	return f.Token, f.Err
}

// succeed publishes what a flight brought.
func (c *Cache) succeed(e *entry, d decision, req Request, g Grant) *Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.end(e, d.bypass)
	spread := spreadUsual
	switch {
	case e.token.Load() == nil:
		spread = spreadFirst
	case s.memory.failures > 0:
		spread = spreadRecovered
	}
	t := g.schedule(spread, claimsID(req.Claims))
	e.token.Store(t)
	e.recheck(t.Refresh, t)
	if !e.hasToken {
		c.withoutToken.remove(e)
		c.withToken.add(e)
		e.hasToken = true
	}
	s.memory.failures, s.memory.err, s.memory.tryAt = 0, nil, 0
	switch {
	case d.bypass:
		s.bypass.token, s.bypass.err = t, nil
	case !s.bypassing && clock.Now().Mono >= s.bypass.at+int64(s.bypass.gap):
		e.state = nil
	}
	return t
}

// fail remembers a failure and returns the error for those who waited.
func (c *Cache) fail(e *entry, d decision, req Request, failure Failure, stamp string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.end(e, d.bypass)
	now := clock.Now()
	t := e.usable(now)
	failures := s.memory.failures + 1
	passing, retryAt := failure.Pace()
	pause, asked := pauseAfter(failures, t != nil, passing, retryAt.Sub(now.Time()))
	next := now.Add(pause)
	if t != nil && !asked {
		next = next.Earlier(t.usable) // then callers wait, for whom it is worth a try
	}
	answer, remembered := failure.At(next.Time())
	if d.bypass {
		s.bypass.err = remembered
		if asked {
			s.bypass.notBefore = next.Mono
		}
		if t != nil || req.Claims != "" {
			return answer // an ordinary request need not fail
		}
	}
	s.memory = memory{failures, now.Mono, remembered, next.Mono, stamp, now.Mono + int64(statInterval)}
	if t != nil {
		e.recheck(next, t)
	}
	return answer
}

// pauseAfter returns how long the source is not asked after the nth failure in a
// row, and whether that is the server's wish, which can make it longer and never
// shorter.
func pauseAfter(n int, usable, passing bool, wanted time.Duration) (pause time.Duration, asked bool) {
	switch {
	case usable:
		pause = flight.Backoff(staleFirst, staleLimit, n)
	case passing:
		pause = flight.Backoff(passingFirst, passingLimit, n)
	default:
		pause = flight.Backoff(refusedFirst, refusedLimit, n)
	}
	wanted = min(wanted, flight.MaxRetryAfter)
	if wanted <= pause {
		return pause, false
	}
	jitter := rand.N(wanted/10 + 1)
	if wanted > flight.MaxRetryAfter-time.Second { // it was cut off, a moment ago
		return wanted - jitter, true
	}
	return wanted + jitter, true
}
