// SPDX-License-Identifier: MIT

package screen

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Date is a time as people read it, whatever their zone.
func Date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Span is a duration as people say it, without its sign.
func Span(d time.Duration) string {
	switch d = d.Abs(); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return cmp.Or(strings.TrimPrefix(fmt.Sprintf("%d ms", d.Milliseconds()), "0 ms"), "less than 1 ms")
}

// Bar shows how much is left of something.
func Bar(left, whole time.Duration) string {
	const width = 20
	full := 0
	if whole > 0 {
		full = int(min(max(left, 0), whole) * width / whole)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}
