// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
)

// leaving is a context that ends as soon as somebody waits for it.
type leaving struct {
	context.Context
	done chan struct{}
}

func (c leaving) Done() <-chan struct{} { return c.done }
func (c leaving) Err() error            { return nil }

func hanging(release chan struct{}) *fake {
	return &fake{fetch: func(context.Context, tokencache.Request) (tokencache.Grant, error) {
		<-release
		return granted("a", time.Hour), nil
	}}
}

// Whoever leaves leaves nothing behind: callers with short deadlines once grew the
// heap by 159 bytes each while a flight hung.
func TestLeaversLeaveNothing(t *testing.T) {
	token := granted("a", 24*time.Hour)
	for name, tc := range map[string]struct {
		ask  func(*tokencache.Token) tokencache.Ask
		warm bool
	}{
		"of a first request": {func(*tokencache.Token) tokencache.Ask { return tokencache.Ask{Scope: "s"} }, false},
		"of a refusal":       {func(t *tokencache.Token) tokencache.Ask { return tokencache.Ask{Scope: "s", Rejected: t} }, true},
		"of a challenge":     {func(t *tokencache.Token) tokencache.Ask { return tokencache.Ask{Scope: "s", Claims: "{}", Rejected: t} }, true},
		"of a longer token":  {func(*tokencache.Token) tokencache.Ask { return tokencache.Ask{Scope: "s", MinValid: 100 * time.Hour} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var first sync.Once
			f := hanging(release)
			hang := f.fetch
			f.fetch = func(ctx context.Context, req tokencache.Request) (g tokencache.Grant, err error) {
				if tc.warm {
					first.Do(func() { g = token })
				}
				if g.Bearer == nil {
					return hang(ctx, req)
				}
				return g, nil
			}
			v := &tokencache.View{Identity: f.identity(new(tokencache.Cache)), Tenant: "t"}
			var cached *tokencache.Token
			if tc.warm {
				var err error
				if cached, err = v.Get(t.Context(), tokencache.Ask{Scope: "s"}); err != nil {
					t.Fatal(err)
				}
			}
			ctx := leaving{t.Context(), make(chan struct{})}
			close(ctx.done)
			heap := func() int64 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			ask := tc.ask(cached)
			leave := func() {
				if _, err := v.Get(ctx, ask); !errors.Is(err, tokencache.ErrWaiting) && ask.MinValid == 0 {
					t.Fatal(err)
				}
			}
			leave()
			const callers = 200_000
			before := heap()
			for range callers {
				leave()
			}
			if each := float64(heap()-before) / callers; each > 2 {
				t.Errorf("%.1f bytes are left of each caller", each)
			}
			close(release)
			runtime.KeepAlive(v)
		})
	}
}

// Flights beyond the limit make an insertion no dearer, and when they have ended
// the limit holds.
func TestMoreFlightsThanEntries(t *testing.T) {
	const limit, flights, part = 100, 40_000, 4_000
	release := make(chan struct{})
	c := &tokencache.Cache{Max: limit}
	id := hanging(release).identity(c)
	ctx := leaving{t.Context(), make(chan struct{})}
	close(ctx.done)
	insert := func(from int) time.Duration {
		began := time.Now()
		for i := from; i < from+part; i++ {
			(&tokencache.View{Identity: id, Tenant: tenant(i)}).Get(ctx, tokencache.Ask{Scope: "s"})
		}
		return time.Since(began)
	}
	var took []time.Duration
	for from := 0; from < flights; from += part {
		took = append(took, insert(from))
	}
	if n := c.Stats().Entries; n != flights {
		t.Errorf("%d entries, want %d in flight", n, flights)
	}
	if first, last := took[0]+took[1], took[len(took)-1]+took[len(took)-2]; last > 4*first {
		t.Errorf("%d insertions took %v at first, %v among %d flights", 2*part, first, last, flights)
	}
	close(release)
	for deadline := time.Now().Add(time.Minute); c.Stats().Entries > limit && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := c.Stats().Entries; n != limit {
		t.Errorf("%d entries when all flights have ended, want %d", n, limit)
	}
}

// What is known of credentials outlives their entries by a day, as many of them as
// there may be entries.
func TestNamespacesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 50
		c := &tokencache.Cache{Max: limit}
		f := &fake{fetch: func(context.Context, tokencache.Request) (tokencache.Grant, error) {
			return granted("a", time.Minute), nil
		}}
		var ids []*tokencache.Identity
		use := func(id *tokencache.Identity) {
			if _, err := (&tokencache.View{Identity: id, Tenant: "t"}).Get(t.Context(), tokencache.Ask{Scope: "s"}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 * limit {
			ids = append(ids, f.identity(c))
			use(ids[i])
		}
		if held, quiet := c.Namespaces(); held != limit || quiet != limit {
			t.Errorf("%d namespaces with entries and %d without, want %d each", held, quiet, limit)
		}
		if n := c.Stats().Identities; n != limit {
			t.Errorf("%d identities, want the %d with entries", n, limit)
		}

		// One that comes back has its state.
		last := ids[len(ids)-limit-1]
		before := c.State(last)
		if use(last); before == nil || c.State(last) != before {
			t.Error("the state of an identity that came back is another")
		}
		time.Sleep(25 * time.Hour)
		for range limit { // with which the expired entries leave
			use(f.identity(c))
		}
		time.Sleep(25 * time.Hour)
		for range limit {
			use(f.identity(c))
		}
		if held, quiet := c.Namespaces(); held+quiet > 2*limit {
			t.Errorf("%d namespaces with entries and %d without", held, quiet)
		}
		time.Sleep(25 * time.Hour)
		use(f.identity(c)) // and two expired ones have left with it
		if _, quiet := c.Namespaces(); quiet > 2 {
			t.Errorf("%d namespaces without entries, a day later", quiet)
		}
	})
}

// A refresh whose clock stands still, because thousands are ahead of it, is no reason to
// look closer at each call: once a second will do.
func TestHitsBesideALongRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		f := &fake{fetch: func(ctx context.Context, _ tokencache.Request) (tokencache.Grant, error) {
			if !first {
				defer flight.Pause(ctx)()
				time.Sleep(4 * time.Minute)
			}
			first = false
			return granted("a", time.Hour), nil
		}}
		v := &tokencache.View{Identity: f.identity(new(tokencache.Cache)), Tenant: "t"}
		look := func() {
			if _, err := v.Get(t.Context(), tokencache.Ask{Scope: "s"}); err != nil {
				t.Fatal(err)
			}
		}
		look()
		time.Sleep(50 * time.Minute) // now it is stale
		closer := 0
		for range 2400 {
			if v.Hit("s") == nil {
				closer++
				look()
			}
			time.Sleep(time.Second / 10)
		}
		if closer < 2 || closer > 2*240 { // the second of either clock
			t.Errorf("%d closer looks in four minutes", closer)
		}
	})
}
