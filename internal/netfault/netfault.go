// SPDX-License-Identifier: MIT

// Package netfault turns the error of an HTTP request into a stable text and a
// cause that is safe to keep.
package netfault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/apponly/apponly/internal/flight"
)

// Describe returns why a request brought no answer. The text names the host and
// the proxy of a [RouteError], and no addresses or ports of sockets, which differ
// between two failures of the same kind. Only causes of known types stay
// reachable, nil if there is none: the error of a user's RoundTripper may hold
// the request, and with it the credential.
func Describe(err error) (reason string, cause error) {
	f := find(err)
	if route, ok := errors.AsType[*RouteError](err); ok {
		f.reason = route.where() + ": " + f.reason
	}
	return f.reason, f.cause
}

// ErrLocal is what errors of this machine are, by their Is method: no other
// attempt mends them.
var ErrLocal = errors.New("a fault of this machine")

// ErrNoTurn is why a request was not sent: others were ahead for too long.
var ErrNoTurn = errors.New("too many token requests are under way")

// Permanent reports whether sending the request again cannot help: there is no
// such host, TLS or the proxy does not let it through, or the fault is
// [ErrLocal].
func Permanent(err error) bool { return find(err).permanent || errors.Is(err, ErrLocal) }

// A RouteError says which way a request went that brought no answer.
type RouteError struct {
	Host  string // and the port, where the URL has one
	Proxy string // likewise; "" if none was used
	Err   error
}

// Error is for debugging: Err may hold anything.
func (e *RouteError) Error() string { return e.where() + ": " + e.Err.Error() }

// Unwrap returns the error of the request.
func (e *RouteError) Unwrap() error { return e.Err }

func (e *RouteError) where() string {
	if e.Proxy != "" {
		return e.Host + " through the proxy " + e.Proxy
	}
	return e.Host
}

// A fault is what is known of an error; zero: nothing.
type fault struct {
	reason    string
	cause     error // fit to be kept, nil if there is none
	permanent bool
}

// find asks those that know the errors of one part of the way each. What tells
// more comes first.
func find(err error) fault {
	for _, finder := range []func(error) fault{findProxy, findName, findEnd, findCertificate, findHandshake, findText, findConnection, findRefusal} {
		if f := finder(err); f.reason != "" {
			return f
		}
	}
	return fault{reason: fmt.Sprintf("transport failed (%T)", innermost(err))}
}

func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// findEnd knows what ends a request from our side.
func findEnd(err error) fault {
	var guarded *flight.Error
	switch {
	case errors.Is(err, ErrNoTurn):
		return fault{reason: ErrNoTurn.Error(), cause: ErrNoTurn}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" { // as a firewall has it
			return fault{reason: "no answer in time: no connection was made", cause: context.DeadlineExceeded}
		}
		return fault{reason: "no answer in time", cause: context.DeadlineExceeded}
	case errors.As(err, &guarded):
		return fault{reason: guarded.Error(), cause: guarded}
	case errors.Is(err, context.Canceled):
		return fault{reason: "canceled", cause: context.Canceled}
	}
	return fault{}
}

func findName(err error) fault {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok, errors.Is(err, context.Canceled):
		return fault{}
	case dns.IsNotFound:
		return fault{"host name not found", &net.DNSError{Err: "no such host", Name: dns.Name, IsNotFound: true}, true}
	case dns.IsTimeout:
		return fault{"host name lookup failed: no answer in time", &net.DNSError{Err: "no answer in time", Name: dns.Name, IsTimeout: true, UnwrapErr: context.DeadlineExceeded}, false}
	}
	return fault{"host name lookup failed", &net.DNSError{Err: "lookup failed", Name: dns.Name, IsTemporary: dns.IsTemporary}, false}
}

// texts are in errors without a type of their own, most of them net/http's.
var texts = []struct {
	part string
	fault
}{
	{"net/http: TLS handshake timeout", fault{"no answer in time: the TLS handshake did not end", context.DeadlineExceeded, false}},
	{"invalid proxy URL", fault{"the proxy's address cannot be read", nil, true}},
	{"invalid proxy address", fault{"the proxy's address cannot be read", nil, true}},
	{"unsupported proxy scheme", fault{"the proxy's address has an unknown scheme", nil, true}},
	{"proxy: unknown scheme", fault{"the proxy's address has an unknown scheme", nil, true}},
	{"malformed HTTP", notHTTP},
	{"malformed MIME header", notHTTP},
	{"Content-Length", notHTTP},
	{"transfer encoding", notHTTP},
	{"chunk", fault{notHTTP.reason, nil, false}},
	{"gzip: ", fault{"the answer cannot be decompressed", nil, false}},
	{"flate: ", fault{"the answer cannot be decompressed", nil, false}},
	{"response headers exceeded", fault{"the header of the answer is too large", nil, true}},
	{"http2: ", fault{"connection closed", io.ErrUnexpectedEOF, false}},
	{"stream error: ", fault{"connection closed", io.ErrUnexpectedEOF, false}},     // HTTP/2, too
	{"connection error: ", fault{"connection closed", io.ErrUnexpectedEOF, false}}, // likewise
	{"http: server closed idle connection", fault{"connection closed", io.ErrUnexpectedEOF, false}},
}

var notHTTP = fault{"what came back is not HTTP", nil, true}

// findText looks at the innermost error alone: those around it quote the URL.
func findText(err error) fault {
	text := innermost(err).Error()
	for _, t := range texts {
		if strings.Contains(text, t.part) {
			return t.fault
		}
	}
	return fault{}
}

// errTransport stands for a cause whose text could be anybody's.
var errTransport = errors.New("transport failed")

// findConnection knows the errors of a connection.
func findConnection(err error) fault {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return fault{reason: "connection closed", cause: io.ErrUnexpectedEOF}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fault{reason: errno.Error(), cause: errno}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fault{reason: operation(op.Op), cause: &net.OpError{Op: op.Op, Net: op.Net, Addr: op.Addr, Err: errTransport}}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fault{reason: "no answer in time", cause: context.DeadlineExceeded}
	}
	return fault{}
}

func operation(op string) string {
	switch op {
	case "dial", "read", "write":
		return op + " failed"
	}
	return "connection failed"
}
