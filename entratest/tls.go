// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/apponly/apponly/cloud"
)

// StartTLS makes the emulator listen on a free port of 127.0.0.1, for clients
// that insist on a socket or run in another process. It returns the authority,
// "https://127.0.0.1:port", which is what [Server.Cloud] is from then on, and a
// pool with the CA that its certificate is from. The certificate also holds for
// localhost. A second call returns the same. Sockets do not work in a
// testing/synctest bubble; use [Server.HTTPClient] there.
func (s *Server) StartTLS() (authority string, ca *x509.CertPool) {
	s.tlsMu.Lock()
	defer s.tlsMu.Unlock()
	pool := x509.NewCertPool()
	pool.AddCert(s.ca().cert)
	if s.tlsClosed {
		s.fail("StartTLS after Close")
		return "", pool
	}
	if s.listener == nil {
		l, err := listenTLS("127.0.0.1:0", s.ca(), s)
		if err != nil {
			s.fail("StartTLS: %v", err)
			return "", pool
		}
		s.listener = l
		s.mu.Lock()
		s.cloud = cloud.Custom(l.authority)
		s.mu.Unlock()
	}
	return s.listener.authority, pool
}

// CAPEM returns the certificate of the CA that [Server.StartTLS] uses, for a
// client that reads its roots from a file. It may be called before that.
func (s *Server) CAPEM() []byte { return certPEM(s.ca().cert) }

func (s *Server) stopTLS() {
	s.tlsMu.Lock()
	defer s.tlsMu.Unlock()
	s.tlsClosed = true
	if s.listener != nil {
		s.listener.close()
	}
}

// authority is a certificate authority. Its keys are of an elliptic curve and
// so made at once, without the pool; only credentials have to be RSA.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority() *authority {
	key := newECKey()
	now := time.Now()
	return &authority{key, makeCertificate(certSpec{
		name:      "entratest CA",
		notBefore: now.Add(-time.Hour),
		notAfter:  now.AddDate(10, 0, 0),
		isCA:      true,
		usage:     x509.KeyUsageCertSign,
	}, &key.PublicKey, nil, key)}
}

func (a *authority) serverCertificate() tls.Certificate {
	key := newECKey()
	now := time.Now()
	leaf := makeCertificate(certSpec{
		name:      "entratest server",
		notBefore: now.Add(-time.Hour),
		notAfter:  now.AddDate(1, 0, 0),
		usage:     x509.KeyUsageDigitalSignature,
		extUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		hosts:     []string{"localhost"},
		ips:       []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, &key.PublicKey, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newECKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil { // the random source does not fail
		panic(err)
	}
	return key
}

// tlsListener is a running server.
type tlsListener struct {
	authority string
	server    *http.Server
	done      chan struct{} // closed when Serve has returned
}

func listenTLS(addr string, ca *authority, h http.Handler) (*tlsListener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &tlsListener{
		authority: "https://" + ln.Addr().String(),
		server: &http.Server{
			Handler:           h,
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{ca.serverCertificate()}},
			ReadHeaderTimeout: 10 * time.Second,
			// A client that does not trust the CA is a test, not an event.
			ErrorLog: log.New(io.Discard, "", 0),
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(l.done)
		_ = l.server.ServeTLS(ln, "", "") // always an error: that it was closed
	}()
	return l, nil
}

// close is called with the server's tlsMu held, more than once.
func (l *tlsListener) close() {
	_ = l.server.Close()
	<-l.done
}
