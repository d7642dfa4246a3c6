// SPDX-License-Identifier: MIT

package entratest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// ProxyOptions are for [Server.ListenProxy].
type ProxyOptions struct {
	// Hosts are further names that the emulator stands in for, without a port, such as
	// "graph.microsoft.com": what it has no endpoint for is then its 404.
	Hosts []string
	// PassThrough lets everything else through to where it says, and not through another
	// proxy. Metadata services and other link-local addresses are never asked.
	PassThrough bool
}

// The bounds of a proxy.
const (
	maxProxied     = 1024 // connections
	proxyDial      = 10 * time.Second
	proxyIdle      = 2 * time.Minute
	endpointProxy  = "proxy"
	proxyConnected = "HTTP/1.1 200 Connection established\r\n\r\n"
)

// StartProxy makes the emulator listen on a free port of 127.0.0.1 as an HTTP proxy for
// programs that know of no emulator. They get two things from outside, the proxy
// (HTTPS_PROXY and HTTP_PROXY) and a root to trust (SSL_CERT_FILE and others; ca or
// [Server.CAPEM]), and then use Entra by the names they always do: the proxy answers
// itself, with certificates made for the name that is asked for, for the hosts of the clouds of
// package cloud, regional ones included, and for those of Azure Resource Manager; over plain
// http for 169.254.169.254 and metadata.google.internal, where the machine identities
// are ([Tenant.NewManagedIdentity], [Server.NewGoogleVM]). Everything else is refused with 403
// and a line that names the host, which is among [Server.Requests] too, with the method
// CONNECT. Nothing is ever sent anywhere else.
//
// It returns "http://127.0.0.1:port" and a pool with the root. A second call starts another
// proxy. It fails as [Server.StartTLS] does.
func (s *Server) StartProxy() (url string, ca *x509.CertPool) {
	ca = x509.NewCertPool()
	ca.AddCert(s.ca().cert)
	url, err := s.listenProxy("127.0.0.1:0", ProxyOptions{})
	if err != nil {
		s.fail("StartProxy: %v", err)
	}
	return url, ca
}

// ListenProxy is [Server.StartProxy] at an address of one's choice, as net.Listen takes
// it, and with options. The URL has the host of addr; if that is empty or unspecified
// it has 127.0.0.1. Whoever reaches the proxy reaches the emulator by its own name, too,
// and what it serves there: see [Server.SetAdmin].
func (s *Server) ListenProxy(addr string, opts ProxyOptions) (url string, err error) {
	url, err = s.listenProxy(addr, opts)
	return url, prefixed(err)
}

// proxy is a running proxy.
type proxy struct {
	s       *Server
	rules   proxyRules
	certs   *hostCertificates
	secure  *tunnels // to the token service
	plain   *tunnels // to metadata services
	dialer  net.Dialer
	forward *httputil.ReverseProxy
	ctx     context.Context // ends when the server is closed
}

func (s *Server) listenProxy(addr string, opts ProxyOptions) (string, error) {
	var hosts []string
	for _, host := range opts.Hosts {
		if !ident.IsDomain(host) {
			return "", fmt.Errorf("%q is not the name of a host", host)
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.closed {
		return "", errClosed
	}
	ln, host, err := listen(addr)
	if err != nil {
		return "", err
	}
	ctx, closed := context.WithCancel(context.Background())
	p := &proxy{
		s: s, rules: proxyRules{hosts: hosts, passThrough: opts.PassThrough}, certs: newHostCertificates(s.ca),
		secure: newTunnels(ln.Addr()), plain: newTunnels(ln.Addr()),
		dialer: net.Dialer{Timeout: proxyDial, Control: refuseMetadata}, ctx: ctx,
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite:      asItIs,
		Transport:    &http.Transport{DialContext: p.dialer.DialContext, DisableKeepAlives: true, ResponseHeaderTimeout: proxyIdle},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) { p.fail(w, r.URL.Host) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}

	inside := newListener("", http.HandlerFunc(p.serveTunnel))
	inside.server.TLSConfig = &tls.Config{GetCertificate: p.certificate}
	inside.server.ConnContext = withTunnel
	metadata := newListener("", http.HandlerFunc(s.servePlain))
	outside := newListener("http://"+host, p)
	for _, l := range []*listener{inside, metadata, outside} {
		l.server.IdleTimeout = proxyIdle
	}
	inside.run(func(server *http.Server) error { return server.ServeTLS(p.secure, "", "") })
	metadata.run(func(server *http.Server) error { return server.Serve(p.plain) })
	outside.run(func(server *http.Server) error { defer closed(); return server.Serve(limitListener(ln, maxProxied)) })
	s.others = append(s.others, outside, inside, metadata)
	return outside.base, nil
}

// ServeHTTP answers what clients send to the proxy itself.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	port := "80"
	if r.Method == http.MethodConnect {
		port = "443"
	} else if r.URL.Host == "" {
		http.Error(w, "this is the proxy of an emulated Entra: name it in HTTPS_PROXY and HTTP_PROXY", badRequest)
		return
	}
	host := r.URL.Hostname()
	if given := r.URL.Port(); given != "" {
		port = given
	}
	rules := p.rules
	rules.secure, rules.plain = p.s.listening()
	switch route := rules.route(host, port); {
	case route == proxyRefuses, r.Method != http.MethodConnect && (route == proxyEntra || r.URL.Scheme != "http"):
		p.refuse(w, r, net.JoinHostPort(host, port))
	case r.Method == http.MethodConnect:
		p.connect(w, r, route, net.JoinHostPort(host, port))
	case route == proxyMetadata:
		p.s.servePlain(w, r)
	default:
		// A WebSocket would outlive the server that it has come to.
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)()
		p.forward.ServeHTTP(w, r.WithContext(ctx))
	}
}

// listening returns where the emulator listens for https and http, host and port.
func (s *Server) listening() (secure, plain string) {
	secure, plain = s.bases()
	return strings.TrimPrefix(secure, "https://"), strings.TrimPrefix(plain, "http://")
}

// refuse names the host, for whoever has to find out what a client wants besides.
func (p *proxy) refuse(w http.ResponseWriter, r *http.Request, addr string) {
	p.s.requests.add(Request{
		Time: p.s.Now(), Method: r.Method, Host: addr, Status: http.StatusForbidden,
		Comparisons: []Comparison{{What: "request", Sent: "the proxy does not stand in for this host and lets nothing through to it"}},
	}, endpointProxy, "")
	text := "the proxy of the emulated Entra does not stand in for " + shorten(addr, maxRecorded) + " and lets nothing through to it"
	if r.Method != http.MethodConnect {
		http.Error(w, text, http.StatusForbidden)
		return
	}
	// Of the answer to a CONNECT, clients show the words in the first line, if anything.
	t, err := openTunnel(w, addr)
	if err != nil {
		return
	}
	defer t.Close()
	_ = t.SetDeadline(time.Now().Add(proxyDial))
	_, _ = fmt.Fprintf(t, "HTTP/1.1 403 Forbidden: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n", text, textType, len(text)+1, text)
}

func (p *proxy) fail(w http.ResponseWriter, addr string) {
	http.Error(w, "the proxy of the emulated Entra cannot reach "+shorten(addr, maxRecorded), http.StatusBadGateway)
}

// connect answers a CONNECT.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request, route proxyRoute, addr string) {
	var there net.Conn
	if route == proxyPasses {
		var err error
		if there, err = p.dialer.DialContext(r.Context(), "tcp", addr); err != nil {
			p.fail(w, addr)
			return
		}
		defer there.Close()
	}
	t, err := openTunnel(w, tunnelHost(addr))
	if err != nil { // HTTP/2, which is not offered
		return
	}
	_ = t.SetDeadline(time.Now().Add(proxyDial))
	if _, err := io.WriteString(t, proxyConnected); err != nil {
		t.Close()
		return
	}
	_ = t.SetDeadline(time.Time{})
	switch route {
	case proxyEntra:
		p.secure.give(t)
	case proxyMetadata:
		p.plain.give(t)
	default:
		p.pass(t, there)
	}
}

// pass copies in both directions until one side is done or both are silent for too long.
func (p *proxy) pass(here, there net.Conn) {
	end := func() { here.Close(); there.Close() }
	defer end()
	defer context.AfterFunc(p.ctx, end)()
	quiet := time.AfterFunc(proxyIdle, end)
	defer quiet.Stop()
	var both sync.WaitGroup
	for _, c := range [][2]net.Conn{{here, there}, {there, here}} {
		both.Go(func() {
			defer end()
			_, _ = io.Copy(c[0], readerFunc(func(b []byte) (int, error) {
				quiet.Reset(proxyIdle)
				return c[1].Read(b)
			}))
		})
	}
	both.Wait()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// certificate is for the host that the client has asked the proxy for. A client that
// wants another one inside of the tunnel is told by TLS that the name is not recognized.
func (p *proxy) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t, ok := hello.Conn.(*tunnel)
	if !ok || hello.ServerName != "" && !strings.EqualFold(hello.ServerName, hostname(t.host)) {
		return nil, nil
	}
	return p.certs.get(hostname(t.host)), nil
}

// serveTunnel answers what comes out of a tunnel. The host that is named there must be
// that of the tunnel: the answers depend on it, and a client that mixes them up at the
// real Entra is told so too.
func (p *proxy) serveTunnel(w http.ResponseWriter, r *http.Request) {
	host, _ := r.Context().Value(tunnelKey{}).(string)
	if tunnelHost(r.Host) != host {
		http.Error(w, "the Host is not that of the connection, "+host, http.StatusMisdirectedRequest)
		return
	}
	r.Host = host
	p.s.ServeHTTP(w, r)
}

// asItIs undoes what is right for a gateway in front of a service, and not here.
func asItIs(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// tunnelHost also cuts off the dot that says that a name is a full one: it is in no
// certificate and no authority.
func tunnelHost(addr string) string { return strings.TrimSuffix(canonicalHost(addr), ".") }

// refuseMetadata looks at what a name has resolved to, before it is dialled.
func refuseMetadata(_, address string, _ syscall.RawConn) error {
	if isMetadata(hostname(address)) {
		return errors.New("a metadata service is not asked")
	}
	return nil
}
