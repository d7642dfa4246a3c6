// SPDX-License-Identifier: MIT

package netfault

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
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

// A ProxyAddress is the name of a variable with the address of a proxy that cannot be
// read. The address, which may have a password in it, is not in the error.
type ProxyAddress string

// Error names the variable.
func (a ProxyAddress) Error() string {
	return "the address of the proxy in " + string(a) + " cannot be read: want http://user:password@host:port, with special characters of user and password percent-encoded"
}

// findProxy knows the errors of the way to a proxy, and its own.
func findProxy(err error) fault {
	if s, ok := errors.AsType[ProxyStatus](err); ok {
		return fault{s.Error(), s, !s.mayPass()}
	}
	if a, ok := errors.AsType[ProxyAddress](err); ok {
		return fault{a.Error(), a, true}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "proxyconnect" || op.Op == "socks connect") {
		cause := &net.OpError{Op: op.Op, Net: op.Net, Err: errTransport}
		if inner := find(op.Err); inner.cause != nil || inner.permanent {
			return fault{"the proxy cannot be reached: " + inner.reason, inner.cause, inner.permanent}
		}
		return fault{reason: "the proxy did not let the connection through", cause: cause}
	}
	return fault{}
}

// findRefusal knows a proxy's refusal of which net/http has left the text of the
// status alone, a plain error. Its own plain errors are known to others or begin
// with what they are about.
func findRefusal(err error) fault {
	route, ok := errors.AsType[*RouteError](err)
	if !ok || route.Proxy == "" {
		return fault{}
	}
	err = route.Err
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	text := err.Error()
	if reflect.TypeOf(err) != reflect.TypeOf(errTransport) || strings.Contains(text, ": ") {
		return fault{}
	}
	for code := 300; code < 600; code++ {
		if name := http.StatusText(code); name != "" && strings.HasPrefix(text, name) {
			s := ProxyStatus(code)
			return fault{s.Error(), s, !s.mayPass()}
		}
	}
	return fault{reason: "the proxy refused the connection"}
}
