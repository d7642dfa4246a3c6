// SPDX-License-Identifier: MIT

// Package screen knows what a terminal can do, and what something that is none must
// not be sent.
package screen

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// A Screen is where output goes. The zero value is a pipe or a file.
type Screen struct {
	Width   int  // in columns, 0 for no limit
	Colours bool // and the like may be sent
	out     io.Writer
}

// Of returns what w is. Colours are for a terminal that is not dumb, and for no one
// who has set NO_COLOR (https://no-color.org).
func Of(w io.Writer) Screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Screen{out: w}
	}
	s := Screen{out: w, Colours: os.Getenv("NO_COLOR") == "" && !dumb()}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		s.Width = width
	}
	return s
}

func dumb() bool {
	t := os.Getenv("TERM")
	return t == "dumb" || t == ""
}

// The colours in use (ECMA-48).
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "1;31"
	Green  = "32"
	Yellow = "33"
)

// Paint returns text in a colour, if there are any; "" is none.
func (s Screen) Paint(colour, text string) string {
	if !s.Colours || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Wrap breaks text into lines that fit behind an indent. A word that is longer than a
// line stays whole, for whoever copies it.
func (s Screen) Wrap(text string, indent int) []string {
	room := s.Width - indent
	if s.Width == 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room {
			lines, line = append(lines, line), word
			continue
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
