// SPDX-License-Identifier: MIT

package flight

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Faults of callbacks. What a callback panicked with is never shown: it may
// hold what the callback was working with.
var (
	errPanicked = errors.New("panicked")
	errGoexit   = errors.New("ended its goroutine instead of returning")
	errStuck    = errors.New("is still running from an earlier call")
	errTimeout  = errors.New("did not return in time")
)

// Grace is how long [Run] lets a callback return after its context has ended.
const Grace = 100 * time.Millisecond

// Run is [RunFor] with the usual grace.
func Run[T any](ctx context.Context, g *Guard, what string, fn func(context.Context) (T, error)) (T, error) {
	return RunFor(ctx, Grace, g, what, fn)
}

// RunFor runs fn, which is not ours, in a goroutine of its own, and returns when
// fn has, or a grace after ctx has ended. A panic and a Goexit become errors, and
// so does a fn that does not return. what names fn in them. g may be nil.
func RunFor[T any](ctx context.Context, grace time.Duration, g *Guard, what string, fn func(context.Context) (T, error)) (T, error) {
	if g == nil {
		g = new(Guard)
	}
	c := call[T]{guard: g, what: what, done: make(chan result[T], 1)}
	if !g.enter(&c.ticket) {
		return *new(T), &Error{what: what, err: errStuck}
	}
	go c.run(ctx, fn)
	select {
	case r := <-c.done:
		return r.value, r.err
	case <-ctx.Done():
	}
	// What fn makes of the end of ctx says more than that it ended, and which of
	// the two a caller sees must not be chance.
	select {
	case r := <-c.done:
		return r.value, r.err
	case <-time.After(grace):
	}
	if !g.abandon(&c.ticket) {
		r := <-c.done // it has just returned
		return r.value, r.err
	}
	return *new(T), &Error{what: what, err: errTimeout, ctxErr: ctx.Err(), cause: context.Cause(ctx)}
}

type result[T any] struct {
	value T
	err   error
}

type call[T any] struct {
	guard  *Guard
	ticket ticket
	what   string
	done   chan result[T]
}

func (c *call[T]) run(ctx context.Context, fn func(context.Context) (T, error)) {
	r := result[T]{err: &Error{what: c.what, err: errGoexit}} // unless fn returns
	defer func() {
		if recover() != nil {
			r = result[T]{err: &Error{what: c.what, err: errPanicked}}
		}
		c.guard.leave(&c.ticket)
		c.done <- r
	}()
	r.value, r.err = fn(ctx)
}

// An Error is a callback's own fault.
type Error struct {
	what string
	err  error
	// If ctx ended: ctx.Err() and context.Cause(ctx).
	ctxErr, cause error
}

// Error names the callback and what it did.
func (e *Error) Error() string { return e.what + " " + e.err.Error() }

// Unwrap returns the fault and, if the context ended, ctx.Err() and its cause.
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.err, e.ctxErr, e.cause}, func(err error) bool { return err == nil })
}
