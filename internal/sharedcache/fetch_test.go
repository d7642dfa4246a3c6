// SPDX-License-Identifier: MIT

package sharedcache

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

// fakeTerms share everything.
type fakeTerms struct{ ahead time.Duration }

var errRefused = errors.New("refused")

func (f fakeTerms) Ahead(any) time.Duration { return f.ahead }
func (fakeTerms) Grant(bearer string, received clock.Instant, lifetime, refreshIn time.Duration) (g tokencache.Grant) {
	if strings.HasPrefix(bearer, "Bearer ") {
		g = tokencache.Grant{Bearer: func() string { return bearer }, Received: received, Lifetime: lifetime, RefreshIn: refreshIn}
	}
	return g
}
func (fakeTerms) Refusal(err error) (Refusal, bool) { return Refusal{Kind: "known"}, true }
func (fakeTerms) Failure(r Refusal) (error, bool) {
	return errRefused, r.Kind == "known" && time.Until(r.RetryAt) <= time.Hour
}
func (fakeTerms) Note(note any, _ Notice, err error) any { return note }

// A shelf keeps one value for each name, for as long as it says.
type shelf struct {
	value map[string][]byte
	left  time.Duration
}

func (s *shelf) Get(_ context.Context, key string) ([]byte, time.Duration, error) {
	return s.value[key], s.left, nil
}
func (s *shelf) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	s.value[key] = value
	return nil
}
func (s *shelf) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if s.value[key] != nil {
		return false, nil
	}
	return true, s.Set(ctx, key, value, ttl)
}

const tenant, scope = "t", "s"

func clientOf(t testing.TB, ahead time.Duration) (*Client, *shelf, *key) {
	ring := ringOf(t, 1)
	s := &shelf{value: map[string][]byte{}}
	return &Client{Cache: &Cache{Store: s, Keys: func(context.Context) (Ring, error) { return ring, nil }}, Terms: fakeTerms{ahead}}, s, ring[0]
}

func grantOf(value string, received clock.Instant, lifetime time.Duration) tokencache.Grant {
	return fakeTerms{}.Grant("Bearer "+value, received, lifetime, 0)
}

// Clocks that are wrong by hours, ours or that of whoever stored the token, make no token
// last beyond its end, and those that are known to be wrong cost nothing.
func TestClocks(t *testing.T) {
	const lifetime, age = time.Hour, 20 * time.Minute
	for name, tc := range map[string]struct {
		writer, reader, ahead time.Duration // how far the clocks are off; what the reader knows
		left                  time.Duration
		want                  time.Duration // that the reader has, 0: it asks
	}{
		"right":                        {0, 0, 0, 40 * time.Minute, 40 * time.Minute},
		"right, left unknown":          {0, 0, 0, 0, 40 * time.Minute},
		"writer is ahead":              {2 * time.Hour, 0, 0, 40 * time.Minute, 40 * time.Minute},
		"writer is behind":             {-2 * time.Hour, 0, 0, 40 * time.Minute, 0},
		"reader is behind":             {0, -2 * time.Hour, 0, 40 * time.Minute, 40 * time.Minute},
		"reader is ahead":              {0, 2 * time.Hour, 0, 40 * time.Minute, 0},
		"reader is behind, and knows":  {0, -2 * time.Hour, 2 * time.Hour, 0, 40 * time.Minute},
		"reader is ahead, and knows":   {0, 2 * time.Hour, -2 * time.Hour, 0, 40 * time.Minute},
		"the store says it is forever": {0, 0, 0, math.MaxInt64, 40 * time.Minute},
		"the store has a moment left":  {0, 0, 0, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s, k := clientOf(t, tc.ahead)
				// This process's clock is the bubble's; the truth is that less its fault.
				truth := time.Now().Add(-tc.reader)
				at := truth.Add(-age).Add(tc.writer)
				n := k.name("token", tenant, scope)
				s.value[n], s.left = k.seal(n, record{kind: aToken, at: at, lifetime: lifetime, text: "Bearer x"}.encode()), tc.left
				g, _, err := c.Fetch(t.Context(), tokencache.Request{Tenant: tenant, Scope: scope}, func(context.Context) (tokencache.Grant, any, error) {
					return grantOf("asked", clock.Now(), lifetime), nil, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				left := g.Received.Add(g.Lifetime).Until(clock.Now())
				if asked := g.Bearer() == "Bearer asked"; asked != (tc.want == 0) || !asked && left != tc.want {
					t.Errorf("%s with %v left, want %v", g.Bearer(), left, tc.want)
				}
			})
		})
	}
}

// Whoever has a key can seal what nobody would: it is bounded all the same, and never an
// error of any other kind than those that are shared.
func TestPoison(t *testing.T) {
	now := time.Now()
	never := time.UnixMilli(math.MaxInt64)
	for name, tc := range map[string]struct {
		token, lease record
		refused      bool
		taken        bool
	}{
		"no life":             {token: record{kind: aToken, at: now, text: "Bearer x"}},
		"a life of years":     {token: record{kind: aToken, at: now, lifetime: maxLifetime + time.Hour, text: "Bearer x"}},
		"no token":            {token: record{kind: aToken, at: now, lifetime: time.Hour, text: "x\r\ny"}},
		"from the future":     {token: record{kind: aToken, at: never, lifetime: time.Hour, text: "Bearer x"}, taken: true}, // for an hour
		"from the past":       {token: record{kind: aToken, at: time.UnixMilli(math.MinInt64), lifetime: time.Hour, text: "Bearer x"}},
		"a lease as a token":  {token: record{kind: aLease, at: now, lifetime: time.Hour, text: "Bearer x"}},
		"a refusal for ever":  {lease: record{kind: aRefusal, at: never, text: "known"}, refused: true}, // for an hour
		"a refusal of a kind": {lease: record{kind: aRefusal, at: never, text: "other"}},
		"a refusal over":      {lease: record{kind: aRefusal, at: now.Add(-time.Second), text: "known"}},
		"refused with claims": {lease: record{kind: aRefusal, at: never, text: "known", claims: [16]byte{1}}},
		"a future lease":      {lease: record{kind: aLease, at: never}},
		"an old lease":        {lease: record{kind: aLease, at: now.Add(-time.Minute)}},
		"a token as a lease":  {lease: record{kind: aToken, at: now, lifetime: time.Hour, text: "Bearer x"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, s, k := clientOf(t, 0)
			for kind, r := range map[string]record{"token": tc.token, "lease": tc.lease} {
				if n := k.name(kind, tenant, scope); r.kind != 0 {
					s.value[n] = k.seal(n, r.encode())
				}
			}
			began := time.Now()
			asked := false
			g, _, err := c.Fetch(t.Context(), tokencache.Request{Tenant: tenant, Scope: scope}, func(context.Context) (tokencache.Grant, any, error) {
				asked = true
				return grantOf("asked", clock.Now(), time.Hour), nil, nil
			})
			if (err != nil) != tc.refused || asked == (tc.refused || tc.taken) || time.Since(began) > time.Second {
				t.Errorf("asked: %v, %v after %v", asked, err, time.Since(began))
			}
			if err == nil && g.Lifetime > time.Hour {
				t.Errorf("a token for %v", g.Lifetime)
			}
		})
	}
}

// MinValid is worth a request, and not one of each process.
func TestMinValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := clientOf(t, 0)
		asked := 0
		fetch := func(minValid time.Duration) tokencache.Grant {
			g, _, err := c.Fetch(t.Context(), tokencache.Request{Tenant: tenant, Scope: scope, MinValid: minValid}, func(context.Context) (tokencache.Grant, any, error) {
				asked++
				return grantOf("x", clock.Now(), time.Hour), nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		fetch(0)
		time.Sleep(30 * time.Minute)
		if g := fetch(20 * time.Minute); asked != 1 || !g.Shared || !g.Common {
			t.Errorf("%d requests for a token that lasts, %+v", asked, g)
		}
		if g := fetch(50 * time.Minute); asked != 2 || g.Shared || !g.Common {
			t.Errorf("%d requests for one that does not", asked)
		}
	})
}

// A store that is down is left alone for half a minute at most, and taken up again when it
// is back.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := clientOf(t, 0)
		f := &faultyShelf{shelf: s, err: errors.New("down")}
		c.Store = f
		fetch := func() {
			began := time.Now()
			if _, _, err := c.Fetch(t.Context(), tokencache.Request{Tenant: tenant, Scope: scope}, func(context.Context) (tokencache.Grant, any, error) {
				return grantOf("x", clock.Now(), time.Hour), nil, nil
			}); err != nil || time.Since(began) > 0 {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
		}
		for range 6000 {
			fetch()
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.ops; n < 20 || n > 50 {
			t.Errorf("%d operations in ten minutes", n)
		}
		if s := c.Stats(); s.Hits+s.Misses != 0 || !s.Unavailable {
			t.Errorf("while it was down: %+v", s)
		}
		f.err = nil
		for range 301 {
			fetch()
			time.Sleep(100 * time.Millisecond)
		}
		if s := c.Stats(); s.Hits == 0 || s.Misses == 0 || s.Failures != uint64(f.failed) || s.Unavailable {
			t.Errorf("half a minute after it was back, and %d failures: %+v", f.failed, s)
		}
	})
}

type faultyShelf struct {
	*shelf
	err         error
	ops, failed int
}

func (s *faultyShelf) Get(ctx context.Context, key string) ([]byte, time.Duration, error) {
	if s.ops++; s.err != nil {
		s.failed++
		return nil, 0, s.err
	}
	return s.shelf.Get(ctx, key)
}
