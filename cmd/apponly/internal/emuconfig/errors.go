// SPDX-License-Identifier: MIT

package emuconfig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is everything that is wrong with a file.
type Error struct {
	File   string
	Faults []Fault // in the order of the file
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

// join is the place of a key in what is at p.
func (p Place) join(key string) Place {
	key = clean(key)
	if p.Key != "" {
		key = p.Key + "." + key
	}
	return Place{p.Line, key}
}

// line says where the owner of a taken name is.
func (p Place) line() int { return p.Line }

func (e *Error) add(p Place, format string, args ...any) {
	e.Faults = append(e.Faults, Fault{p, fmt.Sprintf(format, args...)})
}

// inside reports whether anything is wrong in what begins at p.
func (e *Error) inside(p Place) bool {
	return slices.ContainsFunc(e.Faults, func(f Fault) bool { return strings.HasPrefix(f.Key, p.Key) })
}

// orNil returns e if anything is wrong.
func (e *Error) orNil() error {
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
		place := fmt.Sprintf("%s:%d: ", e.File, max(f.Line, 1))
		if f.Key != "" {
			place += f.Key + ": "
		}
		lines = append(lines, place+f.Text)
	}
	if more := len(e.Faults) - maxTold; more > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more", e.File, more))
	}
	return strings.Join(lines, "\n")
}
