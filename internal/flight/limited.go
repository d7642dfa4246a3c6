// SPDX-License-Identifier: MIT

package flight

import (
	"context"
	"sync"
	"time"
)

// A limited context is one with a time limit whose clock can be stopped, which
// those of package context cannot.
type limited struct {
	context.Context // holds the values and the cause; ends before done is closed
	end             context.CancelCauseFunc
	done            chan struct{}
	cause           error // of the end by the clock

	mu       sync.Mutex // guards what follows
	err      error
	deadline time.Time     // while the clock runs
	left     time.Duration // while it stands still
	pauses   int
	timer    *time.Timer
}

func newLimited(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	c := &limited{done: make(chan struct{}), cause: cause, deadline: time.Now().Add(limit)}
	c.Context, c.end = context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(limit, c.expire)
	return c, func() { c.finish(context.Canceled, context.Canceled) }
}

// expire ends c if its time is up and was not stopped as the timer fired.
func (c *limited) expire() {
	c.mu.Lock()
	due := c.pauses == 0 && !time.Now().Before(c.deadline)
	c.mu.Unlock()
	if due {
		c.finish(context.DeadlineExceeded, c.cause)
	}
}

// finish holds mu throughout, so that nobody sees Err, Done and the cause apart.
func (c *limited) finish(err, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.timer.Stop()
	c.end(cause)
	close(c.done)
}

// Deadline returns when c will end, provided that its clock goes on.
func (c *limited) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pauses > 0 {
		return time.Now().Add(c.left), true
	}
	return c.deadline, true
}

func (c *limited) Done() <-chan struct{} { return c.done }

func (c *limited) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc spares package context a goroutine for each context derived from c.
func (c *limited) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

func (c *limited) Value(key any) any {
	if key == (limitedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

type limitedKey struct{}

// Pause stops the clock of the work that ctx belongs to, if [Detach] gave it one,
// until resume is called. It is for waits that are not the work's own doing, and
// which the caller has to bound.
func Pause(ctx context.Context) (resume func()) {
	c, ok := ctx.Value(limitedKey{}).(*limited)
	if !ok {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pauses++; c.pauses == 1 {
		c.timer.Stop()
		c.left = time.Until(c.deadline)
	}
	return sync.OnceFunc(c.resume)
}

func (c *limited) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pauses--; c.pauses == 0 && c.err == nil {
		c.deadline = time.Now().Add(c.left)
		c.timer.Reset(c.left)
	}
}
