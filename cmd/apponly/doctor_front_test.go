// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
)

// A front is what listens in the emulator's place, with a certificate and a
// behaviour that can be changed.
type front struct {
	listener net.Listener
	host     string
	roots    *issuer
	tls      atomic.Pointer[tls.Config]
	conn     atomic.Pointer[func(net.Conn) bool] // takes a connection away
	handler  atomic.Pointer[http.HandlerFunc]
}

func (f *front) addr() string { return f.listener.Addr().String() }

// Accept hands connections on that nothing else is done with.
func (f *front) Accept() (net.Conn, error) {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return nil, err
		}
		if take := f.conn.Load(); take == nil || !(*take)(conn) {
			return conn, nil
		}
	}
}

func (f *front) Close() error   { return f.listener.Close() }
func (f *front) Addr() net.Addr { return f.listener.Addr() }

// open starts a front for a host, with roots of its own, and leads the environment
// there.
func (c *clinic) open(host, authority string) {
	c.Helper()
	f := &front{listener: listen(c.T), host: host, roots: newIssuer(c.T, "Front Root")}
	c.front = f
	if authority == "" {
		authority = "https://" + f.addr()
	}
	c.sts.SetCloud(cloud.Custom(authority))
	f.show(f.roots.issue(c.T, nil))
	answer := http.HandlerFunc(c.sts.ServeHTTP)
	f.handler.Store(&answer)
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*f.handler.Load())(w, r) }),
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.tls.Load(), nil }},
	}
	go server.ServeTLS(f, "", "")
	c.Cleanup(func() { server.Close() })
	c.set("AZURE_AUTHORITY_HOST", authority)
	c.set("APPONLY_CA_FILE", c.write("front.pem", f.roots.pem()))
}

// show has the front show a certificate.
func (f *front) show(cert tls.Certificate) {
	f.tls.Store(&tls.Config{Certificates: []tls.Certificate{cert}})
}

// take has do have all connections.
func (f *front) take(do func(net.Conn)) {
	taken := func(conn net.Conn) bool { go do(conn); return true }
	f.conn.Store(&taken)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// An issuer is a private authority of certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string) *issuer {
	t.Helper()
	i := &issuer{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Example Corp"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	i.cert, _ = x509.ParseCertificate(sign(t, template, template, &i.key.PublicKey, i.key))
	return i
}

func (i *issuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// issue makes a certificate for the hosts of the tests, after change has changed it.
func (i *issuer) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "front"},
		DNSNames: []string{"login.apponly.invalid"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, template, i.cert, &key.PublicKey, i.key)}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A proxy lets all connections through to one address, whatever they are for, until
// it is told to do something else.
type proxy struct {
	listener net.Listener
	to       atomic.Pointer[string]
	answer   atomic.Pointer[string] // in place of a connection
	take     atomic.Pointer[func(net.Conn)]
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func newProxy(t *testing.T, to string) *proxy { return newProxyAt(listen(t), to) }

// newProxyAt has it speak what l does, as TLS.
func newProxyAt(l net.Listener, to string) *proxy {
	p := &proxy{listener: l}
	p.to.Store(&to)
	go func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			if take := p.take.Load(); take != nil {
				go (*take)(conn)
				continue
			}
			go p.serve(conn)
		}
	}()
	return p
}

// refuse has it answer with a status.
func (p *proxy) refuse(status string) {
	text := "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	p.answer.Store(&text)
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	if first, err := r.Peek(1); err == nil && first[0] == socks5 {
		p.serveSOCKS(conn, r)
		return
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if text := p.answer.Load(); text != nil {
		io.WriteString(conn, *text)
		return
	}
	if req.Method != http.MethodConnect || !strings.HasPrefix(req.Header.Get("Proxy-Authorization"), "Basic ") {
		io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.join(conn, r, "HTTP/1.1 200 OK\r\n\r\n")
}

const socks5 = 5

// serveSOCKS speaks the part of RFC 1928 that a client without a password does.
func (p *proxy) serveSOCKS(conn net.Conn, r *bufio.Reader) {
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil { // one method: none
		return
	}
	io.WriteString(conn, "\x05\x00")
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	if _, err := io.ReadFull(r, make([]byte, int(head[4])+2)); err != nil { // a name and a port
		return
	}
	if p.answer.Load() != nil {
		io.WriteString(conn, "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00") // not allowed by ruleset
		return
	}
	p.join(conn, r, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
}

// join connects a client to where all connections go, and tells it so.
func (p *proxy) join(conn net.Conn, r io.Reader, told string) {
	far, err := net.Dial("tcp", *p.to.Load())
	if err != nil {
		return
	}
	defer far.Close()
	io.WriteString(conn, told)
	go func() {
		io.Copy(far, r)
		far.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(conn, far)
}

// reset ends a connection as a firewall does that has seen what it is for.
func reset(conn net.Conn) {
	conn.Read(make([]byte, 1))
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// hang keeps a connection, and says nothing, until the other side leaves.
func hang(conn net.Conn) {
	io.Copy(io.Discard, conn)
	conn.Close()
}
