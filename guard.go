// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// A gate knows the calls of one callback that were abandoned and have not
// returned. While there is one the callback is not called again, so that a
// callback that hangs costs one goroutine and not one per flight.
type gate struct{ stuck atomic.Int32 }

// Faults of callbacks. What a callback panicked with is never shown: it may
// hold what the callback was working with.
var (
	errPanicked = errors.New("panicked")
	errGoexit   = errors.New("ended its goroutine instead of returning")
	errStuck    = errors.New("is still running from an earlier token request")
	errTimeout  = errors.New("did not return in time")
)

// grace is how long a callback has to return after ctx has ended.
const grace = 100 * time.Millisecond

// guard runs fn, which is not ours, in a goroutine of its own and returns when
// it has, or soon after ctx has ended. A panic and a Goexit become
// errors. what names the callback in them.
func guard[T any](ctx context.Context, g *gate, what string, fn func(context.Context) (T, error)) (T, error) {
	return guardFor(ctx, grace, g, what, fn)
}

// guardFor is guard with a grace of its own, longer where fn calls guard.
func guardFor[T any](ctx context.Context, wait time.Duration, g *gate, what string, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if g != nil && g.stuck.Load() > 0 {
		return zero, &guardError{what: what, err: errStuck}
	}
	type result struct {
		value T
		err   error
	}
	const running, abandoned, returned = 0, 1, 2
	var state atomic.Int32
	done := make(chan result, 1)
	go func() {
		r := result{err: &guardError{what: what, err: errGoexit}} // unless fn returns
		defer func() {
			if recover() != nil {
				r = result{err: &guardError{what: what, err: errPanicked}}
			}
			if !state.CompareAndSwap(running, returned) && g != nil {
				g.stuck.Add(-1)
			}
			done <- r
		}()
		var v T
		var err error
		v, err = fn(ctx)
		r = result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		// What fn makes of the end of ctx says more than that it ended, and
		// which of the two a caller sees must not be chance.
		select {
		case r := <-done:
			return r.value, r.err
		case <-time.After(wait):
		}
		if !state.CompareAndSwap(running, abandoned) {
			r := <-done // it has just returned
			return r.value, r.err
		}
		if g != nil {
			g.stuck.Add(1)
		}
		return zero, &guardError{what: what, err: errTimeout, ctxErr: ctx.Err(), cause: context.Cause(ctx)}
	}
}

type guardError struct {
	what string
	err  error
	// If ctx ended: ctx.Err() and context.Cause(ctx).
	ctxErr, cause error
}

func (e *guardError) Error() string { return e.what + " " + e.err.Error() }
func (e *guardError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.err, e.ctxErr, e.cause}, isNil)
}

func isNil(err error) bool { return err == nil }
