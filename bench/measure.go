// SPDX-License-Identifier: MIT

package main

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A contender is one of several loops that are timed against each other: one
// loop for each goroutine.
type contender struct {
	name  string
	loops []loop
}

// A result is what a call of a contender costs.
type result struct {
	name   string
	ns     float64 // the least of all slices: what it costs when nothing disturbs
	median float64
	allocs float64
}

// compare times contenders in short slices, in turn, so that whatever disturbs
// the machine hits all of them alike; each for so long altogether.
func compare(slice, each time.Duration, contenders ...contender) ([]result, error) {
	calls := make([]int, len(contenders))
	times := make([][]float64, len(contenders))
	results := make([]result, len(contenders))
	for i, c := range contenders {
		// How many calls a slice has room for; doubling warms up as well. The
		// least of three, or one hiccup would leave a handful of calls, in
		// which starting goroutines is what is measured.
		for n := 1; calls[i] == 0; n *= 2 {
			d := time.Duration(math.MaxInt64)
			for range 3 {
				once, err := c.run(n)
				if err != nil {
					return nil, err
				}
				d = min(d, once)
			}
			if d > slice/2 {
				calls[i] = max(1, int(float64(n)*float64(slice)/float64(d)))
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := c.loops[0](calls[i]); err != nil {
			return nil, err
		}
		runtime.ReadMemStats(&after)
		results[i] = result{name: c.name, allocs: float64((after.Mallocs - before.Mallocs) / uint64(calls[i]))}
	}
	for round := range int(each / slice) {
		for k := range contenders {
			i := (k + round) % len(contenders) // nobody always comes after the same one
			// Once for nothing: the one before has filled the processor's caches
			// with what is its own.
			if _, err := contenders[i].run(calls[i]); err != nil {
				return nil, err
			}
			d, err := contenders[i].run(calls[i])
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], float64(d)/float64(calls[i]))
		}
	}
	for i := range results {
		slices.Sort(times[i])
		results[i].ns, results[i].median = times[i][0], times[i][len(times[i])/2]
	}
	return results, nil
}

// run makes n calls in each of the contender's goroutines and returns how long
// it took until the last of them was done.
func (c contender) run(n int) (time.Duration, error) {
	if len(c.loops) == 1 {
		begun := time.Now()
		err := c.loops[0](n)
		return time.Since(begun), err
	}
	var wg sync.WaitGroup
	var waiting atomic.Int32
	var begun atomic.Pointer[time.Time]
	waiting.Store(int32(len(c.loops)))
	errs := make([]error, len(c.loops))
	for i, loop := range c.loops {
		wg.Go(func() {
			// All begin at once, each on a core of its own, or they would take
			// turns and never meet. The last one sets the clock going.
			if waiting.Add(-1) == 0 {
				now := time.Now()
				begun.Store(&now)
			}
			for begun.Load() == nil {
			}
			errs[i] = loop(n)
		})
	}
	wg.Wait()
	d := time.Since(*begun.Load())
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return d, nil
}

// floor is the least that a cache can do which looks at the clock: one atomic
// load, one reading of the time, one comparison.
func floor(goroutines int) contender {
	var due atomic.Pointer[int64]
	at := time.Now().Add(24 * time.Hour).UnixNano()
	due.Store(&at)
	c := contender{name: "floor"}
	for range goroutines {
		c.loops = append(c.loops, func(n int) error {
			expired := 0
			for range n {
				if time.Now().UnixNano() >= *due.Load() {
					expired++
				}
			}
			if expired > 0 {
				panic("the benchmark has run for a day")
			}
			return nil
		})
	}
	return c
}

// inParallel calls f for 0 to n-1, several at a time.
func inParallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	var first atomic.Pointer[error]
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && first.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}
