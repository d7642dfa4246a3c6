// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"net/http/httptrace"
)

// untraced hides the httptrace hooks of ctx. They are a caller's, for one request
// to an API: a flight is another request, may go on when that one is long done,
// and has headers that are not for it. Who traces token requests does so in
// Options.HTTPClient.
func untraced(ctx context.Context) context.Context {
	// Package net keeps hooks under a key of its own, which only others replace.
	return httptrace.WithClientTrace(traceless{ctx}, &httptrace.ClientTrace{DNSStart: func(httptrace.DNSStartInfo) {}})
}

type traceless struct{ context.Context }

func (c traceless) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}
