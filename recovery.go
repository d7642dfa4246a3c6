// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

// Fetch gets one token: with the first credential that works, its material read
// anew, and after a refusal by the steps that the table over kinds allows. Each
// is taken once, so that a wrong client ID costs one request and a rotation
// under way two.
func (s *entraSource) Fetch(ctx context.Context, req tokencache.Request) (g tokencache.Grant, note any, err error) {
	a := &acquisition{entraSource: s, Request: req, state: req.State.(*credentialState)}
	if note := s.notice.give(); note != nil {
		a.record(Event{Kind: EventIdentityBinding, Err: note})
	}
	g, err = a.failOver(ctx)
	return g, a.events, err
}

// Stamp changes when a file of a credential or that of the roots does.
func (s *entraSource) Stamp() string {
	var all strings.Builder
	all.WriteString(s.roots.stamp())
	for _, c := range s.credentials {
		all.WriteString(c.files.stamp())
	}
	return all.String()
}

// failOver tries the credentials in order, for as long as what went wrong may be
// the fault of one of them.
func (a *acquisition) failOver(ctx context.Context) (g tokencache.Grant, err error) {
	var first error
	for _, i := range a.order(ctx) {
		t := &attempt{acquisition: a, member: i}
		if g, err = t.run(ctx); err == nil {
			return g, nil
		}
		if first == nil {
			first = err
		}
		if !recoveryFor(err).failOver {
			return g, err
		}
		// That the flight's time was up is no fault of the credential's.
		if len(a.credentials) > 1 && ctx.Err() == nil && a.state.cooldowns.begin(i, a.Tenant, t.sent) {
			a.record(Event{Kind: EventCredentialSetAside, Err: a.attributed(err)})
		}
	}
	return g, first
}

// order returns which credentials to try.
func (a *acquisition) order(ctx context.Context) []int {
	if len(a.credentials) == 1 {
		return []int{0}
	}
	return a.state.cooldowns.order(len(a.credentials), a.Tenant, func(i int) (fingerprint [32]byte) {
		m, err := a.resolve(ctx, i, lookTimeout)
		if err != nil {
			m = a.state.rotation.lastAccepted(i) // which is what would be sent
		}
		if m != nil {
			fingerprint = m.fingerprint
		}
		return fingerprint
	})
}

// How long a source may take where something else could serve in its stead, a
// file among them.
const (
	sourceTimeout = 10 * time.Second
	fileTimeout   = 4 * time.Second
)

// sourceLimit returns how long a credential may take to produce its material.
func sourceLimit(c *credential, replaceable bool) time.Duration {
	switch {
	case !replaceable:
		return entraTimeout
	case len(c.files.paths) > 0:
		return fileTimeout
	}
	return sourceTimeout
}

// resolve reads the material of one credential.
func (a *acquisition) resolve(ctx context.Context, i int, limit time.Duration) (*material, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.credentials[i].resolve(ctx, a.assertionRequest(), a.state.files[i])
}

// An attempt gets one token with one credential.
type attempt struct {
	*acquisition
	member   int
	limit    time.Duration // of its source
	sent     *material     // last; nil if it could not be read
	skew     time.Duration // when it was sent
	previous []*material   // what may stand in for it
	tried    [][32]byte    // the fingerprints of what has been sent
	reread   bool          // the material was read again
	waits    int
	waitEnd  time.Time
}

// A step is one of the things that may help after a refusal.
type step struct {
	allowed func(recovery) bool
	// take sends another request. tried is false where there is none to send, or
	// where its refusal would say less than the one before it.
	take func(*attempt, context.Context) (g tokencache.Grant, tried bool, err error)
}

// steps are what may help, in the order in which they are taken.
var steps = []step{
	{func(r recovery) bool { return r.reread }, (*attempt).takeReread},
	{func(r recovery) bool { return r.waitAndRetry }, (*attempt).takeWait},
	{func(r recovery) bool { return r.nextOfKey }, (*attempt).takeNext},
	{func(r recovery) bool { return r.tryPrevious }, (*attempt).takePrevious},
}

func (t *attempt) run(ctx context.Context) (tokencache.Grant, error) {
	t.limit = sourceLimit(t.credentials[t.member], len(t.credentials) > 1 || t.state.rotation.lastAccepted(t.member) != nil)
	m, err := t.resolve(ctx, t.member, t.limit)
	if err != nil {
		// Half of a rotation, an unmounted volume: what worked goes on working.
		if m = t.state.rotation.lastAccepted(t.member); m == nil {
			return tokencache.Grant{}, unavailable(err)
		}
		t.record(Event{Kind: EventCredentialUnreadable, Err: t.attributed(unavailable(err))})
	}
	t.waitEnd = time.Now().Add(waitTotal)
	g, err := t.send(ctx, m)
	for _, s := range steps {
		for err != nil && s.allowed(recoveryFor(err)) {
			again, tried, refused := s.take(t, ctx)
			if !tried {
				break
			}
			g, err = again, refused
		}
	}
	return g, err
}

// send makes a token request with m, and notes how m fared.
func (t *attempt) send(ctx context.Context, m *material) (tokencache.Grant, error) {
	t.sent = m
	t.tried = append(t.tried, m.fingerprint)
	t.skew, _ = t.state.skew.now()
	var seq uint64
	t.previous, seq = t.state.rotation.beginSend(t.member, m)
	if t.state.chains.note(m) {
		t.record(Event{Kind: EventChainIncomplete, Err: errorf(ErrCertificateInvalid, "apponly: not sent with the certificate, as its chain does not lead there: %s", strings.Join(m.leftOut[:min(len(m.leftOut), 5)], "; "))})
	}
	g, ends, err := t.ask(ctx, m)
	if err != nil {
		return g, err
	}
	t.state.cooldowns.end(t.member, t.Tenant)
	changed := t.state.rotation.accept(t.member, m, seq)
	if changed {
		t.record(Event{Kind: EventCredentialChanged})
	}
	t.state.expiry.learn(ends, !m.reusable)
	if m.reusable && t.state.expiry.due(t.member, ends, changed) { // an assertion is renewed by its issuer
		t.record(Event{Kind: EventCredentialExpiring, ExpiresOn: ends})
	}
	return g, nil
}

// takeReread reads the material again, once: it may have been replaced a moment
// ago, or be made by a clock that has been corrected since.
func (t *attempt) takeReread(ctx context.Context) (g tokencache.Grant, tried bool, err error) {
	if t.reread {
		return g, false, nil
	}
	t.reread = true
	m, err := t.resolve(ctx, t.member, t.limit)
	if err != nil {
		return g, false, nil
	}
	skew, _ := t.state.skew.now()
	corrected := t.sent.timeDependent && (skew-t.skew).Abs() > tolerableSkew
	if m.fingerprint == t.sent.fingerprint && !corrected {
		t.sent = m // behind which there may be another of the same key now
		return g, false, nil
	}
	g, err = t.send(ctx, m)
	return g, true, err
}

// A federated credential that has worked and suddenly matches nothing is most
// likely Entra's replicas disagreeing.
const (
	waitTries = 3
	waitTotal = 10 * time.Second
)

// takeWait tries again a little later: for callers who wait, of a key that has
// worked, if there is no other credential, which would be quicker.
func (t *attempt) takeWait(ctx context.Context) (g tokencache.Grant, tried bool, err error) {
	pause := time.Second/2 + rand.N(2*time.Second)
	t.waits++
	if len(t.credentials) > 1 || !t.Worked || !t.Waiting || t.waits > waitTries || time.Now().Add(pause).After(t.waitEnd) {
		return g, false, nil
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return g, false, nil
	}
	m, err := t.resolve(ctx, t.member, t.limit)
	if err != nil {
		m = t.sent
	}
	g, err = t.send(ctx, m)
	return g, true, err
}

// takeNext tries the other certificates of the key: the one that was refused may
// not be registered yet, or not be any more. If all are refused, it is the first
// one that the error is about.
func (t *attempt) takeNext(ctx context.Context) (g tokencache.Grant, tried bool, err error) {
	first, previous := t.sent, t.previous
	for m := first.next; m != nil; m = m.next {
		if g, err = t.send(ctx, m); t.settles(err) {
			return g, true, err
		}
	}
	t.sent, t.previous = first, previous
	return g, false, nil
}

// settles reports whether what stands in for refused material has brought the answer:
// a token, or an error that is no fault of any material. An outage is none while there
// is another credential to try.
func (t *attempt) settles(err error) bool {
	r := recoveryFor(err)
	return err == nil || !r.failOver && (!r.retrySoon || len(t.credentials) == 1)
}

// takePrevious tries what the material has replaced: make before break. The new
// material counts once all of Entra knows it, so that a refusal of the old one
// tells nothing.
func (t *attempt) takePrevious(ctx context.Context) (g tokencache.Grant, tried bool, err error) {
	previous := t.previous
	t.previous = nil
	for _, m := range previous {
		if slices.Contains(t.tried, m.fingerprint) {
			continue
		}
		g, ends, err := t.ask(ctx, m)
		if err == nil {
			t.state.expiry.learn(ends, !m.reusable)
		}
		if t.settles(err) {
			return g, true, err
		}
	}
	return g, false, nil
}
