// SPDX-License-Identifier: MIT

package entratest_test

import (
	"os"
	"testing"

	"github.com/apponly/apponly/internal/fipstest"
)

func TestMain(m *testing.M) { os.Exit(fipstest.Main(m)) }
