// SPDX-License-Identifier: MIT

package clock_test

import (
	"testing"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

const sec = int64(time.Second)

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
		at, now := clock.Instant{Wall: wall, Mono: mono}, clock.Instant{Wall: wall + dw, Mono: mono + dm}
		exact, packed := at.Reached(now), at.Pack().Reached(now)
		if exact && !packed {
			t.Errorf("wall %d mono %d, now %+d %+d: reached, and packed not", wall, mono, dw, dm)
		}
		if packed && !exact && dw < -sec && dm < -sec {
			t.Errorf("wall %d mono %d, now %+d %+d: packed more than a second early", wall, mono, dw, dm)
		}
	})
}

func abs(i int64) int64 { return max(i, -(i + 1)) }
