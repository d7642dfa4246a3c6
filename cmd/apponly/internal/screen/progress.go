// SPDX-License-Identifier: MIT

package screen

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// patience is for how long nobody wonders whether anything happens.
const patience = time.Second

// A Progress says on a terminal what takes more than a second, in one line that goes
// away again. It is safe for concurrent use.
type Progress struct {
	out io.Writer // nil: none is wanted

	mu    sync.Mutex // guards what follows, and that no line is written after End
	timer *time.Timer
	shown bool
}

// NewProgress returns one that writes to s, if that is a terminal that can go back in
// a line.
func NewProgress(s Screen) *Progress {
	f, ok := s.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || dumb() {
		return &Progress{}
	}
	return &Progress{out: f}
}

// Begin says that something has begun.
func (p *Progress) Begin(what string) {
	if p.out == nil {
		return
	}
	p.End()
	p.mu.Lock()
	defer p.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.timer == timer {
			io.WriteString(p.out, "\r"+what+" …\x1b[K")
			p.shown = true
		}
	})
	p.timer = timer
}

// End takes the line away.
func (p *Progress) End() {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.shown {
		io.WriteString(p.out, "\r\x1b[K")
		p.shown = false
	}
}
