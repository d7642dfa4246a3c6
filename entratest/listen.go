// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/cloud"
)

var errClosed = errors.New("the emulator is closed")

// StartTLS makes the emulator listen on a free port of 127.0.0.1, for clients
// that insist on a socket or run in another process. It returns the authority,
// "https://127.0.0.1:port", which is what [Server.Cloud] is from then on, and a
// pool with the CA that its certificate is from. The certificate also holds for
// localhost. A second call returns the same. It fails the way [New] says if there
// is no port to be had or the emulator is closed. Sockets do not work in a
// testing/synctest bubble; use [Server.HTTPClient] there.
func (s *Server) StartTLS() (authority string, ca *x509.CertPool) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	pool := x509.NewCertPool()
	pool.AddCert(s.ca().cert)
	if s.secure == nil || s.closed {
		if err := s.listenTLS("127.0.0.1:0"); err != nil {
			s.fail("StartTLS: %v", err)
			return "", pool
		}
	}
	return s.secure.base, pool
}

// ListenTLS is [Server.StartTLS] at an address of one's choice, as net.Listen
// takes it. The authority has the host of addr, for which the certificate then
// also holds; if that is empty or unspecified the authority has 127.0.0.1. It
// is an error if the emulator listens already, or is closed. [Server.CAPEM]
// has the CA.
func (s *Server) ListenTLS(addr string) (authority string, err error) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.secure != nil && !s.closed {
		return "", fmt.Errorf("entratest: already listening at %s", s.secure.base)
	}
	if err := s.listenTLS(addr); err != nil {
		return "", fmt.Errorf("entratest: %w", err)
	}
	return s.secure.base, nil
}

// listenTLS is called with listenMu held.
func (s *Server) listenTLS(addr string) error {
	if s.closed {
		return errClosed
	}
	ln, host, err := listen(addr)
	if err != nil {
		return err
	}
	certificate := s.ca().serverCertificate(hostname(host))
	s.secure = newListener("https://"+host, s)
	s.secure.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.secure.run(func(server *http.Server) error { return server.ServeTLS(ln, "", "") })
	s.update(func() { s.cloud = cloud.Custom(s.secure.base) })
	return nil
}

// StartHTTP makes the emulator listen for plain http on a free port of
// 127.0.0.1 and returns "http://127.0.0.1:port". Nothing is served there but
// what is plain http on real machines, too: metadata services. A second call
// returns the same. It fails as [Server.StartTLS] does.
func (s *Server) StartHTTP() (base string) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.plain == nil || s.closed {
		if err := s.listenHTTP("127.0.0.1:0"); err != nil {
			s.fail("StartHTTP: %v", err)
			return ""
		}
	}
	return s.plain.base
}

// ListenHTTP is [Server.StartHTTP] at an address of one's choice, for clients to which
// only a port can be told, or nothing at all: a machine whose loopback interface has the
// address 169.254.169.254 takes "169.254.169.254:80". It is an error if the emulator
// listens for plain http already, or is closed.
func (s *Server) ListenHTTP(addr string) (base string, err error) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.plain != nil && !s.closed {
		return "", fmt.Errorf("entratest: already listening at %s", s.plain.base)
	}
	if err := s.listenHTTP(addr); err != nil {
		return "", prefixed(err)
	}
	return s.plain.base, nil
}

// listenHTTP is called with listenMu held.
func (s *Server) listenHTTP(addr string) error {
	if s.closed {
		return errClosed
	}
	ln, host, err := listen(addr)
	if err != nil {
		return err
	}
	s.plain = newListener("http://"+host, http.HandlerFunc(s.servePlain))
	s.plain.run(func(server *http.Server) error { return server.Serve(ln) })
	s.update(func() { s.plainBase = s.plain.base })
	return nil
}

// ListenAPI listens at an address as [Server.ListenTLS] does, with a certificate from the same
// CA, and serves what clients use their tokens for, such as an API behind
// [Resource.Protect]. It returns "https://host:port". [Server.Close] ends it.
func (s *Server) ListenAPI(addr string, h http.Handler) (base string, err error) {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.closed {
		return "", prefixed(errClosed)
	}
	ln, host, err := listen(addr)
	if err != nil {
		return "", prefixed(err)
	}
	l := newListener("https://"+host, h)
	l.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{s.ca().serverCertificate(hostname(host))}}
	l.run(func(server *http.Server) error { return server.ServeTLS(ln, "", "") })
	s.others = append(s.others, l)
	return l.base, nil
}

// Close stops what [Server.StartTLS] and its siblings started, cuts off what
// faults hold, and returns when its connections are gone; a handler may run on
// for a moment. It may be called more than once; [Server.HTTPClient] goes on
// answering.
func (s *Server) Close() {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.closing)
	for _, l := range append(s.others, s.secure, s.plain) {
		if l != nil {
			l.close()
		}
	}
}

// listen opens a socket, and returns the host and port to reach it by.
func listen(addr string) (net.Listener, string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, "", err
	}
	host := hostname(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String()) // of a TCP address it cannot fail
	return ln, canonicalHost(net.JoinHostPort(host, port)), nil
}

// hostname cuts the port off, and the brackets around an IPv6 address.
func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// plainHosts are answered from memory over plain http: the metadata services of
// cloud machines.
var plainHosts = []string{"169.254.169.254", "metadata.google.internal"}

// reach returns what answers a request of [Server.HTTPClient]. It fails as a network
// would if that is nothing.
func (s *Server) reach(req *http.Request) (http.Handler, error) {
	secure, plain := s.bases()
	switch base := req.URL.Scheme + "://" + canonicalHost(req.URL.Host); {
	case base == secure, s.regionOf(base) != "":
		return s, nil
	case base == plain, req.URL.Scheme == "http" && slices.Contains(plainHosts, strings.TrimSuffix(strings.ToLower(req.URL.Host), ":80")):
		return http.HandlerFunc(s.servePlain), nil
	}
	cause := error(&net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true})
	if canonicalHost(req.URL.Host) == canonicalHost(secure[len("https://"):]) {
		cause = errors.New("connection refused: the emulator is reached over https")
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: cause}
}

// bases returns where the emulator is, over https and over plain http.
func (s *Server) bases() (secure, plain string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cloud.Authority(), s.plainBase
}

// listener is a running server.
type listener struct {
	base   string // scheme, host and port
	server *http.Server
	conns  sync.WaitGroup // one for each connection
	done   chan struct{}  // closed when Serve has returned
}

func newListener(base string, h http.Handler) *listener {
	l := &listener{base: base, done: make(chan struct{})}
	l.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		// It would be told of every client that does not trust the CA.
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				l.conns.Add(1)
			case http.StateHijacked, http.StateClosed:
				l.conns.Done()
			}
		},
	}
	return l
}

func (l *listener) run(serve func(*http.Server) error) {
	go func() {
		defer close(l.done)
		_ = serve(l.server) // always an error: that it was closed
	}()
}

// close returns when all connections are gone. It closes the server twice, because
// the server knows of a connection that was accepted meanwhile only once Serve has
// returned.
func (l *listener) close() {
	_ = l.server.Close()
	<-l.done
	_ = l.server.Close()
	l.conns.Wait()
}
