// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"cmp"
	"context"
	"time"

	"github.com/apponly/apponly"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// A tokenState is what is told of a token.
type tokenState struct {
	ready     bool
	failures  int
	remaining time.Duration
}

func stateOf(s apponly.TokenStatus, now time.Time) tokenState {
	t := tokenState{ready: s.State == apponly.TokenFresh || s.State == apponly.TokenStale, failures: s.Failures}
	if t.ready {
		t.remaining = max(s.ExpiresOn.Sub(now), 0)
	}
	return t
}

// worse reports whether of two tokens that go by the same names t is to be told of. All
// that is told is of one token: the failures of one and the little time that another has
// left would be an outage that nobody has.
func (t tokenState) worse(u tokenState) bool {
	return cmp.Or(
		cmp.Compare(t.rank(), u.rank()),
		cmp.Compare(t.remaining, u.remaining),
		cmp.Compare(u.failures, t.failures),
	) < 0
}

// rank is the lower the worse.
func (t tokenState) rank() int {
	switch {
	case !t.ready && t.failures > 0:
		return 0
	case t.failures > 0:
		return 1
	case t.ready:
		return 2
	}
	return 3 // nobody has asked lately: it is no trouble
}

// A collection is what is found out about the clients.
type collection struct {
	tokens map[attribute.Distinct]told
	ends   map[string]time.Time // by client ID
	skew   time.Duration
}

// told is a token and what it goes by.
type told struct {
	tokenState
	attribute.Set
}

// collect tells of what is watched.
func (t *Telemetry) collect(_ context.Context, o metric.Observer) error {
	found := collection{tokens: map[attribute.Distinct]told{}, ends: map[string]time.Time{}}
	for _, c := range t.watched.all() {
		t.look(c, &found)
	}
	now := time.Now()
	m := &t.meters
	for _, token := range found.tokens {
		as := metric.WithAttributeSet(token.Set)
		ready := int64(0)
		if token.ready {
			ready = 1
		}
		o.ObserveInt64(m.ready, ready, as)
		o.ObserveInt64(m.failures, int64(token.failures), as)
		o.ObserveFloat64(m.remaining, token.remaining.Seconds(), as)
	}
	for client, end := range found.ends {
		o.ObserveFloat64(m.ends, max(end.Sub(now), 0).Seconds(), metric.WithAttributes(clientID(client)))
	}
	o.ObserveFloat64(m.skew, found.skew.Seconds())
	t.count(o)
	return nil
}

// look adds what a client knows.
func (t *Telemetry) look(c *watch, found *collection) {
	id, now := c.ClientID(), time.Now()
	for _, s := range c.Status() {
		token := told{stateOf(s, now), attribute.NewSet(append(t.about(s.TenantID, s.Scope), clientID(id))...)}
		key := token.Equivalent()
		if known, ok := found.tokens[key]; !ok || token.worse(known.tokenState) {
			found.tokens[key] = token
		}
		if end := s.CredentialExpiresOn; !end.IsZero() && !s.CredentialIssued {
			if known, ok := found.ends[id]; !ok || end.Before(known) {
				found.ends[id] = end
			}
		}
		if s.ClockSkew.Abs() > found.skew.Abs() {
			found.skew = s.ClockSkew
		}
	}
}

// count tells of the caches. Every result is told of from the start, also while it is 0:
// a counter that comes into being with its first count has not increased.
func (t *Telemetry) count(o metric.Observer) {
	sum, entries, unavailable := t.watched.stats()
	m := &t.meters
	o.ObserveInt64(m.entries, int64(entries))
	o.ObserveInt64(m.unavailable, int64(unavailable))
	o.ObserveInt64(m.evictions, int64(sum.evictions))
	o.ObserveInt64(m.exchanges, int64(sum.exchanges))
	for result, n := range map[string]uint64{"hit": sum.hits, "miss": sum.misses, "unavailable": sum.unavailable, "rejected": sum.rejected} {
		o.ObserveInt64(m.lookups, int64(n), metric.WithAttributes(attribute.String("apponly.result", result)))
	}
}

func clientID(id string) attribute.KeyValue { return attribute.String("apponly.client_id", id) }
