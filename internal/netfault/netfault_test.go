// SPDX-License-Identifier: MIT

package netfault_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/netfault"
)

type localFault struct{ error }

func (localFault) Is(target error) bool { return target == netfault.ErrLocal }

// A user's error may have a method of any name.
type permanentFault struct{ error }

func (permanentFault) Permanent() bool { return true }

// A secret in an error of somebody's RoundTripper is neither in the text nor
// reachable.
type holdsRequest struct{ secret string }

func (e *holdsRequest) Error() string { return "sent " + e.secret }

func TestDescribe(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40123}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: err} }
	for _, tc := range []struct {
		err       error
		reason    string
		cause     error // errors.Is
		permanent bool
	}{
		{context.DeadlineExceeded, "no answer in time", context.DeadlineExceeded, false},
		{flight.TimeoutError("no answer within 10 seconds"), "no answer in time", context.DeadlineExceeded, false},
		{os.ErrDeadlineExceeded, "no answer in time", context.DeadlineExceeded, false},
		{context.Canceled, "canceled", context.Canceled, false},
		{dial(&net.DNSError{Err: "no such host", Name: "x", Server: "127.0.0.1:53", IsNotFound: true}), "host name not found", nil, true},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}), "host name lookup failed", nil, false},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused", syscall.ECONNREFUSED, false},
		{dial(errors.New("at 127.0.0.1:40123")), "dial failed", nil, false},
		{dial(os.ErrDeadlineExceeded), "no answer in time: no connection was made", context.DeadlineExceeded, false},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}), "host name lookup failed: no answer in time", context.DeadlineExceeded, false},
		{dial(&net.DNSError{Err: "operation was canceled", Name: "x", UnwrapErr: context.Canceled}), "canceled", context.Canceled, false},
		{&net.OpError{Op: "proxyconnect", Err: dial(os.ErrDeadlineExceeded)}, "the proxy cannot be reached: no answer in time: no connection was made", context.DeadlineExceeded, false},
		{fmt.Errorf("at https://x/chunk: %w", &holdsRequest{"s3cret"}), "transport failed (*netfault_test.holdsRequest)", nil, false},
		{&net.OpError{Op: "proxyconnect", Err: errors.New("407")}, "the proxy did not let the connection through", nil, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(80)}, "TLS: the server ended the handshake: internal error", nil, false},
		{tls.AlertError(40), "TLS: the server ended the handshake: handshake failure", nil, true},
		{io.EOF, "connection closed", io.ErrUnexpectedEOF, false},
		{net.ErrClosed, "connection closed", io.ErrUnexpectedEOF, false},
		{x509.UnknownAuthorityError{}, "TLS: the server's certificate was not accepted: unknown authority; behind an inspecting proxy its root must be trusted", nil, true},
		{&tls.CertificateVerificationError{Err: errors.New("x")}, "TLS: the server's certificate was not accepted: verification failed", nil, true},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "TLS: what answers does not speak TLS", nil, true},
		{&holdsRequest{"s3cret"}, "transport failed (*netfault_test.holdsRequest)", nil, false},
		{fmt.Errorf("wrapped: %w", &holdsRequest{"s3cret"}), "transport failed (*netfault_test.holdsRequest)", nil, false},
		{localFault{errors.New("of this machine")}, "transport failed (netfault_test.localFault)", nil, true},
		{permanentFault{errors.New("somebody's")}, "transport failed (netfault_test.permanentFault)", nil, false},
	} {
		for _, err := range []error{tc.err, &url.Error{Op: "Post", URL: "https://x/", Err: tc.err}} {
			reason, cause := netfault.Describe(err)
			if reason != tc.reason {
				t.Errorf("%v: %q, want %q", err, reason, tc.reason)
			}
			if tc.cause != nil && !errors.Is(cause, tc.cause) {
				t.Errorf("%v: cause %v, want %v", err, cause, tc.cause)
			}
			if held, ok := errors.AsType[*holdsRequest](cause); ok {
				t.Errorf("%v: the cause reaches %v", err, held)
			}
			if got := netfault.Permanent(err); got != tc.permanent {
				t.Errorf("%v: permanent %v", err, got)
			}
		}
	}
}
