// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// assertions are those that are used again, so that a KMS is not asked for each
// request.
type assertions struct {
	mu   sync.Mutex // guards made; not held while one is signed
	made fading[assertionKey, madeAssertion]
}

// An assertionKey is what an assertion is made out to, and by which certificate.
// The clock is not part of it.
type assertionKey struct {
	req         AssertionRequest
	fingerprint [32]byte
}

type madeAssertion struct {
	proof proof
	until clock.Instant // it is used again
	skew  time.Duration // that it was made with
}

func (m madeAssertion) over(now clock.Instant) bool { return m.until.Reached(now) }

// reusedFor is how long an assertion is used again, of the ten minutes it is good for.
const reusedFor = 5 * time.Minute

// reuseFor gives m a memory of its proofs.
func (a *assertions) reuseFor(m *material) {
	prove, key := m.prove, func(req AssertionRequest) assertionKey {
		req.skew, req.clockKnown = 0, false
		return assertionKey{req, m.fingerprint}
	}
	m.prove = func(ctx context.Context, req AssertionRequest) (proof, error) {
		if old, ok := a.find(key(req)); ok && (old.skew-req.skew).Abs() <= tolerableSkew {
			return old.proof, nil
		}
		until := clock.Now().Add(reusedFor)
		p, err := prove(ctx, req)
		if err == nil {
			a.keep(key(req), madeAssertion{p, until, req.skew})
		}
		return p, err
	}
	m.refused = func(req AssertionRequest) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.made.drop(key(req))
	}
}

func (a *assertions) find(key assertionKey) (old madeAssertion, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.made.get(key)
}

func (a *assertions) keep(key assertionKey, m madeAssertion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made.put(key, m)
}
