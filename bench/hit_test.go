// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// A hit with one key must cost hardly more than looking at the clock: the one
// figure that can be demanded of any machine, because the floor is measured in
// the same breath and neither depends on what else uses the processor's caches.
func TestHitStaysNearTheFloor(t *testing.T) {
	const limit = 1.5
	if raceEnabled {
		t.Skip("the race detector makes every memory access a call: times mean nothing")
	}
	for _, goroutines := range []int{1, 2} {
		t.Run(plural(goroutines, "goroutine"), func(t *testing.T) {
			if runtime.NumCPU() < goroutines {
				t.Skipf("%d cores", runtime.NumCPU())
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
			// The least of many slices is still wrong when the machine has had
			// no quiet moment. So a bad figure must repeat itself to count.
			var x float64
			for try := range 8 {
				x = aboveFloor(t, goroutines)
				if t.Logf("a hit is %.2f × the floor", x); x <= limit {
					return
				}
				time.Sleep(time.Duration(try) * 100 * time.Millisecond)
			}
			t.Errorf("a hit is %.2f × the floor, want at most %v", x, limit)
		})
	}
}

// aboveFloor measures a hit with one key against the floor.
func aboveFloor(tb testing.TB, goroutines int) float64 {
	tb.Helper()
	our, err := oneKey(goroutines)
	if err != nil {
		tb.Fatal(err)
	}
	results, err := compare(200*time.Microsecond, 60*time.Millisecond, floor(goroutines), our)
	if err != nil {
		tb.Fatal(err)
	}
	if results[1].allocs != 0 {
		tb.Errorf("a hit allocates %v times", results[1].allocs)
	}
	return results[1].ns / results[0].ns
}

func BenchmarkHit(b *testing.B) {
	for _, goroutines := range []int{1, 2} {
		b.Run(plural(goroutines, "goroutine"), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
			our, err := oneKey(goroutines)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := our.run(b.N); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(aboveFloor(b, goroutines), "x-floor")
		})
	}
}

// BenchmarkTenants is a hit among many tenants, in random order. It moves with
// the processor's caches and whoever shares them, so nothing is demanded of it.
func BenchmarkTenants(b *testing.B) {
	for _, n := range []int{1, 100, manyTenants} {
		_, shuffled := tenants(n)
		inst := ours.open(&sts{}, 0)
		held, err := inst.loop(shuffled)
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range []struct {
			name string
			run  loop
		}{{"held", held(0)}, {"id", cycle(shuffled, 0, inst.by)}} {
			run := kind.run
			b.Run(fmt.Sprintf("%d/%s", n, kind.name), func(b *testing.B) {
				if err := run(n); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				if err := run(b.N); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				results, err := compare(2*time.Millisecond, 50*time.Millisecond, floor(1), contender{kind.name, []loop{run}})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(results[1].ns/results[0].ns, "x-floor")
			})
		}
	}
}

// Whoever reads the table trusts that a library's hits are hits and that each
// case does to it what it says.
func TestLibrariesCache(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) {
			s := &sts{}
			inst := lib.open(s, 0)
			ids, _ := tenants(3)
			start, err := inst.loop(ids)
			if err != nil {
				t.Fatal(err)
			}
			if n := s.requests.Load(); n != 3 {
				t.Errorf("%d requests for 3 tenants", n)
			}
			if err := start(0)(300); err != nil {
				t.Error(err)
			}
			if n := s.requests.Load(); n != 3 {
				t.Errorf("%d requests after 300 hits", n)
			}
			if inst.by == nil {
				return
			}
			s.requests.Store(0)
			inst = lib.open(s, 0)
			for range 3 {
				for _, id := range ids {
					if err := inst.by(t.Context(), id); err != nil {
						t.Error(err)
					}
				}
			}
			if n := s.requests.Load(); n != 3 {
				t.Errorf("%d requests for 3 tenants by ID", n)
			}
		})
	}
}
