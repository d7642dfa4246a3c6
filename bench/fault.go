// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// herd is a thousand goroutines that need a token at once.
func herd(r *run) ([]row, error) {
	const goroutines, keys = 1000, 20
	requests := newRow("cold herd: 1,000 goroutines, 20 tenants, STS takes 50 ms: token requests")
	last := newRow("… and until the last one has its token")
	ids, _ := tenants(keys)
	times := map[string]time.Duration{}
	for _, lib := range libraries {
		s := &sts{delay: func(string) time.Duration { return 50 * time.Millisecond }}
		inst := lib.open(s, 0)
		gets := make([]get, keys)
		for i, id := range ids {
			if gets[i] = func(ctx context.Context) error { return inst.by(ctx, id) }; inst.by == nil {
				var err error
				if gets[i], err = inst.hold(id); err != nil {
					return nil, err
				}
			}
		}
		var wg sync.WaitGroup
		var failed atomic.Int64
		start := make(chan struct{})
		for i := range goroutines {
			wg.Go(func() {
				<-start
				if gets[i%keys](context.Background()) != nil {
					failed.Add(1)
				}
			})
		}
		time.Sleep(20 * time.Millisecond) // until all of them wait
		begun := time.Now()
		close(start)
		wg.Wait()
		times[lib.name] = time.Since(begun)
		if n := failed.Load(); n > 0 {
			return nil, fmt.Errorf("%s: %d of the herd failed", lib.name, n)
		}
		requests.cells[lib.name] = thousands(int(s.requests.Load()))
	}
	last.durations(times)
	return []row{requests, last}, nil
}

// slowTenant is how long calls for other tenants take while Entra does not
// answer for one.
func slowTenant(r *run) ([]row, error) {
	hang := 2 * time.Second
	if r.short {
		hang /= 4
	}
	cached := newRow(fmt.Sprintf("one tenant hangs for %g s: worst call for another, token cached", hang.Seconds()))
	fresh := newRow("… and for another without a token yet, STS answers at once")
	hits, misses := map[string]time.Duration{}, map[string]time.Duration{}
	ids, _ := tenants(3)
	slow, fast, other := ids[0], ids[1], ids[2]
	for _, lib := range libraries {
		s := &sts{delay: func(tenant string) time.Duration {
			if tenant == slow {
				return hang
			}
			return 0
		}}
		by := lib.open(s, 0).by
		if by == nil {
			continue
		}
		ctx := context.Background()
		if err := by(ctx, fast); err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		var errSlow, errFast, errOther error
		wg.Go(func() { errSlow = by(ctx, slow) })
		time.Sleep(50 * time.Millisecond)
		wg.Go(func() {
			begun := time.Now()
			errOther = by(ctx, other)
			misses[lib.name] = time.Since(begun)
		})
		var worst time.Duration
		for end := time.Now().Add(hang / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
			begun := time.Now()
			if errFast = by(ctx, fast); errFast != nil {
				break
			}
			worst = max(worst, time.Since(begun))
		}
		hits[lib.name] = worst
		wg.Wait()
		for _, err := range []error{errSlow, errFast, errOther} {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lib.name, err)
			}
		}
	}
	cached.durations(hits)
	fresh.durations(misses)
	return []row{cached, fresh}, nil
}

// outage is an STS that answers 500 while the token in the cache is good and
// its refresh is due.
func outage(r *run) ([]row, error) {
	const callers, pause, due = 10, 100 * time.Millisecond, 2 * time.Second
	length, patience := 5*time.Second, 10*time.Second
	if r.short {
		length, patience = time.Second, 2*time.Second
	}
	each := int(length / pause)
	calls := newRow(fmt.Sprintf("outage, token still valid: %d callers, 10 calls a second each, for %g s, STS answers 500: failed calls", callers, length.Seconds()))
	asked := newRow("… token requests")
	slowest := newRow("… worst call")
	worst := map[string]time.Duration{}
	for _, lib := range libraries {
		s := &sts{refreshIn: due}
		if lib.ownMargin {
			s.expiresIn = 10*time.Second + due
		}
		token, err := lib.open(s, time.Hour-due).hold(home)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		if err := token(ctx); err != nil {
			cancel()
			return nil, fmt.Errorf("%s: %w", lib.name, err)
		}
		time.Sleep(due + 100*time.Millisecond)
		s.fault.Store(http.StatusInternalServerError)
		s.requests.Store(0)

		var mu sync.Mutex
		var answered, failed int
		var top time.Duration
		begun := time.Now()
		done := make(chan struct{})
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * pause / callers)
				for range each {
					if time.Since(begun) > length {
						return
					}
					start := time.Now()
					err := token(ctx)
					d := time.Since(start)
					mu.Lock()
					answered, top = answered+1, max(top, d)
					if err != nil {
						failed++
					}
					mu.Unlock()
					time.Sleep(pause - d)
				}
			})
		}
		go func() { wg.Wait(); close(done) }()
		prefix := ""
		select {
		case <-done:
		case <-time.After(length + patience): // nobody has all day
			mu.Lock()
			top = max(top, time.Since(begun)-pause)
			mu.Unlock()
			prefix = "≥ "
		}
		mu.Lock()
		cell := fmt.Sprintf("%d of %d", failed, answered)
		if prefix != "" {
			cell += fmt.Sprintf(", the other %d stuck", callers*each-answered)
		}
		calls.cells[lib.name] = cell
		asked.cells[lib.name] = thousands(int(s.requests.Load()))
		worst[lib.name] = top
		mu.Unlock()
		slowest.prefix[lib.name] = prefix
		s.fault.Store(0)
		cancel()
		<-done // or who is stuck disturbs the next one
	}
	slowest.durations(worst)
	return []row{calls, asked, slowest}, nil
}

// refusal is a secret that Entra refuses, again and again.
func refusal(r *run) ([]row, error) {
	line := newRow("permanent refusal: 100 calls at once, then 100 in turn: token requests")
	for _, lib := range libraries {
		s := &sts{}
		s.fault.Store(http.StatusUnauthorized)
		token, err := lib.open(s, 0).hold(home)
		if err != nil {
			return nil, err
		}
		var answered atomic.Int64
		call := func() {
			if token(context.Background()) == nil {
				answered.Add(1)
			}
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(call)
		}
		wg.Wait()
		for range 100 {
			call()
		}
		if answered.Load() > 0 {
			return nil, fmt.Errorf("%s: a token for a wrong secret", lib.name)
		}
		line.cells[lib.name] = thousands(int(s.requests.Load()))
	}
	return []row{line}, nil
}

// deadline is a caller who has little time while another one waits for Entra.
func deadline(r *run) ([]row, error) {
	line := newRow("waiter with a 50 ms deadline, STS takes 2 s: returns after")
	times := map[string]time.Duration{}
	for _, lib := range libraries {
		token, err := lib.open(&sts{delay: func(string) time.Duration { return 2 * time.Second }}, 0).hold(home)
		if err != nil {
			return nil, err
		}
		leader := make(chan error, 1)
		go func() { leader <- token(context.Background()) }()
		time.Sleep(50 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		begun := time.Now()
		_ = token(ctx) // right either way: an error in time or a token too late
		times[lib.name] = time.Since(begun)
		cancel()
		if err := <-leader; err != nil {
			return nil, fmt.Errorf("%s: the leader: %w", lib.name, err)
		}
	}
	line.durations(times)
	return []row{line}, nil
}
