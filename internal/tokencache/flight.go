// SPDX-License-Identifier: MIT

package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
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

// A Sharer may bring what another process has got, in place of asking the source. It
// is called as a source is.
type Sharer interface {
	// Fetch calls ask, at most once and in its own goroutine, if nobody else has
	// brought what req wants. Grant and note are those of Source.Fetch, to which it
	// may add.
	Fetch(ctx context.Context, req Request, ask func(context.Context) (Grant, any, error)) (g Grant, note any, err error)
}

// A Request is what a source is asked for.
type Request struct {
	Tenant, Scope, Claims string
	Reason                Reason
	// Before is what the key held when the flight began, nil if nothing; it will not
	// do, or will not for long. The token should have MinValid left.
	Before   *Token
	MinValid time.Duration
	Failures int // in a row, before this one
	// Waiting says that callers wait for the answer, for whom it is worth
	// trying again; a refresh behind a good token makes one try.
	Waiting bool
	Worked  bool // the key has had a token before
	Behind  bool // it began behind a caller who was served
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
	// Shared says that another process has brought the answer: the source was not
	// asked.
	Shared bool
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

// A landing is the end of a flight, as callers wait for it. One who leaves leaves
// nothing behind: a million callers with short deadlines may come and go while a
// flight hangs.
type landing struct {
	done  chan struct{} // closed when there is a token or an error
	token *Token
	err   error
}

// wait returns what the flight brought, or ErrWaiting when ctx ends first; l is nil if
// it had ended before.
func (l *landing) wait(ctx context.Context) (*Token, error) {
	if l == nil {
		return nil, ErrWaiting
	}
	select {
	case <-l.done:
		return l.token, l.err
	case <-ctx.Done():
		return nil, ErrWaiting
	}
}

// A trip is one flight of an entry.
type trip struct {
	*Identity
	entry   *entry
	request Request
	bypass  bool
	claims  uint64        // see claimsID
	hung    *flight.Guard // the entry's
	// What callers wait for: strict those who want what this flight brings, loose
	// those whom any other token serves, too. Cache.mu guards them until the flight
	// has ended.
	strict, loose *landing
}

func newLanding() *landing { return &landing{done: make(chan struct{})} }

// landingFor returns what the caller of a waits for.
func (f *trip) landingFor(a Ask) *landing {
	if a.Force || a.Claims != "" {
		return f.strict
	}
	return f.loose
}

// release gives t, which another flight has brought, to those whom it serves.
func (f *trip) release(t *Token) {
	f.loose.token = t
	close(f.loose.done)
	f.loose = newLanding()
}

// land sets what those get who wait until the end.
func (f *trip) land(t *Token, err error) {
	f.strict.token, f.strict.err = t, err
	f.loose.token, f.loose.err = t, err
}

// launch begins the flight that d asks for. The caller holds Cache.mu.
func (id *Identity) launch(ctx context.Context, e *entry, d decision, a Ask, now clock.Instant) *trip {
	id.Cache.takeOff(e)
	if e.state == nil {
		e.state = &entryState{hung: new(flight.Guard)}
	}
	s := e.state
	f := &trip{
		Identity: id, entry: e, bypass: d.bypass, claims: claimsID(d.claims),
		hung: s.hung, strict: newLanding(), loose: newLanding(),
		request: Request{
			Tenant: e.owner.tenant, Scope: e.scope, Claims: d.claims, Reason: d.reason, State: e.owner.namespace.state,
			Waiting: d.step == fly && (s.memory.failures == 0 || s.memory.failedAt.Add(oneTryWindow).Reached(now)),
			Worked:  e.token.Load() != nil,
			Behind:  d.step == serveAndRefresh,
			Before:  e.token.Load(), MinValid: a.MinValid, Failures: s.memory.failures,
		},
	}
	if d.bypass {
		b := s.enterBypass(f.claims, now)
		b.flight, b.gap = f, d.gap
	} else {
		s.ordinary = f
	}
	go f.run(ctx)
	return f
}

var errNothing = errors.New("the token source returned neither a token nor an error")

// run is the flight. Whatever is not ours runs in a guard, also what is made of an
// error, which may be anybody's.
func (f *trip) run(ctx context.Context) {
	seen := Flight{Request: f.request, Began: time.Now()}
	ctx, cancel := flight.Detach(ctx, f.Timeout, flight.TimeoutError("no answer within the time limit of one token request"))
	defer cancel()
	type fetched struct {
		grant   Grant
		note    any
		stamp   string
		failure Failure
		shared  bool
	}
	got, err := flight.RunFor(ctx, 2*flight.Grace, f.hung, "token request", func(ctx context.Context) (got fetched, _ error) {
		got.stamp = f.Source.Stamp() // before the files are read
		var err error
		if got.grant, got.note, got.shared, err = f.fetch(ctx); err == nil && got.grant.Bearer == nil {
			err = errNothing
		}
		if err != nil {
			got.failure = f.Source.Failure(err, f.request)
		}
		return got, nil
	})
	if err != nil {
		got.failure = f.Source.Failure(err, f.request)
	}
	seen.Note, seen.Shared, seen.Duration = got.note, got.shared, time.Since(seen.Began)
	if got.failure == nil {
		seen.Token = f.succeed(got.grant)
	} else {
		seen.Err = f.fail(got.failure, got.stamp)
	}
	f.Source.Observe(ctx, seen)
	close(f.strict.done)
	close(f.loose.done)
}

// fetch asks the source, or whoever shares with other processes, who may do so.
func (f *trip) fetch(ctx context.Context) (g Grant, note any, shared bool, err error) {
	asked := false
	ask := func(ctx context.Context) (Grant, any, error) {
		asked = true
		f.Cache.exchanges.Add(1)
		return f.Source.Fetch(ctx, f.request)
	}
	if f.Sharer == nil {
		g, note, err = ask(ctx)
	} else {
		g, note, err = f.Sharer.Fetch(ctx, f.request, ask)
	}
	return g, note, !asked, err
}

// end notes that the flight is over: the next caller begins another one. It returns
// the pace of such flights if it bypassed the cache, else nil. The caller holds
// Cache.mu.
func (f *trip) end(now clock.Instant) *bypass {
	s := f.entry.state // which is kept while a flight is under way
	if !f.bypass {
		s.ordinary = nil
		return nil
	}
	b := s.bypassFor(f.claims)
	b.flight, b.at = nil, now // the pace counts from the end: one that hangs is not followed by the next at once
	return b
}

// overtaken returns the token that another flight has brought in the meantime, nil if
// none has.
func (f *trip) overtaken(now clock.Instant) *Token {
	if t := f.entry.usable(now); t != f.request.Before {
		return t
	}
	return nil
}

// succeed publishes what the flight brought and returns the token that those get who
// waited.
func (f *trip) succeed(g Grant) *Token {
	c, e := f.Cache, f.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clock.Now()
	b, s := f.end(now), e.state
	spread := spreadUsual
	switch {
	case g.Common: // else those who come and go would each draw early
	case e.token.Load() == nil:
		spread = spreadFirst
	case s.memory.failures > 0:
		spread = spreadRecovered
	}
	t := g.schedule(spread, f.claims)
	newer := f.overtaken(now)
	switch {
	case newer == nil, newer.claims == 0 && t.claims != 0:
		// A token for claims wins over one without that came while it was fetched:
		// a resource has asked for it.
		e.token.Store(t)
		e.recheck(t.Refresh, t)
		for _, other := range s.flights() { // nobody waits while there is a token
			other.release(t)
		}
	case t.claims == 0:
		t = newer
	}
	s.memory = memory{}
	if b != nil {
		b.token, b.err = t, nil
	}
	if s.resting(now) {
		e.state = nil
	}
	c.putBack(e, now)
	f.land(t, nil)
	return t
}

// fail remembers a failure and returns its error, which those get who waited. It
// counts for nothing if another flight has brought a token in the meantime: they get
// that then, unless they have asked for claims.
func (f *trip) fail(failure Failure, stamp string) error {
	c, e := f.Cache, f.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clock.Now()
	b, s := f.end(now), e.state
	t := e.usable(now)
	failures, tries := s.memory.next(t != nil)
	passing, retryAt := failure.Pace()
	pause, asked := pauseAfter(tries, t != nil, passing, retryAt.Sub(now.Time()))
	next := now.Add(pause)
	if t != nil && !asked {
		next = next.Earlier(t.usable) // then callers wait, for whom it is worth a try
	}
	answer, remembered := failure.At(next.Time())
	if b != nil {
		b.err = remembered
		if asked {
			s.word = serverWord{next, remembered}
		}
	}
	newer := f.overtaken(now)
	if counts := b == nil || t == nil && f.claims == 0; counts && newer == nil { // else an ordinary request need not fail
		s.memory = memory{failures, tries, t != nil, now, remembered, next, stamp, now.Add(statInterval)}
		if t != nil {
			e.recheck(next, t)
		}
	}
	c.putBack(e, now)
	if newer != nil && f.claims == 0 { // else it was obtained with other claims, if any
		f.land(newer, nil)
	} else {
		f.land(nil, answer)
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
