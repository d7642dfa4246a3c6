// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

var updateFleet = flag.Bool("update-fleet", false, "draw docs/fleet.svg anew")

const (
	fleetSize  = 10_000
	fleetDay   = 24 * time.Hour
	fleetStart = time.Minute // within which all instances start
	fleetBin   = 5 * time.Minute
	fleetBins  = int(fleetDay / fleetBin)
)

// An outage is when the STS answers every request with an error.
type outage struct{ from, to time.Duration }

var noonOutage = outage{12 * time.Hour, 12*time.Hour + 30*time.Minute}

func (o outage) at(t time.Duration) bool { return o.from <= t && t < o.to }

// A fleetRule says when an instance asks the STS.
type fleetRule struct {
	name string
	// refresh returns when after its arrival a token is refreshed and when it
	// is no longer handed out. first is for the first token of an instance,
	// recovered for the first after a failure.
	refresh func(lifetime time.Duration, first, recovered bool) (refresh, usable time.Duration)
	// pause returns the wait after the nth failure in a row.
	pause func(valid bool, n int) time.Duration
}

var (
	// The rule itself, not a model of it. Instances are busy: what is due is
	// done at once, as the next caller would have it done.
	ourRule = fleetRule{"apponly", tokencache.Schedule, tokencache.Pause}

	// What azidentity's users get: five minutes before the end, and after a
	// failure not before 30 s (azcore's policy; its retries within a try, and
	// that every caller asks once the token has ended, are left out, which
	// flatters it).
	azureRule = fleetRule{
		"5 minutes before expiry, as the Azure SDK",
		func(lifetime time.Duration, _, _ bool) (refresh, usable time.Duration) {
			return lifetime - 5*time.Minute, lifetime
		},
		func(bool, int) time.Duration { return 30 * time.Second },
	}
)

// Entra's tokens last from 60 to 90 minutes, at random; with a token lifetime
// policy all alike.
func entraLifetime() time.Duration { return time.Hour + rand.N(30*time.Minute+1) }
func fixedLifetime() time.Duration { return time.Hour }

// simulate returns the requests at the STS in each bin of a day. An instance
// knows nothing of the others, so one after the other lives its day.
func simulate(rule fleetRule, lifetime func() time.Duration, down outage) []int {
	bins := make([]int, fleetBins)
	for range fleetSize {
		now, usable := rand.N(fleetStart), time.Duration(0)
		first, failures := true, 0
		for now < fleetDay {
			bins[now/fleetBin]++
			if down.at(now) {
				failures++
				valid := now < usable
				next := now + rule.pause(valid, failures)
				if valid {
					next = min(next, usable) // then callers wait
				}
				now = next
				continue
			}
			refresh, end := rule.refresh(lifetime(), first, failures > 0)
			first, failures = false, 0
			now, usable = now+refresh, now+end
		}
	}
	return bins
}

// between returns the bins of a stretch of the day.
func between(bins []int, from, to time.Duration) []int { return bins[from/fleetBin : to/fleetBin] }

// fromSecondHour leaves out the start, when everybody has to ask.
func fromSecondHour(bins []int) []int { return between(bins, time.Hour, fleetDay) }

func mean(bins []int) float64 {
	sum := 0
	for _, n := range bins {
		sum += n
	}
	return float64(sum) / float64(len(bins))
}

func peak(bins []int) float64 { return float64(slices.Max(bins)) }

// Instances that started in the same minute must not come back in the same
// minute, hour after hour; nor those that an outage has locked out together.
func TestFleet(t *testing.T) {
	if *updateFleet {
		drawFleet(t)
	}
	const (
		runs       = 7
		limit      = 1.15 // peak/mean of 5-minute bins from the second hour on
		limitAfter = 1.4  // in the second hour after an outage, over the mean before it
	)
	for _, lifetimes := range []struct {
		name string
		draw func() time.Duration
	}{{"60 to 90 min", entraLifetime}, {"fixed 60 min", fixedLifetime}} {
		for _, rule := range []fleetRule{ourRule, azureRule} {
			var calm, after []float64
			var hourly, during float64
			for range runs {
				bins := fromSecondHour(simulate(rule, lifetimes.draw, outage{}))
				calm = append(calm, peak(bins)/mean(bins))
				hourly += mean(bins) * float64(time.Hour/fleetBin) / fleetSize / runs

				bins = simulate(rule, lifetimes.draw, noonOutage)
				before := mean(between(bins, time.Hour, noonOutage.from))
				during = max(during, peak(between(bins, noonOutage.from, noonOutage.to))/before)
				end := noonOutage.to
				after = append(after, peak(between(bins, end+time.Hour, end+2*time.Hour))/before)
			}
			// Several thousand bins are looked at, so one of them will be out of
			// line by chance: the rule is judged by the median run.
			slices.Sort(calm)
			slices.Sort(after)
			t.Logf("lifetime %s, %s: peak/mean %.2f (at most %.2f); "+
				"second hour after a 30-minute outage %.2f (at most %.2f), during it %.0f; "+
				"%.2f requests per instance and hour",
				lifetimes.name, rule.name, calm[runs/2], calm[runs-1],
				after[runs/2], after[runs-1], during, hourly)
			if rule.name != ourRule.name {
				continue
			}
			if got := calm[runs/2]; got > limit {
				t.Errorf("lifetime %s: peak/mean %.3f from the second hour on, want at most %v", lifetimes.name, got, limit)
			}
			if got := after[runs/2]; got > limitAfter {
				t.Errorf("lifetime %s: peak/mean %.3f in the second hour after an outage, want at most %v", lifetimes.name, got, limitAfter)
			}
		}
	}
}

// drawFleet writes docs/fleet.svg: requests per 5 minutes, both rules.
func drawFleet(t *testing.T) {
	t.Helper()
	const (
		left, step   = 62, 3 // pixels; one bin is a step wide
		width        = fleetBins * step
		top, height  = 108, 150
		distance     = height + 66
		panels       = 3
		hour         = width / 24
		total        = left + width + 22
		bottom       = top + (panels-1)*distance + height
		legendBottom = 64
	)
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif" font-size="13" role="img" aria-labelledby="t">`, total, bottom+46)
	p(`<title id="t">Token requests of 10,000 instances over 24 hours: apponly stays flat, refreshing 5 minutes before expiry comes in waves</title>`)
	// The picture brings its own ground, so that it is legible wherever it is
	// shown, whether or not the page agrees with the reader's system.
	p(`<style>.g{fill:#fff}.t{fill:#1f2328}.s{fill:#59636e}.l{stroke:#d1d9e0}.a{stroke:#0969da}.b{stroke:#d4690b}.f{fill:#0969da}.h{fill:#d4690b}.x{fill:#59636e22}path{fill:none;stroke-linejoin:round}` +
		`@media(prefers-color-scheme:dark){.g{fill:#0d1117}.t{fill:#e6edf3}.s{fill:#9198a1}.l{stroke:#30363d}.a{stroke:#58a6ff}.b{stroke:#f0883e}.f{fill:#58a6ff}.h{fill:#f0883e}.x{fill:#9198a133}}</style>`)
	p(`<rect class="g" width="%d" height="%d" rx="8"/>`, total, bottom+46)
	p(`<text class="t" x="%d" y="30" font-size="17" font-weight="600">Token requests per 5 minutes: 10,000 instances started in the same minute</text>`, left)
	p(`<path class="a" d="M%d %dh24" stroke-width="3"/><text class="t" x="%d" y="%d">%s</text>`, left, legendBottom-9, left+32, legendBottom-5, ourRule.name)
	p(`<path class="b" d="M%d %dh24" stroke-width="1.6"/><text class="t" x="%d" y="%d">%s</text>`, left+120, legendBottom-9, left+152, legendBottom-5, azureRule.name)

	for i, panel := range []struct {
		title    string
		lifetime func() time.Duration
		down     outage
		limit    int // of the vertical axis
		ticks    int
	}{
		{"Token lifetimes of 60 to 90 minutes", entraLifetime, outage{}, 2000, 500},
		{"All tokens last 60 minutes", fixedLifetime, outage{}, 12_000, 4000},
		{"Lifetimes of 60 to 90 minutes, STS down from 12:00 to 12:30", entraLifetime, noonOutage, 4000, 1000},
	} {
		y0 := top + i*distance + height // of the horizontal axis
		y := func(n int) int { return y0 - min(n*height/panel.limit, height+8) }
		for n := 0; n <= panel.limit; n += panel.ticks {
			p(`<path class="l" d="M%d %dh%d"/><text class="s" x="%d" y="%d" text-anchor="end">%s</text>`,
				left, y(n), width, left-8, y(n)+4, thousands(n))
		}
		for h := 0; h <= 24; h += 3 {
			p(`<text class="s" x="%d" y="%d" text-anchor="middle">%d h</text>`, left+h*hour, y0+18, h)
		}
		if panel.down != (outage{}) {
			x := left + int(panel.down.from/fleetBin)*step
			p(`<rect class="x" x="%d" y="%d" width="%d" height="%d"/>`, x, y0-height, int((panel.down.to-panel.down.from)/fleetBin)*step, height)
			p(`<text class="s" x="%d" y="%d" text-anchor="end">failing tries run off the chart</text>`, x-6, y0-height+16)
		}
		clip := fmt.Sprintf("c%d", i)
		p(`<clipPath id="%s"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>`, clip, left, y0-height, width, height+2)
		var ratios []string
		for _, curve := range []struct {
			rule         fleetRule
			class        string
			stroke, fill string
		}{{azureRule, "b", "1.2", "h"}, {ourRule, "a", "2", "f"}} {
			bins := simulate(curve.rule, panel.lifetime, panel.down)
			var d strings.Builder
			at := y(bins[0])
			fmt.Fprintf(&d, "M%d %d", left, at)
			for _, n := range bins {
				if next := y(n); next != at {
					fmt.Fprintf(&d, "v%d", next-at)
					at = next
				}
				fmt.Fprintf(&d, "h%d", step)
			}
			p(`<path class="%s" stroke-width="%s" clip-path="url(#%s)" d="%s"/>`, curve.class, curve.stroke, clip, d.String())
			rest := fromSecondHour(bins)
			ratio := peak(rest) / mean(rest)
			if panel.down != (outage{}) {
				rest = between(bins, panel.down.to+time.Hour, panel.down.to+2*time.Hour)
				ratio = peak(rest) / mean(between(bins, time.Hour, panel.down.from))
			}
			ratios = append(ratios, fmt.Sprintf(`<tspan class="%s" dx="5">%.2f</tspan>`, curve.fill, ratio))
		}
		what := "peak/mean from the second hour on"
		if panel.down != (outage{}) {
			what = "peak/mean in the second hour after it"
		}
		p(`<text class="t" x="%d" y="%d" font-weight="600">%s</text>`, left, y0-height-10, panel.title)
		p(`<text class="s" x="%d" y="%d" text-anchor="end" font-weight="600"><tspan font-weight="400">%s:</tspan>%s<tspan font-weight="400" dx="5">and</tspan>%s</text>`,
			left+width, y0-height-10, what, ratios[1], ratios[0])
	}
	p(`</svg>`)
	if err := os.MkdirAll("../../docs", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "fleet.svg"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// thousands writes n, up to a million, with a comma.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
