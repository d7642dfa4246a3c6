// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
	"unsafe"
)

// NewFake returns a client whose tokens come from fetch, for tests that need
// the cache in volume and not the wire.
func NewFake(tenantID string, cache *Cache, fetch func(ctx context.Context, tenantID, scope string) (token string, lifetime time.Duration, err error), opts *Options) *Client {
	cfg := &config{
		key:           spaceKey{clientID: "fake", credential: new(int)},
		cache:         cache,
		allowed:       []string{"*"},
		clientID:      "fake",
		source:        fakeSource(fetch),
		flightTimeout: entraFlightTimeout,
	}
	if opts != nil {
		cfg.onEvent, cfg.logger = opts.OnEvent, opts.Logger
	}
	cfg.root = &Client{cfg: cfg, tenant: tenantID}
	return cfg.root
}

type fakeSource func(ctx context.Context, tenantID, scope string) (string, time.Duration, error)

func (f fakeSource) stamp() string { return "" }
func (f fakeSource) fetch(ctx context.Context, req fetchRequest) (grant, error) {
	asked := now()
	token, lifetime, err := f(ctx, req.tenantID, req.scope)
	if err != nil {
		return grant{}, err
	}
	bearer := bearerPrefix + token
	return grant{bearer: func() string { return bearer }, received: asked, lifetime: lifetime}, nil
}

// EntrySize is the size of what a hit reads.
const EntrySize = unsafe.Sizeof(entry{})

// Instant and Packed open the two clocks, which no test can set.
type Instant = instant

// At returns an instant by its two clocks.
func At(wall, mono int64) Instant { return instant{wall, mono} }

// Reached reports whether at is reached by now, exactly and packed.
func Reached(at, now Instant) (exact, packed bool) { return at.reached(now), at.pack().reached(now) }

// TokenAt makes a token of a lifetime received at an instant and reports its
// state at another.
func TokenAt(received, now Instant, lifetime time.Duration) (refresh, usable bool) {
	t := grant{bearer: func() string { return "Bearer x" }, received: received, lifetime: lifetime}.schedule(spreadUsual, 0)
	return t.refresh.reached(now), !t.usable.reached(now)
}

// A TestTable is a table of strings for its own tests.
type TestTable struct {
	t table[string, testValue, *testValue]
}

type testValue struct{ key string }

func (v *testValue) matches(key string) bool { return v.key == key }

// Put adds key and returns how to remove it.
func (t *TestTable) Put(key string, hash uint64) (remove func()) {
	v := &testValue{key}
	t.t.put(hash, v)
	return func() { t.t.remove(hash, v) }
}

// Has reports whether key is there.
func (t *TestTable) Has(key string, hash uint64) bool { return t.t.get(hash, key) != nil }

// Len counts the live values twice, by bookkeeping and by looking.
func (t *TestTable) Len() (live, found int) {
	for range t.t.all {
		found++
	}
	return t.t.live, found
}

// Schedule is the refresh rule alone, for the simulation of a fleet: how long
// after a token of a lifetime came the cache looks for its successor, and how
// long it hands it out. first is for the first token of a key, recovered for the
// first after a failure.
func Schedule(lifetime time.Duration, first, recovered bool) (refresh, usable time.Duration) {
	s := spreadUsual
	switch {
	case first:
		s = spreadFirst
	case recovered:
		s = spreadRecovered
	}
	t := grant{lifetime: lifetime}.schedule(s, 0)
	return time.Duration(t.refresh.mono), time.Duration(t.usable.mono)
}

// Pause is the pace at which a cache asks an STS that is down, after the nth
// failure in a row: behind a token that is good, or without one.
func Pause(valid bool, n int) time.Duration {
	if valid {
		return backoff(behindFirst, behindLimit, n)
	}
	return backoff(unaskedFirst, unaskedLimit, n)
}

// Classify makes an error of an answer to a request that was sent with a secret.
func Classify(status int, header http.Header, body []byte) *Error {
	return classify(status, header, body, ErrSecretInvalid)
}

// AllKinds are the kinds an Error can have.
func AllKinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }
