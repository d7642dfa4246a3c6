// SPDX-License-Identifier: MIT

package flight

import (
	"context"
	"net/http/httptrace"
	"time"
)

// Detach returns a context for work that others wait for, too: it keeps the
// values of ctx, such as a span, and not its cancellation, and ends after limit
// with cause. [Pause] stops its clock.
//
// httptrace hooks are not kept. They are a caller's, for one request to an API:
// the work may go on when that request is long done, and sends headers that the
// hooks must not see.
func Detach(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx = traceless{context.WithoutCancel(ctx)}
	// Package net keeps hooks under a key of its own, which only others replace.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSStart: func(httptrace.DNSStartInfo) {}})
	return newLimited(ctx, limit, cause)
}

type traceless struct{ context.Context }

func (c traceless) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// A TimeoutError is the cause of a context whose time was up. It is errors.Is
// context.DeadlineExceeded: net/http returns the cause in place of ctx.Err().
type TimeoutError string

// Error returns the text.
func (e TimeoutError) Error() string { return string(e) }

// Is reports whether target is context.DeadlineExceeded.
func (e TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
