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
			return c.scopeError(scope, err)
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

// An EventKind says what an [Event] tells of.
type EventKind string

const (
	// EventTokenRequest: a token request has ended. Serving a token from memory
	// is no event.
	EventTokenRequest EventKind = "token-request"
	// EventCredentialChanged: Entra has taken new material for the first time.
	EventCredentialChanged EventKind = "credential-changed"
	// EventCredentialUnreadable: the source of the credential failed, Err says
	// how, and the material that worked last was used.
	EventCredentialUnreadable EventKind = "credential-unreadable"
	// EventCredentialSetAside: a credential of a [FirstOf] failed and is passed
	// over for this tenant; Err says why.
	EventCredentialSetAside EventKind = "credential-set-aside"
	// EventCredentialExpiring: the certificate or assertion that proved the app
	// ends at ExpiresOn, in at most 30, 7 or 1 days.
	EventCredentialExpiring EventKind = "credential-expiring"
	// EventChallengeUnreadable: an API asked a [Transport] for other claims in a
	// way that cannot be read. Its 401 went to the caller.
	EventChallengeUnreadable EventKind = "challenge-unreadable"
	// EventClockSkew: the local clock is off by Skew. Assertions are corrected
	// for it, up to a day; what else the host does is not.
	EventClockSkew EventKind = "clock-skew"
)

// An Event tells of one token request that has ended, or of what has changed
// with it.
type Event struct {
	Kind                      EventKind
	Time                      time.Time
	TenantID, ClientID, Scope string

	// Reason and Duration, retries included, are those of the token request.
	Reason   Reason
	Duration time.Duration
	// ExpiresOn is when the token ends that a request brought, zero if it
	// failed; or the credential.
	ExpiresOn time.Time
	// Err is an *Error if it failed.
	Err error
	// Skew is by how much Entra's clock is ahead of the local one.
	Skew time.Duration
}

// eventTimeout is how long a flight waits for who observes it.
const eventTimeout = time.Second

// emit tells the observers of a flight and of what has changed with it, and
// waits for them until ctx ends. They are not ours: one that panics is ignored,
// and one that does not return is not called again before it has.
func (cfg *config) emit(ctx context.Context, ev Event, changes []Event) {
	if cfg.onEvent == nil && cfg.logger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	guardFor(ctx, 0, cfg.observers, "the observer", func(ctx context.Context) (struct{}, error) {
		for _, change := range append(changes, ev) {
			change.Time, change.TenantID, change.ClientID, change.Scope = ev.Time, ev.TenantID, ev.ClientID, ev.Scope
			if cfg.logger != nil {
				change.log(ctx, cfg.logger)
			}
			if cfg.onEvent != nil {
				cfg.onEvent(ctx, change)
			}
		}
		return struct{}{}, nil
	})
}

func (ev Event) log(ctx context.Context, l *slog.Logger) {
	attrs := []slog.Attr{
		slog.String("tenant", ev.TenantID),
		slog.String("client", ev.ClientID),
		slog.String("scope", ev.Scope),
	}
	level, msg := slog.LevelWarn, ""
	switch ev.Kind {
	case EventTokenRequest:
		msg = "token request failed"
		attrs = append(attrs, slog.String("reason", string(ev.Reason)), slog.Duration("duration", ev.Duration))
		if ev.Err == nil {
			level, msg = slog.LevelDebug, "token obtained"
		}
	case EventCredentialChanged:
		level, msg = slog.LevelInfo, "credential changed"
	case EventCredentialUnreadable:
		msg = "credential cannot be read"
	case EventCredentialSetAside:
		msg = "credential set aside"
	case EventCredentialExpiring:
		msg = "credential expires soon"
	case EventChallengeUnreadable:
		msg = "claims challenge cannot be read"
	case EventClockSkew:
		msg = "the local clock is wrong"
		attrs = append(attrs, slog.Duration("skew", ev.Skew))
	}
	if !ev.ExpiresOn.IsZero() {
		attrs = append(attrs, slog.Time("expires", ev.ExpiresOn))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.Any("error", ev.Err))
	}
	l.LogAttrs(ctx, level, msg, attrs...)
}
