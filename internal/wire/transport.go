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
		Proxy:                  http.ProxyFromEnvironment,
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
var defaultClient = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: &ownTransport{transport: NewTransport(nil)}}
})

// direct is the one transport of the process that knows no proxy.
var direct = sync.OnceValue(func() http.RoundTripper {
	t := NewTransport(nil)
	t.Proxy = nil
	return t
})

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

// NewRootsClient returns a client that trusts the roots that read returns, and no
// others. It reads them for each request, once an hour or so: a rotated bundle
// counts without a restart. Once there are roots they stay until others can be
// read.
func NewRootsClient(read func(context.Context) (*x509.CertPool, error)) *http.Client {
	return &http.Client{Transport: &ownTransport{read: read}}
}

// An ownTransport is one whose idle connections are ours to close.
type ownTransport struct {
	read func(context.Context) (*x509.CertPool, error) // nil: transport stays as it is

	mu        sync.Mutex // guards what follows; not held while read runs or a request is under way
	roots     *x509.CertPool
	transport *http.Transport
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
	return transport.RoundTrip(req)
}

func (t *ownTransport) current(ctx context.Context) (*http.Transport, error) {
	if t.read == nil {
		return t.transport, nil
	}
	roots, err := t.read(ctx)
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
	transport := NewTransport(roots)
	t.mu.Lock()
	t.roots, t.transport = roots, transport
	t.mu.Unlock()
	if old != nil {
		old.CloseIdleConnections()
	}
	return transport, nil
}
