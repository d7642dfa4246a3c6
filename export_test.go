// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

// NewFake returns a client whose tokens come from fetch, for tests that need
// the cache in volume and not the wire.
func NewFake(tenantID string, cache *Cache, fetch func(ctx context.Context, tenantID, scope string) (token string, lifetime time.Duration, err error), opts *Options) *Client {
	opts = opts.orDefault()
	return newClient(&shared{
		source: fakeSource(fetch),
		identity: tokencache.Identity{
			Cache: &cache.tokens, Key: identityKey{clientID: "fake", credential: unique()}, Timeout: entraTimeout,
			NewState: func() any { return nil },
		},
		clientID:  "fake",
		observers: opts.observers(),
		allowed:   []string{"*"},
	}, tenantID)
}

type fakeSource func(ctx context.Context, tenantID, scope string) (string, time.Duration, error)

func (f fakeSource) Stamp() string { return "" }
func (f fakeSource) Fetch(ctx context.Context, req tokencache.Request) (g tokencache.Grant, note any, err error) {
	asked := clock.Now()
	token, lifetime, err := f(ctx, req.Tenant, req.Scope)
	if err != nil {
		return g, nil, err
	}
	return newGrant(token, asked, lifetime, 0), nil, nil
}

// Classify makes an error of an answer to a request that was sent with a secret.
func Classify(status int, header http.Header, body []byte) *Error {
	return classify(status, header, body, ErrSecretInvalid)
}

// AllKinds are the kinds an Error can have.
func AllKinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// FleetKinds are the kinds that the shared cache lets other processes know.
func FleetKinds() []Kind {
	return slices.DeleteFunc(AllKinds(), func(k Kind) bool { return !kinds[k].recovery.fleet })
}

// OverAfter reports whether a cooldown is over, and previous material has stood in for
// long enough, when so much time has passed by the wall and the monotonic clock.
func OverAfter(wall, mono time.Duration) (cooledDown, stoodIn bool) {
	now := clock.Now()
	then := clock.Instant{Wall: now.Wall - int64(wall), Mono: now.Mono - int64(mono)}
	stood := standIn{until: then.Add(previousFor)}
	return cooldown{since: then}.over(now), stood.over(now)
}

// Remember returns how long it takes to remember that a credential is set aside in n
// tenants, and to keep assertions for them.
func Remember(n int) (setAside, kept time.Duration) {
	cooldowns, made := newCredentialState(1), assertions{}
	began := time.Now()
	for i := range n {
		cooldowns.cooldowns.begin(0, strconv.Itoa(i), nil)
	}
	setAside = time.Since(began)
	began = time.Now()
	for i := range n {
		made.keep(assertionKey{req: AssertionRequest{TenantID: strconv.Itoa(i)}}, madeAssertion{until: clock.Now().Add(time.Hour)})
	}
	return setAside, time.Since(began)
}

// NewLook returns a function that looks at a file as all do who share a reader of it.
func NewLook() func(ctx context.Context, do func(context.Context) (int, error)) (int, error) {
	l := newLooks()
	return func(ctx context.Context, do func(context.Context) (int, error)) (int, error) {
		return look(ctx, l, "reading it", do)
	}
}
