// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

var updateShared = flag.Bool("update-shared", false, "draw docs/fleet-shared.svg anew")

// simulateShared is simulate for instances with a shared store: whoever's time comes
// first asks, and its token is everybody's, with a new time drawn by each; whoever is
// refused tells the others for how long. The rules are those of the code.
func simulateShared(lifetime func() time.Duration, down outage) []int {
	bins := make([]int, fleetBins)
	failures := 0
	for now := time.Duration(0); now < fleetDay; {
		bins[now/fleetBin]++
		if down.at(now) {
			failures++
			now += tokencache.Pause(true, failures)
			continue
		}
		l, next := lifetime(), fleetDay
		for range fleetSize {
			refresh, _ := tokencache.Schedule(l, false, failures > 0)
			next = min(next, refresh)
		}
		now, failures = now+next, 0
	}
	return bins
}

func sum(bins []int) (n int) {
	for _, b := range bins {
		n += b
	}
	return n
}

// A fleet with a store asks as often as one instance that refreshes early.
func TestFleetShared(t *testing.T) {
	alone := sum(simulate(ourRule, entraLifetime, outage{}))
	for _, tc := range []struct {
		name     string
		lifetime func() time.Duration
		down     outage
		most     int
	}{
		{"lifetimes of 60 to 90 min", entraLifetime, outage{}, 45},
		{"fixed 60 min", fixedLifetime, outage{}, 55},
		// The pauses are at most a minute.
		{"down for 30 min", entraLifetime, noonOutage, 45 + 60},
	} {
		n := sum(simulateShared(tc.lifetime, tc.down))
		t.Logf("%s: %d requests a day of %d instances; without a store %d", tc.name, n, fleetSize, alone)
		if n > tc.most {
			t.Errorf("%s: %d requests, want at most %d", tc.name, n, tc.most)
		}
	}
	if *updateShared {
		drawShared(t)
	}
}

// drawShared writes docs/fleet-shared.svg: requests per 5 minutes with and without a
// store, on a logarithmic axis.
func drawShared(t *testing.T) {
	t.Helper()
	const (
		left, step, top, height = 72, 3, 84, 200
		width                   = fleetBins * step
		decades                 = 5 // from 1 to 100,000
		y0                      = top + height
	)
	y := func(n int) int {
		if n == 0 {
			return y0
		}
		return y0 - 12 - int(math.Log10(float64(n))*(height-12)/decades)
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif" font-size="13" role="img" aria-labelledby="t">`, left+width+22, y0+46)
	p(`<title id="t">Token requests of 10,000 instances over 24 hours, with a shared store and without</title>`)
	p(`<style>.g{fill:#fff}.t{fill:#1f2328}.s{fill:#59636e}.l{stroke:#d1d9e0}.a{stroke:#0969da}.b{stroke:#d4690b}.x{fill:#59636e22}path{fill:none}` +
		`@media(prefers-color-scheme:dark){.g{fill:#0d1117}.t{fill:#e6edf3}.s{fill:#9198a1}.l{stroke:#30363d}.a{stroke:#58a6ff}.b{stroke:#f0883e}.x{fill:#9198a133}}</style>`)
	p(`<rect class="g" width="%d" height="%d" rx="8"/>`, left+width+22, y0+46)
	p(`<text class="t" x="%d" y="30" font-size="17" font-weight="600">Token requests per 5 minutes: 10,000 instances, STS down from 12:00 to 12:30</text>`, left)
	for i := range decades + 1 {
		n := int(math.Pow10(i))
		p(`<path class="l" d="M%d %dh%d"/><text class="s" x="%d" y="%d" text-anchor="end">%s</text>`, left, y(n), width, left-8, y(n)+4, thousands(n))
	}
	for h := 0; h <= 24; h += 3 {
		p(`<text class="s" x="%d" y="%d" text-anchor="middle">%d h</text>`, left+h*width/24, y0+18, h)
	}
	p(`<rect class="x" x="%d" y="%d" width="%d" height="%d"/>`, left+int(noonOutage.from/fleetBin)*step, top, int((noonOutage.to-noonOutage.from)/fleetBin)*step, height)
	alone, shared := simulate(ourRule, entraLifetime, noonOutage), simulateShared(entraLifetime, noonOutage)
	for i, curve := range []struct {
		class, name string
		bins        []int
	}{{"b", "each for itself", alone}, {"a", "with a shared store", shared}} {
		x := left + i*330
		p(`<path class="%s" stroke-width="3" d="M%d 55h24"/><text class="t" x="%d" y="59">%s: %s in all</text>`, curve.class, x, x+32, curve.name, thousands(sum(curve.bins)))
		for j, n := range curve.bins {
			if n > 0 {
				p(`<path class="%s" stroke-width="%d" d="M%d %dV%d"/>`, curve.class, step-1, left+j*step+1, y(n)+3, y(n)-1)
			}
		}
	}
	p(`</svg>`)
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "fleet-shared.svg"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
