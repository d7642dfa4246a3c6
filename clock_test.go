// SPDX-License-Identifier: MIT

package apponly_test

import (
	"testing"
	"time"

	"github.com/apponly/apponly"
)

const sec = int64(time.Second)

// A token ends when either clock says so, and a clock that was set back
// discards nothing that is good: MSAL Go takes a token "cached in the future"
// for a miss.
func TestTwoClocks(t *testing.T) {
	received := apponly.At(1_000_000*sec, 500*sec)
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
		refresh, usable := apponly.TokenAt(received, apponly.At(1_000_000*sec+tc.wall, 500*sec+tc.mono), time.Hour)
		if refresh != tc.refresh || usable != tc.usable {
			t.Errorf("%s: refresh due %v, usable %v; want %v, %v", name, refresh, usable, tc.refresh, tc.usable)
		}
	}
}

// The packed form may be reached up to a second early and never late: the hit
// path would hand out a token that has ended.
func FuzzPackedInstant(f *testing.F) {
	f.Add(int64(1_700_000_000*sec), int64(5*sec), int64(0), int64(0))
	f.Add(int64(1_700_000_000*sec+1), int64(1_300_000_000*sec+1), int64(-1), int64(1))
	for _, ahead := range [][2]int64{{5 * sec, -5 * sec}, {-5 * sec, 5 * sec}, {-5 * sec, -5 * sec}} { // each clock alone, and neither
		f.Add(int64(1_700_000_000*sec), int64(1_300_000_000*sec), ahead[0], ahead[1])
	}
	f.Fuzz(func(t *testing.T, wall, mono, dw, dm int64) {
		const year = 365 * 24 * 3600 * sec
		wall = 1 + abs(wall)%(130*year)
		mono = 1 + abs(mono)%(130*year)
		dw, dm = dw%(10*sec), dm%(10*sec)
		exact, packed := apponly.Reached(apponly.At(wall, mono), apponly.At(wall+dw, mono+dm))
		if exact && !packed {
			t.Errorf("wall %d mono %d, now %+d %+d: reached, and packed not", wall, mono, dw, dm)
		}
		if packed && !exact && dw < -sec && dm < -sec {
			t.Errorf("wall %d mono %d, now %+d %+d: packed more than a second early", wall, mono, dw, dm)
		}
	})
}

func abs(i int64) int64 { return max(i, -(i + 1)) }
