// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A TokenState is how good a cached token is.
type TokenState string

const (
	// TokenFresh: handed out as it is.
	TokenFresh TokenState = "fresh"
	// TokenStale: handed out, and a refresh is due or under way.
	TokenStale TokenState = "stale"
	// TokenExpired: not handed out any more.
	TokenExpired TokenState = "expired"
	// TokenMissing: never obtained, or the refusal is remembered.
	TokenMissing TokenState = "missing"
)

// A TokenStatus is the state of one token, for a health endpoint or a metric. A
// daemon is well while Failures is 0; it lives on what it has while Failures
// grows and the state is fresh or stale; it is out of business when Failures
// grows and the state is expired or missing. An expired token without failures
// is one that nobody has asked for lately.
type TokenStatus struct {
	TenantID, Scope string
	State           TokenState
	// ExpiresOn is when the token ends, zero if there is none.
	ExpiresOn time.Time
	// NextTry is when the next refresh or try is due: the past if it is under
	// way or waits for a caller.
	NextTry time.Time
	// LastSuccess is when the token was obtained, zero if there is none.
	LastSuccess time.Time
	// Failures counts the requests that failed since, LastError is the last of
	// them; 0 and nil after a success.
	Failures  int
	LastError error
	// CredentialExpiresOn is when the certificate or federated assertion ends
	// that the app last proved itself with, zero if unknown. Nobody but Entra
	// knows when a secret ends.
	CredentialExpiresOn time.Time
}

// Status returns the state of every token the cache holds for this client's
// app and tenant, sorted by scope. It does not block on the network.
func (c *Client) Status() []TokenStatus {
	cache := c.cfg.cache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	sp := cache.spaces[c.cfg.key]
	if sp == nil {
		return nil
	}
	var all []TokenStatus
	n := now()
	for _, l := range []list{cache.good, cache.bare} {
		for _, e := range l {
			if e.at.space == sp && e.at.tenant == c.tenant {
				all = append(all, e.status(n))
			}
		}
	}
	slices.SortFunc(all, func(a, b TokenStatus) int { return cmp.Compare(a.Scope, b.Scope) })
	return all
}

// status describes e. The caller holds mu.
func (e *entry) status(n instant) TokenStatus {
	s := TokenStatus{TenantID: e.at.tenant, Scope: e.scope, State: TokenMissing, NextTry: time.Unix(0, n.wall)}
	if ns := e.at.space.credentialExpires; ns != 0 {
		s.CredentialExpiresOn = time.Unix(0, ns)
	}
	if t := e.token.Load(); t != nil {
		s.ExpiresOn = Token{t}.ExpiresOn()
		s.LastSuccess = time.Unix(0, t.received)
		s.NextTry = Token{t}.RefreshOn()
		switch {
		case t.usable.reached(n):
			s.State = TokenExpired
		case t.refresh.reached(n):
			s.State = TokenStale
		default:
			s.State = TokenFresh
		}
	}
	if w := e.work; w != nil && w.failures > 0 {
		s.Failures = w.failures
		s.NextTry = time.Unix(0, n.wall+w.tryAt-n.mono)
		if w.err != nil {
			s.LastError = w.err
		}
	}
	return s
}

// Warm gets the tokens for all scopes at once and returns when all have
// answered or ctx has ended. The errors are joined; each names its scope.
func (c *Client) Warm(ctx context.Context, scopes ...string) error {
	errs := make([]error, len(scopes))
	var wg sync.WaitGroup
	for i, scope := range scopes {
		wg.Go(func() { _, errs[i] = c.Token(ctx, scope) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// KeepWarm refreshes the tokens for scopes when they are due, without traffic
// to cause it, so that the first call after a quiet night waits for nothing. It
// blocks until ctx ends and then returns its error; failures are retried at the
// cache's pace and show in [Client.Status]. It returns at once if a scope is
// not one.
func (c *Client) KeepWarm(ctx context.Context, scopes ...string) error {
	for _, scope := range scopes {
		if err := checkScope(scope); err != nil {
			return &Error{
				Kind: ErrScopeInvalid, TenantID: c.tenant, ClientID: c.cfg.clientID, Scope: scope,
				cause: err, reason: err.Error(),
			}
		}
	}
	var wg sync.WaitGroup
	for _, scope := range scopes {
		// Apart, so that a tenant or resource that hangs delays no other.
		wg.Go(func() { c.keepWarm(ctx, scope) })
	}
	<-ctx.Done()
	wg.Wait()
	return ctx.Err()
}

// keepWarm looks once a minute even if nothing is due: the entry may have been
// evicted, or the machine have slept.
func (c *Client) keepWarm(ctx context.Context, scope string) {
	const shortest, longest = time.Second, time.Minute
	for {
		pause := shortest // after a failure; the cache keeps the pace
		if t, err := c.cfg.cache.get(ctx, c, scope, ReasonKeepWarm); err == nil {
			pause = min(max(time.Until(t.RefreshOn()), shortest), longest)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// A Reason says why a token request was made.
type Reason string

// The reasons of a token request.
const (
	ReasonMiss     Reason = "miss"     // nothing was cached
	ReasonStale    Reason = "stale"    // the token was past its refresh time
	ReasonExpired  Reason = "expired"  // the token had ended
	ReasonClaims   Reason = "claims"   // a resource answered with a claims challenge
	ReasonRejected Reason = "rejected" // a resource refused the token
	ReasonForced   Reason = "forced"   // TokenRequest.Force
	ReasonKeepWarm Reason = "keep-warm"
)

// An Event tells of one token request that has ended. Serving a token from
// memory is no event.
type Event struct {
	Time                      time.Time
	TenantID, ClientID, Scope string
	Reason                    Reason
	// Duration is how long it took, retries included.
	Duration time.Duration
	// ExpiresOn is when the token ends that it brought, zero if it failed.
	ExpiresOn time.Time
	// Err is an *Error if it failed.
	Err error
}

// eventTimeout is how long a flight waits for who observes it.
const eventTimeout = time.Second

// emit tells the observers of a flight. They are not ours: one that panics is
// ignored, and one that does not return is not called again before it has.
func (cfg *config) emit(ctx context.Context, ev Event) {
	if cfg.onEvent == nil && cfg.logger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
	defer cancel()
	guard(ctx, &cfg.observers, "the observer", func(ctx context.Context) (struct{}, error) {
		if cfg.logger != nil {
			ev.log(ctx, cfg.logger)
		}
		if cfg.onEvent != nil {
			cfg.onEvent(ev)
		}
		return struct{}{}, nil
	})
}

func (ev Event) log(ctx context.Context, l *slog.Logger) {
	attrs := []slog.Attr{
		slog.String("tenant", ev.TenantID),
		slog.String("client", ev.ClientID),
		slog.String("scope", ev.Scope),
		slog.String("reason", string(ev.Reason)),
		slog.Duration("duration", ev.Duration),
	}
	if ev.Err != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "token request failed", append(attrs, slog.Any("error", ev.Err))...)
		return
	}
	l.LogAttrs(ctx, slog.LevelDebug, "token obtained", append(attrs, slog.Time("expires", ev.ExpiresOn))...)
}
