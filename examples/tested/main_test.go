// SPDX-License-Identifier: MIT

package tested_test

import (
	"crypto/fips140"
	"os"
	"testing"
	"testing/cryptotest"
	"time"
)

// TestMain makes the test binary the program that a test starts. Where FIPS 140 is on,
// random numbers come of the jitter of the clock, which stands still in a synctest bubble.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program())
	}
	if fips140.Enabled() && !fips140.Enforced() {
		cryptotest.SetGlobalRandom(new(testing.T), uint64(time.Now().UnixNano()))
	}
	os.Exit(m.Run())
}
