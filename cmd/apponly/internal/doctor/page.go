// SPDX-License-Identifier: MIT

package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

// A Page prints findings for people: one line a check, and under it what to do.
type Page struct {
	w      io.Writer
	screen screen.Screen
}

// NewPage returns one that prints to w, which is what s says.
func NewPage(w io.Writer, s screen.Screen) *Page { return &Page{w, s} }

const (
	checkColumn, statusColumn = 13, 9 // wide
	narrow                    = 60    // a screen on which the text has a line of its own
)

var colours = map[Status]string{OK: screen.Green, Warning: screen.Yellow, Fault: screen.Red, Skipped: screen.Dim}

// Print prints one finding.
func (p *Page) Print(r Result) error {
	var b strings.Builder
	indent := checkColumn + statusColumn
	if p.screen.Width > 0 && p.screen.Width < narrow {
		indent = 2
	}
	status := string(r.Status)
	head := fmt.Sprintf("%-*s", checkColumn, r.Check) + p.screen.Paint(colours[r.Status], status)
	lines := p.screen.Wrap(r.Text, indent)
	switch {
	case r.Text == "":
		lines = nil
	case indent == 2:
		head += "\n" + strings.Repeat(" ", indent)
	default:
		head += strings.Repeat(" ", statusColumn-len(status))
	}
	b.WriteString(head + strings.Join(lines, "\n"+strings.Repeat(" ", indent)) + "\n")
	if r.Remedy != "" {
		arrow := strings.Repeat(" ", indent) + p.screen.Paint(screen.Bold, "→ ")
		b.WriteString(arrow + strings.Join(p.screen.Wrap(r.Remedy, indent+2), "\n"+strings.Repeat(" ", indent+2)) + "\n")
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}
