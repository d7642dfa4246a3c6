// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// An ownTransport is one made here, whose idle connections are ours to close.
type ownTransport interface {
	http.RoundTripper
	CloseIdleConnections()
	own()
}

type tokenTransport struct{ *http.Transport }

func (tokenTransport) own() {}

// newTokenTransport returns a transport for token requests that trusts roots,
// or the system's if nil.
func newTokenTransport(roots *x509.CertPool) tokenTransport {
	return tokenTransport{&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A dead HTTP/2 connection is found before the attempt times out.
		// Without pings it stays in the pool for as long as the kernel takes to
		// give up on it, a quarter of an hour, and swallows every request.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}}
}

// defaultHTTPClient is the one client of the process for token requests.
var defaultHTTPClient = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: newTokenTransport(nil)}
})

// unreachable makes the error of a request that brought no answer. Of the
// causes only those of known types stay reachable: the error of somebody's
// RoundTripper may hold the request. Its text names no addresses or ports,
// which differ between two failures of the same kind.
func unreachable(err error) *Error {
	e := &Error{Kind: ErrUnreachable}
	var dns *net.DNSError
	var guarded *guardError
	var local *localError
	switch {
	case errors.As(err, &local):
		e.reason, e.cause = local.Error(), local
	case errors.Is(err, errAttempt), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errFlightTimeout):
		e.reason, e.cause = "no answer in time", context.DeadlineExceeded
	case errors.As(err, &guarded):
		e.reason, e.cause = guarded.Error(), guarded
	case errors.Is(err, context.Canceled):
		e.reason, e.cause = "canceled", context.Canceled
	case errors.As(err, &dns) && dns.IsNotFound:
		e.reason, e.cause = "host name not found", &net.DNSError{Err: "no such host", Name: dns.Name, IsNotFound: true}
	case errors.As(err, &dns):
		e.reason, e.cause = "host name lookup failed", &net.DNSError{Err: "lookup failed", Name: dns.Name, IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary}
	case isCertificateError(err):
		e.reason, e.cause = "TLS: the server's certificate was not accepted: "+certificateReason(err), certificateCause(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		e.reason, e.cause = "connection closed", io.ErrUnexpectedEOF
	default:
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			e.reason, e.cause = errno.Error(), errno
		} else if op, ok := errors.AsType[*net.OpError](err); ok {
			e.reason, e.cause = opReason(op), &net.OpError{Op: op.Op, Net: op.Net, Addr: op.Addr, Err: errTransport}
		} else if alert, ok := errors.AsType[tls.AlertError](err); ok {
			e.reason, e.cause = alert.Error(), alert
		} else {
			for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
				err = inner
			}
			e.reason = fmt.Sprintf("transport failed (%T)", err)
		}
	}
	return e
}

// errTransport stands for a cause whose text could be anybody's.
var errTransport = errors.New("transport failed")

func opReason(op *net.OpError) string {
	switch op.Op {
	case "dial", "read", "write":
		return op.Op + " failed"
	case "proxyconnect":
		return "the proxy did not let the connection through"
	}
	return "connection failed"
}

// unavailable makes the error of a credential that could not be produced.
func unavailable(err error) *Error {
	e := &Error{Kind: ErrCredentialUnavailable, cause: err, reason: err.Error()}
	if local, ok := errors.AsType[*localError](err); ok {
		e.detail = local.detail
	}
	return e
}

// worthRetry reports whether another attempt may help after err.
func worthRetry(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return false
	}
	if _, ok := errors.AsType[*localError](err); ok {
		return false // of this machine: it will not pass within the flight
	}
	return !isCertificateError(err) && !errors.Is(err, errTooLarge) && !errors.Is(err, errStray)
}

func isCertificateError(err error) bool { return certificateCause(err) != nil }

func certificateCause(err error) error {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return tls.RecordHeaderError{Msg: e.Msg, RecordHeader: e.RecordHeader} // without the connection
	}
	return nil
}

func certificateReason(err error) string {
	switch certificateCause(err).(type) {
	case x509.UnknownAuthorityError:
		return "unknown authority; behind an inspecting proxy its root must be trusted"
	case x509.HostnameError:
		return "it is for another host"
	case x509.CertificateInvalidError:
		return "it is not valid, or not now"
	case tls.RecordHeaderError:
		return "the server does not speak TLS"
	}
	return "verification failed"
}
