// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// maxDomains bounds what is remembered in one cache. Only domains that a program was
// configured with are looked up.
const maxDomains = 1000

// lookupTime bounds one lookup, all attempts included.
const lookupTime = 20 * time.Second

// domains remembers the tenant IDs behind domain names: a client may be configured
// with one, and an API name the other. It lives in the cache, because clients may be
// built per job. The zero domains is ready for use.
type domains struct {
	mu    sync.Mutex // guards known and what it points to; not held across a lookup
	known map[domainKey]*domain
}

type domainKey struct {
	cloud cloud.Cloud
	name  string
	http  *http.Client
}

// A domain is what is known of one.
type domain struct {
	id       string        // "" if it is not known
	done     chan struct{} // closed when the lookup under way has ended; nil: there is none
	err      error         // of the last lookup
	failures int
	tryAt    clock.Instant // none begins before it
	hung     flight.Guard
}

// domainStep is what has to be done to learn an ID.
type domainStep int

const (
	domainKnown domainStep = iota
	domainFailed
	domainWait
	domainLook
)

// next decides; a nil domain is one that nothing is known of.
func (d *domain) next(now clock.Instant) domainStep {
	switch {
	case d == nil:
		return domainLook
	case d.id != "":
		return domainKnown
	case d.done != nil:
		return domainWait
	case d.err != nil && !d.tryAt.Reached(now):
		return domainFailed
	}
	return domainLook
}

// id returns the ID of the tenant that has a domain, from memory or by look, which is
// called once at a time for each key, detached from ctx. It waits until that has
// returned or ctx has ended. A failure is remembered for seconds to minutes.
func (m *domains) id(ctx context.Context, key domainKey, look func(context.Context) (string, error)) (string, error) {
	m.mu.Lock()
	d := m.known[key]
	step := d.next(clock.Now())
	if step == domainLook {
		d = m.begin(ctx, key, d, look)
	}
	id, err, done := d.id, d.err, d.done
	m.mu.Unlock()
	if step == domainKnown || step == domainFailed {
		return id, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return d.id, d.err
}

// begin starts a lookup. The caller holds mu.
func (m *domains) begin(ctx context.Context, key domainKey, d *domain, look func(context.Context) (string, error)) *domain {
	if d == nil {
		if m.known == nil {
			m.known = map[domainKey]*domain{}
		}
		for old := range m.known { // any will do: it costs a lookup to have it again
			if len(m.known) < maxDomains {
				break
			}
			delete(m.known, old)
		}
		d = &domain{}
		m.known[key] = d
	}
	d.done = make(chan struct{})
	go func() {
		ctx, cancel := flight.Detach(ctx, lookupTime, flight.TimeoutError("the tenant ID was not found out in time"))
		defer cancel()
		id, err := flight.Run(ctx, &d.hung, "the HTTP client", look)
		if _, ok := errors.AsType[*Error](err); !ok && err != nil {
			err = unreachable(err).of(key.name, "", "")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		d.end(id, err)
	}()
	return d
}

// end notes what a lookup brought. The caller holds domains.mu.
func (d *domain) end(id string, err error) {
	d.id, d.err = id, err
	if err != nil {
		d.failures++
		longest := 5 * time.Minute
		if recoveryFor(err).retrySoon {
			longest = 15 * time.Second
		}
		d.tryAt = clock.Now().Add(flight.Backoff(2*time.Second, longest, d.failures))
	}
	close(d.done)
	d.done = nil
}
