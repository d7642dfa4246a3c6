// SPDX-License-Identifier: MIT

package health

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// relative says when t is, in two units at most: "in 41 min 20 s", "3 h 5 min ago".
func relative(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case d > 0:
		return "in " + inUnits(d)
	case d < 0:
		return inUnits(-d) + " ago"
	}
	return "now"
}

// nextTry says when the next try is. One that is due is under way, or waits for a caller.
func nextTry(t, now time.Time) string {
	if !t.After(now) {
		return "due"
	}
	return relative(t, now)
}

func inUnits(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.size, u.name)
		if rest := d % u.size; i+1 < len(units) && rest >= units[i+1].size {
			text += fmt.Sprintf(" %d %s", rest/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// built says what the program was built of: Go, its own module and this one.
func built() string {
	text := runtime.Version()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == info.Main.Path && m.Path != "" || m.Path == "github.com/apponly/apponly" {
			text += ", " + m.Path + " " + cmp.Or(m.Version, "(devel)")
		}
	}
	return text
}
