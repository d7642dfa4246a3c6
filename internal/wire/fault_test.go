// SPDX-License-Identifier: MIT

package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

// listen serves each connection by f and counts them.
func listen(t *testing.T, f func(net.Conn)) (addr string, n *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	n = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return l.Addr().String(), n
}

// says answers whatever comes first.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Read(make([]byte, 4<<10))
		io.WriteString(conn, text)
	}
}

// speaks serves TLS.
func speaks(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.Handshake() == nil {
			says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(server)
		}
	}
}

// issue makes a certificate for 127.0.0.1 that is its own root.
func issue(t *testing.T, change func(*x509.Certificate), alter func(der []byte) []byte) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x7fabcdef), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{alter(der)}, PrivateKey: key}
}

// What stands in the way is named, in the same words each time, and what cannot
// pass is not tried again.
func TestFaultsByName(t *testing.T) {
	asItIs := func(der []byte) []byte { return der }
	good := issue(t, func(*x509.Certificate) {}, asItIs)
	with := func(change func(*x509.Certificate), alter func([]byte) []byte) func(net.Conn) {
		return speaks(&tls.Config{Certificates: []tls.Certificate{issue(t, change, alter)}})
	}
	replace := func(old, by string) func([]byte) []byte {
		return func(der []byte) []byte { return bytes.Replace(der, []byte(old), []byte(by), 1) }
	}
	nothing := func(*x509.Certificate) {}
	answers := func(text string) func(net.Conn) { return func(c net.Conn) { tlsSays(c, good, text) } }
	const badChunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n"
	const gzipped = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
	for name, tc := range map[string]struct {
		server    func(net.Conn)
		proxy     func(net.Conn) // stands in between
		text      string
		permanent bool
		is        error // nil: any
	}{
		"a proxy that wants a log-in":    {nil, says("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"), "the proxy refused the connection: 407 Proxy Authentication Required", true, netfault.ProxyStatus(407)},
		"one with words of its own":      {nil, says("HTTP/1.1 407 authenticationrequired\r\n\r\n"), "the proxy refused the connection: 407 Proxy Authentication Required", false, nil},
		"one with more words":            {nil, says("HTTP/1.1 407 Proxy Authentication Required ( Forefront TMG )\r\n\r\n"), "the proxy refused the connection: 407 Proxy Authentication Required", true, netfault.ProxyStatus(407)},
		"a proxy that forbids":           {nil, says("HTTP/1.1 403 Forbidden\r\n\r\n"), "the proxy refused the connection: 403 Forbidden", true, nil},
		"a web server":                   {nil, says("HTTP/1.1 405 Method Not Allowed\r\n\r\n"), "the proxy refused the connection: 405 Method Not Allowed", true, nil},
		"a proxy that cannot":            {nil, says("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "the proxy refused the connection: 503 Service Unavailable", false, nil},
		"a proxy that gave up":           {nil, says("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), "the proxy refused the connection: 504 Gateway Timeout", false, nil},
		"a proxy of another kind":        {nil, says("SSH-2.0-OpenSSH_9.6\r\n\r\n"), "what came back is not HTTP", true, nil},
		"a proxy that hangs up":          {nil, says(""), "connection closed", false, io.ErrUnexpectedEOF},
		"plain http":                     {says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), nil, "TLS: the server speaks plain http on this port, not https", true, http.ErrSchemeMismatch},
		"no TLS at all":                  {says("220 mail.test ESMTP\r\n"), nil, "TLS: what answers does not speak TLS", true, nil},
		"garbage over TLS":               {answers("garbage\r\n\r\n"), nil, "what came back is not HTTP", true, nil},
		"garbage for a length":           {answers("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), nil, "what came back is not HTTP", true, nil},
		"two lengths":                    {answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), nil, "what came back is not HTTP", true, nil},
		"an unknown transfer coding":     {answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n"), nil, "what came back is not HTTP", true, nil},
		"a chunk that is none":           {answers(badChunk), nil, "what came back is not HTTP", false, nil},
		"a chunk that is none, by proxy": {nil, func(c net.Conn) { says("HTTP/1.1 200 OK\r\n\r\n")(c); answers(badChunk)(c) }, "what came back is not HTTP", false, nil},
		"not gzip":                       {answers(gzipped + "plain text, not gzip"), nil, "the answer cannot be decompressed", false, nil},
		"gzip that is damaged":           {answers(gzipped + "\x1f\x8b\b\x00\x00\x00\x00\x00\x00\x00damagedxyz"), nil, "the answer cannot be decompressed", false, nil},
		"a proxy that answers garbage":   {nil, says("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "what came back is not HTTP", true, nil},
		"an old version":                 {speaks(&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), nil, "TLS: the server ended the handshake: protocol version not supported", true, nil},
		"a client certificate is wanted": {speaks(&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}), nil, "TLS: the server ended the handshake: ", true, nil},
		"an unknown authority":           {speaks(&tls.Config{Certificates: []tls.Certificate{issue(t, func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"x"} }, asItIs)}}), nil, "TLS: the server's certificate was not accepted: it is for another host", true, nil},
		"it has expired":                 {with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, asItIs), nil, "it has expired, by the clock of this machine", true, nil},
		"it is not valid yet":            {with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, asItIs), nil, "it is not valid yet, by the clock of this machine", true, nil},
		"it is not for servers":          {with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, asItIs), nil, "it is not for servers", true, nil},
		"a negative serial number":       {with(nothing, replace("\x7f\xab\xcd\xef", "\x80\xab\xcd\xef")), nil, "its serial number is negative; GODEBUG=x509negativeserial=1", true, nil},
		"a version that does not exist":  {with(nothing, replace("\xa0\x03\x02\x01\x02", "\xa0\x03\x02\x01\x07")), nil, "TLS: the server's certificate cannot be read: invalid version", true, nil},
		"no certificate":                 {with(nothing, func([]byte) []byte { return []byte{0x30, 0} }), nil, "TLS: the server's certificate cannot be read: ", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			front := tc.server
			if tc.proxy != nil {
				front = tc.proxy
			}
			addr, n := listen(t, front)
			host := addr
			transport := wire.NewTransport(nil)
			if tc.proxy != nil {
				host = "login.test"
				transport.TLSClientConfig.InsecureSkipVerify = true // who is behind it does not matter
				transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: addr, User: url.UserPassword("user", "s3cret")})
			} else {
				transport.Proxy = nil
				transport.TLSClientConfig.RootCAs = rootsOf(t, addr)
			}
			stock := transport.Clone() // as users have it
			stock.OnProxyConnectResponse = nil
			n.Store(0)
			var texts []string
			for _, base := range []*http.Transport{transport, stock} {
				req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+host+"/token", strings.NewReader("grant"))
				if err != nil {
					t.Fatal(err)
				}
				again := always
				if !tc.permanent {
					again = nil
				}
				a := send(req, &http.Client{Transport: base}, again)
				base.CloseIdleConnections()
				reason, cause := netfault.Describe(a.Err)
				texts = append(texts, reason)
				if tc.is != nil && !errors.Is(cause, tc.is) {
					t.Errorf("cause %v, want %v", cause, tc.is)
				}
			}
			text := texts[0]
			wantHost := host
			if tc.proxy != nil {
				wantHost += " through the proxy " + addr
			}
			if !strings.HasPrefix(text, wantHost+": ") || !strings.Contains(text, tc.text) || strings.Contains(text, "s3cret") {
				t.Errorf("%q, want %s: … %s", text, wantHost, tc.text)
			}
			if want, _, own := strings.Cut(text, ": 407 "); texts[1] != text && (!own || tc.is != nil || texts[1] != want) {
				t.Errorf("by another transport %q, want %q", texts[1], text)
			}
			if got := n.Load(); got != 2 {
				t.Errorf("%d attempts of two requests", got)
			}
		})
	}
}

// A server that gives a stream of HTTP/2 up has closed a connection, as one of
// HTTP/1 has.
func TestFaultsOfHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := wire.NewTransport(nil)
	transport.Proxy = nil
	transport.TLSClientConfig.RootCAs = rootsOf(t, server.Listener.Addr().String())
	defer transport.CloseIdleConnections()
	for _, path := range []string{"/head", "/body"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, strings.NewReader("grant"))
		if err != nil {
			t.Fatal(err)
		}
		a := send(req, &http.Client{Transport: transport}, nil)
		reason, cause := netfault.Describe(a.Err)
		if !strings.HasSuffix(reason, ": connection closed") || !errors.Is(cause, io.ErrUnexpectedEOF) || netfault.Permanent(a.Err) {
			t.Errorf("%s: %q, cause %v, of %v", path, reason, cause, a.Err)
		}
	}
}

// tlsSays speaks TLS and then text.
func tlsSays(conn net.Conn, cert tls.Certificate, text string) {
	server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	if server.Handshake() == nil {
		says(text)(server)
	}
}

// rootsOf trusts whatever certificate is served at addr, if it can be read.
func rootsOf(t *testing.T, addr string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	config := &tls.Config{InsecureSkipVerify: true} // to look at it
	config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		cert, err := x509.ParseCertificate(raw[0])
		if err == nil {
			pool.AddCert(cert)
		}
		return err
	}
	tls.Client(conn, config).Handshake()
	return pool
}
