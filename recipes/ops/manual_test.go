// SPDX-License-Identifier: MIT

package ops_test

import (
	"regexp"
	"testing"
)

// What the manual says of metrics has the names that there are.
func TestManualNamesMetrics(t *testing.T) {
	text := read(t, manual)
	known := exported(t)
	for _, m := range regexp.MustCompile("`(apponly_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if known[m[1]] == nil && known[m[1]+"_count"] == nil {
			t.Errorf("%s is not exported", m[1])
		}
	}
}
