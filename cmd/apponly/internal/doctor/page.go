// SPDX-License-Identifier: MIT

package doctor

import (
	"io"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

// A Page prints findings for people: one line a check, and under it what to do.
type Page struct {
	w      io.Writer
	screen screen.Screen
}

// NewPage returns one that prints to w, which is what s says.
func NewPage(w io.Writer, s screen.Screen) *Page { return &Page{w, s} }

var colours = map[Status]string{OK: screen.Green, Warning: screen.Yellow, Fault: screen.Red, Skipped: screen.Dim}

// Print prints one finding.
func (p *Page) Print(r Result) error {
	heads := []screen.Head{{Text: r.Check, Width: 13}, {Text: string(r.Status), Colour: colours[r.Status], Width: 9}}
	text := p.screen.Row(r.Text, heads...)
	if r.Remedy != "" {
		text += p.screen.Advice(r.Remedy, heads...)
	}
	_, err := io.WriteString(p.w, text)
	return err
}
