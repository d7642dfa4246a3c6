// SPDX-License-Identifier: MIT

// Package netfault turns the error of an HTTP request into a stable text and a
// cause that is safe to keep.
package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/apponly/apponly/internal/flight"
)

// Describe returns why a request brought no answer. The text names no addresses
// or ports, which differ between two failures of the same kind. Only
// causes of known types stay reachable, nil if there is none: the error of a
// user's RoundTripper may hold the request, and with it the credential.
func Describe(err error) (reason string, cause error) {
	var dns *net.DNSError
	var guarded *flight.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time", context.DeadlineExceeded
	case errors.As(err, &guarded):
		return guarded.Error(), guarded
	case errors.Is(err, context.Canceled):
		return "canceled", context.Canceled
	case errors.As(err, &dns) && dns.IsNotFound:
		return "host name not found", &net.DNSError{Err: "no such host", Name: dns.Name, IsNotFound: true}
	case errors.As(err, &dns):
		return "host name lookup failed", &net.DNSError{Err: "lookup failed", Name: dns.Name, IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary}
	}
	if reason, cause := certificate(err); cause != nil {
		return "TLS: the server's certificate was not accepted: " + reason, cause
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return "connection closed", io.ErrUnexpectedEOF
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error(), errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return operation(op.Op), &net.OpError{Op: op.Op, Net: op.Net, Addr: op.Addr, Err: errTransport}
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert.Error(), alert
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("transport failed (%T)", err), nil
}

// ErrLocal is what errors of this machine are, by their Is method: no other
// attempt mends them.
var ErrLocal = errors.New("a fault of this machine")

// Permanent reports whether sending the request again cannot help: there is no
// such host, its certificate is not accepted, or the fault is [ErrLocal].
func Permanent(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return true
	}
	_, cause := certificate(err)
	return cause != nil || errors.Is(err, ErrLocal)
}

// errTransport stands for a cause whose text could be anybody's.
var errTransport = errors.New("transport failed")

func operation(op string) string {
	switch op {
	case "dial", "read", "write":
		return op + " failed"
	case "proxyconnect":
		return "the proxy did not let the connection through"
	}
	return "connection failed"
}

// certificate says why a server's certificate was not accepted; cause is nil if
// err is something else.
func certificate(err error) (reason string, cause error) {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "unknown authority; behind an inspecting proxy its root must be trusted", e
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host", e
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "it is not valid, or not now", e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "verification failed", e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS", tls.RecordHeaderError{Msg: e.Msg, RecordHeader: e.RecordHeader} // without the connection
	}
	return "", nil
}
