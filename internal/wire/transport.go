// SPDX-License-Identifier: MIT

package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/netfault"
)

// NewTransport returns a transport for requests that carry a credential. It
// trusts roots, or the system's if nil.
func NewTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        MaxUnderWay, // those that a request was spared count as well
		MaxIdleConnsPerHost:    MaxUnderWay,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// Without it net/http keeps the text of the status, and nothing else.
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return netfault.ProxyStatus(resp.StatusCode)
			}
			return nil
		},
		// A dead HTTP/2 connection is found before the attempt times out.
		// Without pings it stays in the pool for as long as the kernel takes to
		// give up on it, a quarter of an hour, and swallows every request.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}
}

// defaultClient is the one client of the process for token requests.
var defaultClient = sync.OnceValue(func() *http.Client { return NewClient(Route{}) })

// direct is the one transport of the process that knows no proxy.
var direct = sync.OnceValue(func() http.RoundTripper {
	t := NewTransport(nil)
	t.Proxy = nil
	return t
})

// Apart returns a client that sends as client does, or as the process's own if that is
// nil, and has turns of its own: for what token requests wait for.
func Apart(client *http.Client) *http.Client {
	if client == nil {
		client = defaultClient()
	}
	apart := *client
	return &apart
}

// WithoutProxy returns a client that asks as client does, but by way of no proxy and
// without following redirects; by a transport of the process if client is nil or has
// none of its own. It is for endpoints of this machine: what they tell a proxy would be
// about the proxy. A RoundTripper of another type is taken as it is.
func WithoutProxy(client *http.Client) *http.Client {
	own := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if client != nil {
		own.Transport = client.Transport
	}
	if t, ok := own.Transport.(*http.Transport); ok && t.Proxy != nil {
		t = t.Clone()
		t.Proxy, t.DisableKeepAlives = nil, true // nobody could close what a copy keeps open
		own.Transport = t
	}
	if own.Transport == nil {
		own.Transport = direct()
	}
	return own
}

// A Route is how requests reach the host that they are for. The zero value is that of
// the environment, with the system's roots.
type Route struct {
	// Roots returns the roots to trust, and no others; nil: the system's. They are asked
	// for with each request, once an hour or so: a rotated bundle counts without a
	// restart. Once there are roots they stay until others can be read.
	Roots func(context.Context) (*x509.CertPool, error)
	// Base, if not nil, has a path and is where requests for all hosts go: in their URLs
	// its scheme and host replace theirs, and its path is put before theirs. The Host
	// header stays. A proxy of the environment is passed by, for Base is one itself.
	Base *url.URL
	// ServerName is what TLS asks for, and what the certificate has to be for; "": the
	// host of the URL.
	ServerName string
}

// NewClient returns a client that sends requests by a route.
func NewClient(r Route) *http.Client {
	t := &ownTransport{Route: r}
	if r.Roots == nil {
		t.transport = r.transport(nil)
	}
	return &http.Client{Transport: t}
}

func (r Route) transport(roots *x509.CertPool) *http.Transport {
	t := NewTransport(roots)
	t.TLSClientConfig.ServerName = r.ServerName
	if r.Base != nil {
		t.Proxy = nil
	}
	return t
}

// proxy returns what stands between here and the host of req, nil if nothing does.
func (r Route) proxy(req *http.Request) (*url.URL, error) {
	if r.Base != nil {
		return r.Base, nil
	}
	return ProxyFromEnvironment(req)
}

// readdress returns req as it is sent.
func (r Route) readdress(req *http.Request) *http.Request {
	if r.Base == nil {
		return req
	}
	out := *req
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	out.URL = r.Base.JoinPath(req.URL.EscapedPath())
	out.URL.RawQuery = req.URL.RawQuery
	return &out
}

// An ownTransport is one whose idle connections are ours to close.
type ownTransport struct {
	Route

	mu        sync.Mutex // guards what follows; not held while Roots runs or a request is under way
	roots     *x509.CertPool
	transport *http.Transport // never another if there is no Roots
}

// CloseIdleConnections closes the connections that carry no request.
func (t *ownTransport) CloseIdleConnections() {
	t.mu.Lock()
	transport := t.transport
	t.mu.Unlock()
	if transport != nil {
		transport.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (t *ownTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	transport, err := t.current(req.Context())
	if err != nil {
		return nil, err
	}
	return transport.RoundTrip(t.readdress(req))
}

func (t *ownTransport) current(ctx context.Context) (*http.Transport, error) {
	if t.Roots == nil {
		return t.transport, nil
	}
	roots, err := t.Roots(ctx)
	t.mu.Lock()
	old := t.transport
	same := old != nil && (err != nil || roots.Equal(t.roots))
	t.mu.Unlock()
	if same {
		return old, nil
	}
	if err != nil {
		return nil, err
	}
	transport := t.Route.transport(roots)
	t.mu.Lock()
	t.roots, t.transport = roots, transport
	t.mu.Unlock()
	if old != nil {
		old.CloseIdleConnections()
	}
	return transport, nil
}
