// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

const sec = int64(time.Second)

// A token ends when either clock says so, and a clock that was set back
// discards nothing that is good: MSAL Go takes a token "cached in the future"
// for a miss.
func TestTwoClocks(t *testing.T) {
	received := clock.Instant{Wall: 1_000_000 * sec, Mono: 500 * sec}
	hour := int64(time.Hour)
	for name, tc := range map[string]struct {
		wall, mono      int64 // since received
		refresh, usable bool
	}{
		"at once":                          {0, 0, false, true},
		"half an hour":                     {hour / 2, hour / 2, false, true},
		"46 minutes":                       {46 * 60 * sec, 46 * 60 * sec, true, true},
		"just before the margin":           {hour - 11*sec, hour - 11*sec, true, true},
		"in the margin":                    {hour - 9*sec, hour - 9*sec, true, false},
		"slept: wall past, mono not":       {2 * hour, 60 * sec, true, false},
		"set back a day, minutes later":    {-24 * hour, 300 * sec, false, true},
		"set back a day, an hour later":    {-23 * hour, hour, true, false},
		"set back a day, 50 minutes later": {-23 * hour, 50 * 60 * sec, true, true},
		"set forward past the end":         {3 * hour, sec, true, false},
	} {
		refresh, usable := tokencache.TokenAt(received, clock.Instant{Wall: 1_000_000*sec + tc.wall, Mono: 500*sec + tc.mono}, time.Hour)
		if refresh != tc.refresh || usable != tc.usable {
			t.Errorf("%s: refresh due %v, usable %v; want %v, %v", name, refresh, usable, tc.refresh, tc.usable)
		}
	}
}

func TestRefreshTime(t *testing.T) {
	const base = 45 * time.Minute // of an hour
	for name, tc := range map[string]struct {
		first, recovered bool
		low              time.Duration
	}{
		"usual":               {low: base * 3 / 4},
		"first":               {first: true, low: base / 10},
		"after a failure":     {recovered: true, low: base / 4},
		"first, after faults": {first: true, recovered: true, low: base / 10},
	} {
		least, most := time.Hour, time.Duration(0)
		for range 10_000 {
			d, _ := tokencache.Schedule(time.Hour, tc.first, tc.recovered)
			least, most = min(least, d), max(most, d)
		}
		if least < tc.low || least > tc.low+base/50 || most > base || most < base*49/50 {
			t.Errorf("%s: refreshed after %v to %v, want %v to %v", name, least, most, tc.low, base)
		}
	}
	for lifetime, want := range map[time.Duration]time.Duration{time.Hour: time.Hour - 10*time.Second, time.Minute: 54 * time.Second} {
		if _, usable := tokencache.Schedule(lifetime, false, false); usable != want {
			t.Errorf("a token of %v is handed out for %v, want %v", lifetime, usable, want)
		}
	}
}

func TestEntryIsOneCacheLine(t *testing.T) {
	if strconv.IntSize == 64 && tokencache.EntrySize != 64 {
		t.Errorf("an entry has %d bytes, want one cache line", tokencache.EntrySize)
	}
}
