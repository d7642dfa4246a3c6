// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// at is where a value stands in a configuration.
type at struct {
	line int
	key  string // "apps[0].secrets[1].value"
}

// configErrors is everything that is wrong with a configuration.
type configErrors struct {
	file string
	list []configError
}

type configError struct {
	at
	text string
}

func (e *configErrors) add(p at, format string, args ...any) {
	e.list = append(e.list, configError{p, fmt.Sprintf(format, args...)})
}

// orNil returns what was collected as an error, nil if nothing was.
func (e *configErrors) orNil() error {
	if len(e.list) == 0 {
		return nil
	}
	return e
}

// maxTold is how many faults are told: a file of another kind is wrong in every
// line.
const maxTold = 50

// Error returns one line for each fault, "file:line: key: text", in the order
// of the file.
func (e *configErrors) Error() string {
	slices.SortStableFunc(e.list, func(a, b configError) int { return cmp.Compare(a.line, b.line) })
	var b strings.Builder
	for i, f := range e.list {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == maxTold {
			fmt.Fprintf(&b, "%s: and %d more", e.file, len(e.list)-i)
			break
		}
		fmt.Fprintf(&b, "%s:%d: ", e.file, max(f.line, 1))
		if f.key != "" {
			b.WriteString(f.key + ": ")
		}
		b.WriteString(f.text)
	}
	return b.String()
}
