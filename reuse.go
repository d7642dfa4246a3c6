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
	mu   sync.Mutex // guards what follows; not held while one is signed
	made map[assertionKey]madeAssertion
	// sweepAt is how many there are when those that ended are looked for: as all
	// are gone through, that is worth it only when as many have been added.
	sweepAt int
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

const (
	// reusedFor is how long an assertion is used again, of the ten minutes it is
	// good for.
	reusedFor = 5 * time.Minute
	// maxReused bounds the assertions that are kept.
	maxReused = 10_000
	// minSweep is how many are not worth a sweep.
	minSweep = 64
)

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
		delete(a.made, key(req))
	}
}

func (a *assertions) find(key assertionKey) (old madeAssertion, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok = a.made[key]
	return old, ok && !old.until.Reached(clock.Now())
}

func (a *assertions) keep(key assertionKey, m madeAssertion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made == nil {
		a.made, a.sweepAt = map[assertionKey]madeAssertion{}, minSweep
	}
	if len(a.made) >= a.sweepAt {
		a.sweep()
	}
	a.made[key] = m
}

// sweep drops those that ended, or any if none has: there is no timer that would.
func (a *assertions) sweep() {
	now := clock.Now()
	for key, old := range a.made {
		if old.until.Reached(now) {
			delete(a.made, key)
		}
	}
	for key := range a.made {
		if len(a.made) < maxReused {
			break
		}
		delete(a.made, key)
	}
	a.sweepAt = min(max(2*len(a.made), minSweep), maxReused)
}
