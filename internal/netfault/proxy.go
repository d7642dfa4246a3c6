// SPDX-License-Identifier: MIT

package netfault

import (
	"errors"
	"net"
	"net/http"
	"strconv"
)

// A ProxyStatus is the HTTP status with which a proxy refused to connect.
type ProxyStatus int

// Error says which one.
func (s ProxyStatus) Error() string {
	text := "the proxy refused the connection: " + strconv.Itoa(int(s))
	if name := http.StatusText(int(s)); name != "" {
		text += " " + name
	}
	return text
}

// mayPass reports whether the proxy may think better of it.
func (s ProxyStatus) mayPass() bool {
	switch s {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// findProxy knows the errors of the way to a proxy, and its own.
func findProxy(err error) fault {
	if s, ok := errors.AsType[ProxyStatus](err); ok {
		return fault{s.Error(), s, !s.mayPass()}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "proxyconnect" || op.Op == "socks connect") {
		cause := &net.OpError{Op: op.Op, Net: op.Net, Err: errTransport}
		if inner := find(op.Err); inner.cause != nil || inner.permanent {
			return fault{"the proxy cannot be reached: " + inner.reason, inner.cause, inner.permanent}
		}
		return fault{reason: "the proxy did not let the connection through", cause: cause}
	}
	route, ok := errors.AsType[*RouteError](err)
	if !ok || route.Proxy == "" {
		return fault{}
	}
	// Of a refusal net/http leaves the text of the status alone.
	for inner := route.Err; inner != nil; inner = errors.Unwrap(inner) {
		if s := statusOf[inner.Error()]; s != 0 {
			return fault{s.Error(), s, !s.mayPass()}
		}
	}
	return fault{}
}

// statusOf finds the status of a text.
var statusOf = func() map[string]ProxyStatus {
	all := map[string]ProxyStatus{}
	for code := 300; code < 600; code++ {
		if text := http.StatusText(code); text != "" {
			all[text] = ProxyStatus(code)
		}
	}
	return all
}()
