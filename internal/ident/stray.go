// SPDX-License-Identifier: MIT

package ident

import "strings"

// InQuotes reports whether a text has quotes around it, of whatever language.
func InQuotes(s string) bool {
	for _, q := range []string{`"`, `'`, "`", "“ ”", "‘ ’", "„ “", "« »"} {
		open, end, pair := strings.Cut(q, " ")
		if !pair {
			end = open
		}
		if len(s) >= len(open)+len(end) && strings.HasPrefix(s, open) && strings.HasSuffix(s, end) {
			return true
		}
	}
	return false
}
