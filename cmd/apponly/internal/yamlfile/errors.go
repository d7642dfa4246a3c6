// SPDX-License-Identifier: MIT

package yamlfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is everything that is wrong with a file.
type Error struct {
	File   string  // "": it was not read from one
	Faults []Fault // in the order of the file

	lines map[string]int // of what was read, by key
}

// A Fault is one thing that is wrong.
type Fault struct {
	Place
	Text string
}

// A Place is where a value stands in a file.
type Place struct {
	Line int    // 0: nowhere in particular
	Key  string // "apps[0].secrets[1].value"
}

// Join is the place of a key in what is at p.
func (p Place) Join(key string) Place {
	key = Clean(key)
	if p.Key != "" {
		key = p.Key + "." + key
	}
	return Place{p.Line, key}
}

// At is the line, of whatever has a Place in it.
func (p Place) At() int { return p.Line }

// Find returns the place of a key such as "callers[0].scopes[1]", in the line of what
// is nearest to it if it is not there.
func (e *Error) Find(key string) Place {
	for near := key; near != ""; near = near[:max(0, strings.LastIndexAny(near, ".["))] {
		if line := e.lines[near]; line > 0 {
			return Place{line, key}
		}
	}
	return Place{0, key}
}

// Add adds a fault.
func (e *Error) Add(p Place, format string, args ...any) {
	e.Faults = append(e.Faults, Fault{p, fmt.Sprintf(format, args...)})
}

// Inside reports whether anything is wrong in what begins at p.
func (e *Error) Inside(p Place) bool {
	return slices.ContainsFunc(e.Faults, func(f Fault) bool { return strings.HasPrefix(f.Key, p.Key) })
}

// OrNil returns e, in the order of the file, if anything is wrong.
func (e *Error) OrNil() error {
	if len(e.Faults) == 0 {
		return nil
	}
	slices.SortStableFunc(e.Faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return e
}

// maxTold is how many faults are printed: a file that was written for another
// program is wrong in every line.
const maxTold = 50

// Error returns one line for each fault, "file:line: key: text".
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Faults[:min(len(e.Faults), maxTold)] {
		place := ""
		if e.File != "" {
			place = fmt.Sprintf("%s:%d: ", e.File, max(f.Line, 1))
		}
		if f.Key != "" {
			place += f.Key + ": "
		}
		lines = append(lines, place+f.Text)
	}
	if more := len(e.Faults) - maxTold; more > 0 {
		lines = append(lines, strings.TrimPrefix(fmt.Sprintf("%s: and %d more", e.File, more), ": "))
	}
	return strings.Join(lines, "\n")
}
