// SPDX-License-Identifier: MIT

package tested_test

import (
	"os"
	"testing"

	"github.com/apponly/apponly/internal/fipstest"
)

// TestMain makes the test binary the program that a test starts.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program())
	}
	os.Exit(fipstest.Main(m))
}
