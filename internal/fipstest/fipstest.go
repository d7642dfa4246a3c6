// SPDX-License-Identifier: MIT

// Package fipstest lets tests in synctest bubbles run where FIPS 140 is on.
package fipstest

import (
	"crypto/fips140"
	"testing"
	"testing/cryptotest"
	"time"
)

// Main runs the tests of a package, for its TestMain. Where FIPS 140 is on, random numbers
// come of the jitter of the clock, which stands still in a bubble: Go panics when it makes a
// generator there. So tests have another source, which is not allowed where it is enforced.
func Main(m *testing.M) int {
	if fips140.Enabled() && !fips140.Enforced() {
		cryptotest.SetGlobalRandom(new(testing.T), uint64(time.Now().UnixNano()))
	}
	return m.Run()
}
