// SPDX-License-Identifier: MIT

package agent_test

import (
	"crypto/fips140"
	"os"
	"testing"
	"testing/cryptotest"
	"time"
)

// Where FIPS 140 is on, random numbers come of the jitter of the clock, which stands
// still in a synctest bubble: Go panics when it makes a generator there.
func TestMain(m *testing.M) {
	if fips140.Enabled() && !fips140.Enforced() {
		cryptotest.SetGlobalRandom(new(testing.T), uint64(time.Now().UnixNano()))
	}
	os.Exit(m.Run())
}
