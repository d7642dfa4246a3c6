// SPDX-License-Identifier: MIT

package flight

import (
	"context"
	"net/http/httptrace"
	"time"
)

// Detach returns a context for work that others wait for, too: it keeps the
// values of ctx, such as a span, and not its cancellation, and ends after limit
// with cause. No method of ctx is called but Value, by those who look something up,
// and a panic in that does not reach them. [Pause] stops its clock.
//
// httptrace hooks are not kept. They are a caller's, for one request to an API:
// the work may go on when that request is long done, and sends headers that the
// hooks must not see.
func Detach(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	return newLimited(values{noHooks, context.WithoutCancel(Safe(ctx))}, limit, cause)
}

// values has the values of both contexts, and no end.
type values struct {
	context.Context // wins
	behind          context.Context
}

func (c values) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.behind.Value(key)
}

// noHooks hides the hooks behind it. Package net keeps its own under a key that only
// others replace.
var noHooks = httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{DNSStart: func(httptrace.DNSStartInfo) {}})

// A TimeoutError is the cause of a context whose time was up. It is errors.Is
// context.DeadlineExceeded: net/http returns the cause in place of ctx.Err().
type TimeoutError string

// Error returns the text.
func (e TimeoutError) Error() string { return string(e) }

// Is reports whether target is context.DeadlineExceeded.
func (e TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
