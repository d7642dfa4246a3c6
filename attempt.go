// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// fetch gets one token: with the first credential that works, its material read
// anew, and what a refusal allows by the table over kinds. Each step is taken at
// most once per flight, so that a wrong client ID costs one request and a
// rotation under way two.
func (s *entraSource) fetch(ctx context.Context, req fetchRequest) (g grant, err error) {
	k := req.keeper
	req.tell = new([]Event)
	defer func() { g.changes = *req.tell }()
	order := []int{0}
	if len(s.members) > 1 {
		order = k.order(len(s.members), req.tenantID, func(i int) (fingerprint [32]byte) {
			m, err := s.resolve(ctx, req, i, lookTimeout)
			if err != nil {
				m = k.kept(i) // which is what would be sent
			}
			if m != nil {
				fingerprint = m.fingerprint
			}
			return fingerprint
		})
	}
	var first error
	for _, i := range order {
		g, m, err := s.try(ctx, req, i)
		if err == nil {
			return g, nil
		}
		if first == nil {
			first = err
		}
		if !reacts(err).next {
			return grant{}, err
		}
		// That the flight's time was up is no fault of the credential's.
		if len(s.members) > 1 && ctx.Err() == nil && k.putAside(i, req.tenantID, m) {
			req.change(Event{Kind: EventCredentialSetAside, Err: s.told(err, req)})
		}
	}
	return grant{}, first
}

// How long a source may take where something else could serve in its stead, and
// how long a look may take at one that has been passed over.
const (
	sourceTimeout = 10 * time.Second
	lookTimeout   = 2 * time.Second
)

// resolve reads the material of one credential.
func (s *entraSource) resolve(ctx context.Context, req fetchRequest, i int, limit time.Duration) (*material, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.members[i].resolve(ctx, s.assertionRequest(req))
}

// try gets a token with one credential. It returns what it was tried with, nil
// if that could not be read.
func (s *entraSource) try(ctx context.Context, req fetchRequest, i int) (g grant, m *material, err error) {
	k := req.keeper
	limit := entraFlightTimeout
	if len(s.members) > 1 || k.kept(i) != nil {
		limit = sourceTimeout
	}
	resolve := func() (*material, error) { return s.resolve(ctx, req, i, limit) }
	m, err = resolve()
	if err != nil {
		// Half of a rotation, an unmounted volume: what worked goes on working.
		if m = k.kept(i); m == nil {
			return grant{}, nil, unavailable(err)
		}
		req.change(Event{Kind: EventCredentialUnreadable, Err: s.told(unavailable(err), req)})
	}
	patience := s.patience(req)
	var previous *material
	for reloaded := false; ; {
		before, _ := k.clock()
		var seq uint64
		previous, seq = k.sending(i, m)
		if g, err = s.ask(ctx, req, m); err == nil {
			if k.accept(i, req.tenantID, m, seq) {
				req.change(Event{Kind: EventCredentialChanged})
			}
			if k.expiring(i, g.credentialExpires) {
				req.change(Event{Kind: EventCredentialExpiring, ExpiresOn: g.credentialExpires})
			}
			return g, m, nil
		}
		does := reacts(err)
		if does.reload && !reloaded {
			reloaded = true
			after, _ := k.clock()
			if again, unread := resolve(); unread == nil && (again.fingerprint != m.fingerprint || m.clocked && (after-before).Abs() > tolerableSkew) {
				m = again
				continue
			}
		}
		if !does.patient || len(s.members) > 1 || !patience(ctx) { // the next one is quicker than patience
			break
		}
		if again, unread := resolve(); unread == nil {
			m = again
		}
	}
	if previous != nil && reacts(err).previous {
		// Make before break: the new material counts once Entra knows it.
		if g, refused := s.ask(ctx, req, previous); refused == nil {
			return g, previous, nil
		}
	}
	return grant{}, m, err
}

// ask sends one token request with some material.
func (s *entraSource) ask(ctx context.Context, req fetchRequest, m *material) (grant, error) {
	asked := s.assertionRequest(req)
	p, err := m.prove(ctx, asked)
	if err != nil {
		return grant{}, unavailable(err)
	}
	g, err := s.exchange(ctx, req, p)
	if err != nil && m.refused != nil {
		m.refused(asked)
	}
	return g, err
}

// patience returns a function that waits a little before another try, and
// reports whether there is to be one: for callers who wait, of a key that has
// worked.
func (s *entraSource) patience(req fetchRequest) func(context.Context) bool {
	tries, deadline := 0, time.Now().Add(patienceTotal)
	return func(ctx context.Context) bool {
		wait := time.Second/2 + rand.N(2*time.Second)
		tries++
		if !req.worked || !req.waiting || tries > patienceTries || time.Now().Add(wait).After(deadline) {
			return false
		}
		select {
		case <-time.After(wait):
			return true
		case <-ctx.Done():
			return false
		}
	}
}

func (s *entraSource) assertionRequest(req fetchRequest) AssertionRequest {
	skew, known := req.keeper.clock()
	return AssertionRequest{
		TenantID: req.tenantID, ClientID: s.clientID,
		TokenEndpoint: s.cloud.TokenEndpoint(req.tenantID), Audience: s.cloud.ExchangeAudience(),
		skew: skew, clockKnown: known,
	}
}

func reacts(err error) reaction {
	if e, ok := errors.AsType[*Error](err); ok {
		return kinds[e.Kind].does
	}
	return reaction{}
}

// change notes what the observers are told once the flight is over.
func (r fetchRequest) change(ev Event) { *r.tell = append(*r.tell, ev) }

// told returns an error as observers get it: who asked for what is in it.
func (s *entraSource) told(err error, req fetchRequest) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	c := *e
	c.TenantID, c.ClientID, c.Scope = req.tenantID, s.clientID, req.scope
	return &c
}
