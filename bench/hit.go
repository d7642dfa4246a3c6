// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/apponly/apponly"
)

// oneKey is the loop most programs run: one client, one scope.
func oneKey(goroutines int) (contender, error) {
	c, err := openOurs(&sts{})
	if err != nil {
		return contender{}, err
	}
	l := contender{name: ours.name}
	for range goroutines {
		l.loops = append(l.loops, hitting(c))
	}
	return l, l.loops[0](1)
}

// hitting asks c for the same token again and again.
func hitting(c *apponly.Client) loop {
	return func(n int) error {
		ctx := context.Background()
		for range n {
			if _, err := c.Token(ctx, scope); err != nil {
				return err
			}
		}
		return nil
	}
}

// hitOneKey is a hit with one key in the cache.
func hitOneKey(goroutines int) func(*run) ([]row, error) {
	return func(r *run) ([]row, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		our, err := oneKey(goroutines)
		if err != nil {
			return nil, err
		}
		contenders := []contender{floor(goroutines), our}
		for _, lib := range libraries[1:] {
			start, err := lib.open(&sts{}, 0).loop([]string{home})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lib.name, err)
			}
			contenders = append(contenders, contender{lib.name, spread(goroutines, 1, start)})
		}
		return r.hit(fmt.Sprintf("hit, 1 key, %s", plural(goroutines, "goroutine")), 2*time.Millisecond, contenders)
	}
}

// spread starts goroutines' loops at distant points of n elements.
func spread(goroutines, n int, start func(first int) loop) []loop {
	var loops []loop
	for g := range goroutines {
		loops = append(loops, start(g*n/goroutines))
	}
	return loops
}

// hitHeld is a hit with many tenants, for each of which the user keeps what the
// library gives him, in random order.
func hitHeld(goroutines int) func(*run) ([]row, error) {
	return func(r *run) ([]row, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		ids, _ := tenants(manyTenants)
		contenders := []contender{floor(goroutines)}
		for _, lib := range libraries {
			start, err := lib.open(&sts{}, 0).loop(ids)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lib.name, err)
			}
			contenders = append(contenders, contender{lib.name, spread(goroutines, manyTenants, start)})
		}
		name := fmt.Sprintf("hit, 10,000 tenants, one object kept for each, %s", plural(goroutines, "goroutine"))
		return r.hit(name, 5*time.Millisecond, contenders)
	}
}

// hitByID is a hit with many tenants and one client for all of them.
func hitByID(goroutines int) func(*run) ([]row, error) {
	return func(r *run) ([]row, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		inOrder, shuffled := tenants(manyTenants)
		contenders := []contender{floor(goroutines)}
		for _, lib := range libraries {
			by := lib.open(&sts{}, 0).by
			if by == nil {
				continue
			}
			if err := inParallel(len(inOrder), func(i int) error { return by(context.Background(), inOrder[i]) }); err != nil {
				return nil, fmt.Errorf("%s: %w", lib.name, err)
			}
			contenders = append(contenders, contender{lib.name, spread(goroutines, manyTenants, func(first int) loop {
				return cycle(shuffled, first, by)
			})})
		}
		name := fmt.Sprintf("hit, 10,000 tenants, one client, tenant ID in each call, %s", plural(goroutines, "goroutine"))
		return r.hit(name, 5*time.Millisecond, contenders)
	}
}

// hitMillion is a hit in a cache that no processor's cache can hold: what it
// costs is the latency of memory, a few loads deep.
func hitMillion(r *run) ([]row, error) {
	n := 1_000_000
	if r.short {
		n = 100_000
	}
	inOrder, shuffled := tenants(n)
	c, err := openOurs(&sts{tokenSize: 16}) // a hit does not read the token
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	err = inParallel(n, func(i int) error {
		v, err := c.Tenant(inOrder[i])
		if err != nil {
			return err
		}
		_, err = v.Token(context.Background(), scope)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.logf("filled %s keys in %s", thousands(n), time.Since(begun).Round(time.Second))
	held := make([]*apponly.Client, n)
	for i, id := range shuffled {
		if held[i], err = c.Tenant(id); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, kind := range []struct {
		name string
		loop loop
	}{
		{"one object kept for each", cycle(held, 0, func(ctx context.Context, c *apponly.Client) error {
			_, err := c.Token(ctx, scope)
			return err
		})},
		{"one client, tenant ID in each call", cycle(shuffled, 0, func(ctx context.Context, id string) error {
			v, err := c.Tenant(id)
			if err != nil {
				return err
			}
			_, err = v.Token(ctx, scope)
			return err
		})},
	} {
		more, err := r.hit(fmt.Sprintf("hit, %s tenants, %s, 1 goroutine", thousands(n), kind.name), 50*time.Millisecond,
			[]contender{floor(1), {ours.name, []loop{kind.loop}}})
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

const manyTenants = 10_000

// hit compares contenders, the first of which is the floor and the second ours,
// and makes a row of it.
func (r *run) hit(name string, slice time.Duration, contenders []contender) ([]row, error) {
	each := 1500 * time.Millisecond
	if r.short {
		each /= 6
	}
	results, err := compare(slice, max(each, 10*slice), contenders...)
	if err != nil {
		return nil, err
	}
	line := row{name: name, cells: map[string]string{}}
	least, our := results[0].ns, results[1].ns
	for i, res := range results {
		switch i {
		case 0:
			line.floor = nanoseconds(res.ns)
		case 1:
			line.cells[res.name] = fmt.Sprintf("**%s** (%.2f × floor), %s", nanoseconds(res.ns), res.ns/least, plural(int(res.allocs), "alloc"))
		default:
			line.cells[res.name] = fmt.Sprintf("%s (%s×), %s", nanoseconds(res.ns), ratio(res.ns/our), plural(int(res.allocs), "alloc"))
		}
		r.logf("  %-18s least %8.1f ns, median %8.1f ns", res.name, res.ns, res.median)
	}
	return []row{line}, nil
}

// tenants returns n tenant IDs, and the same ones shuffled. The bytes of the
// shuffled ones lie in memory in that order: an ID that was just read from a
// request is in the processor's cache, and what is measured is the library.
func tenants(n int) (inOrder, shuffled []string) {
	inOrder = make([]string, n)
	shuffled = make([]string, n)
	var b strings.Builder
	b.Grow(36 * n)
	for i, k := range rand.Perm(n) {
		inOrder[k] = fmt.Sprintf("%08x-0000-4000-8000-%012x", k*2654435761&0xffffffff, k)
		b.WriteString(inOrder[k])
		shuffled[i] = b.String()[36*i:]
	}
	return inOrder, shuffled
}
