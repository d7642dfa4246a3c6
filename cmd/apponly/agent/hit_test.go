// SPDX-License-Identifier: MIT

package agent_test

import (
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// A hit may cost half as much again as a handler of net/http that writes as many bytes:
// all of the rules, the access log included. Both are measured in the same breath, with
// the client on the same cores.
func TestHitStaysNearNetHTTP(t *testing.T) {
	const limit = 1.5
	if raceEnabled {
		t.Skip("the race detector makes every memory access a call: times mean nothing")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	w := newWorld(t, func(c *agent.Config) { c.Logger = slog.New(slog.NewJSONHandler(null, nil)) })
	at, _ := w.run(t)
	_, body, err := w.get(http.DefaultClient, at.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })}
	go plain.Serve(l)
	t.Cleanup(func() { plain.Close() })
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer c.CloseIdleConnections()
	floor, ours := "http://"+l.Addr().String()+"/msi/token", at.Endpoint
	var x float64
	for range 8 { // a bad figure must repeat itself to count
		best := map[string]time.Duration{}
		for range 12 {
			for _, url := range []string{floor, ours} {
				per := w.timePerCall(t, c, url)
				if b, ok := best[url]; !ok || per < b {
					best[url] = per
				}
			}
		}
		x = float64(best[ours]) / float64(best[floor])
		if t.Logf("a hit takes %v, a handler %v: %.2f ×", best[ours], best[floor], x); x <= limit {
			return
		}
	}
	t.Errorf("a hit is %.2f × a handler of net/http, want at most %v", x, limit)
}

// timePerCall measures 800 calls of two clients.
func (w *world) timePerCall(t *testing.T, c *http.Client, url string) time.Duration {
	const each = 400
	start := time.Now()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				if status, _, err := w.get(c, url); err != nil || status != 200 {
					t.Errorf("%d %v", status, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start) / (2 * each)
}

var wholeRun = flag.Bool("whole", false, "have TestNothingGrows make 100,000 calls")

// A hundred clients call again and again, and nothing grows.
func TestNothingGrows(t *testing.T) {
	w := newWorld(t, func(c *agent.Config) { c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	at, _ := w.run(t)
	const clients = 100
	calls := 100 // 10,000 in all: what leaks 50 bytes with each of them is seen
	switch {
	case *wholeRun:
		calls = 1000
	case raceEnabled:
		calls = 50
	}
	transports := make([]*http.Transport, clients)
	for i := range transports {
		transports[i] = &http.Transport{}
		defer transports[i].CloseIdleConnections()
	}
	round := func(calls int) (heap uint64, goroutines int) {
		var wg sync.WaitGroup
		for _, tr := range transports {
			wg.Go(func() {
				c := &http.Client{Transport: tr}
				for range calls {
					if status, _, err := w.get(c, at.Endpoint); err != nil || status != 200 {
						t.Errorf("%d %v", status, err)
						return
					}
				}
			})
		}
		wg.Wait()
		runtime.GC()
		runtime.GC() // what has a finalizer goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	heap, goroutines := round(calls / 10) // connections and buffers are there
	heapAfter, goroutinesAfter := round(calls)
	t.Logf("heap %d KiB, then %d KiB; goroutines %d, then %d; %d token requests", heap>>10, heapAfter>>10, goroutines, goroutinesAfter, w.TokenRequests())
	if heapAfter > heap+heap/16+256<<10 || goroutinesAfter > goroutines+10 || w.TokenRequests() != 1 {
		t.Errorf("after %d calls there is more: see above", clients*calls)
	}
}

func BenchmarkHit(b *testing.B) {
	w := newWorld(b, func(c *agent.Config) { c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	b.ReportAllocs()
	h := w.agent.Handler()
	for b.Loop() {
		if a := ask(h, w.request()); a.status != 200 {
			b.Fatal(a.body)
		}
	}
}
