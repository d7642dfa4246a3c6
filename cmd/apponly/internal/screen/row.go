// SPDX-License-Identifier: MIT

package screen

import (
	"strings"
	"unicode/utf8"
)

// narrow is a screen on which the text of a row has lines of its own.
const narrow = 60

// A Head is one of the words that a row begins with.
type Head struct {
	Text, Colour string
	Width        int // of its column, with the gap behind it
}

// Row returns heads in their columns and the text that belongs to them, wrapped behind
// them or, on a narrow screen, below.
func (s Screen) Row(text string, heads ...Head) string {
	indent, below := s.Indent(heads...), s.isNarrow()
	var b strings.Builder
	for i, h := range heads {
		b.WriteString(s.Paint(h.Colour, h.Text))
		if last := i == len(heads)-1; !last || text != "" && !below {
			b.WriteString(strings.Repeat(" ", max(h.Width-utf8.RuneCountInString(h.Text), 1)))
		}
	}
	if text != "" {
		margin := "\n" + strings.Repeat(" ", indent)
		if below {
			b.WriteString(margin)
		}
		b.WriteString(strings.Join(s.Wrap(text, indent), margin))
	}
	return b.String() + "\n"
}

// Indent is where the text of rows begins that have these heads.
func (s Screen) Indent(heads ...Head) (column int) {
	if s.isNarrow() {
		return 2 + len(heads[0].Text) - len(strings.TrimLeft(heads[0].Text, " "))
	}
	for _, h := range heads {
		column += h.Width
	}
	return column
}

func (s Screen) isNarrow() bool { return s.Width > 0 && s.Width < narrow }

// Advice returns what to do about what a row with these heads says.
func (s Screen) Advice(text string, heads ...Head) string {
	indent := s.Indent(heads...)
	return strings.Repeat(" ", indent) + s.Paint(Bold, "→ ") + strings.Join(s.Wrap(text, indent+2), "\n"+strings.Repeat(" ", indent+2)) + "\n"
}
