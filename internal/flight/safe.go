// SPDX-License-Identifier: MIT

package flight

import (
	"context"
	"errors"
	"time"
)

// ErrContext is the Err of a context whose own Err or Done panicked.
var ErrContext = errors.New("the context's methods panic")

// Safe returns ctx with methods that do not panic. A context is its caller's code,
// and package context and net/http call it in goroutines in which nobody recovers: a
// panic there ends the process. If Err or Done panics the context has ended; if
// Value does there is none.
func Safe(ctx context.Context) context.Context {
	if safe, ok := ctx.(*safeContext); ok {
		return safe
	}
	return &safeContext{ctx}
}

type safeContext struct{ ctx context.Context }

func (c *safeContext) Deadline() (at time.Time, ok bool) {
	defer func() {
		if recover() != nil {
			at, ok = time.Time{}, false
		}
	}()
	return c.ctx.Deadline()
}

func (c *safeContext) Done() (done <-chan struct{}) {
	defer func() {
		if recover() != nil {
			ended := make(chan struct{})
			close(ended)
			done = ended
		}
	}()
	return c.ctx.Done()
}

func (c *safeContext) Err() (err error) {
	defer func() {
		if recover() != nil {
			err = ErrContext
		}
	}()
	if err = c.ctx.Err(); err == nil {
		// Done may be what panics, and has ended the context then.
		select {
		case <-c.Done():
			if err = c.ctx.Err(); err == nil {
				err = ErrContext
			}
		default:
		}
	}
	return err
}

func (c *safeContext) Value(key any) (v any) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	return c.ctx.Value(key)
}
