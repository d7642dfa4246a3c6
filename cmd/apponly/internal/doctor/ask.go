// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

// stepTimeout bounds one step of the way to the authority.
const stepTimeout = 5 * time.Second

// An answer is what a plain request to the authority came to, which carries no
// credential and goes the way that token requests go.
type answer struct {
	host  string
	proxy *url.URL // nil for none
	way
	date string
	took time.Duration // from the request to the header of the answer
	err  error
}

// A way is how far the request came.
type way struct {
	through bool          // the proxy let the connection through; true if there is none
	opened  time.Duration // until it did
	secure  bool          // the TLS handshake with the host came to its end
	tls     tls.ConnectionState
	sent    time.Time
}

// target returns the URL that is asked, and the Host that is asked for: the public
// document that every tenant has.
func (p *patient) target() (u *url.URL, host string) {
	u, _ = url.Parse(p.env.Cloud.Authority()) // it has been
	host = u.Host
	u = u.JoinPath(p.env.TenantID, "v2.0/.well-known/openid-configuration")
	if base := p.env.Server.Base; base != nil {
		u = base.JoinPath(u.Path)
	}
	return u, host
}

// proxy returns the proxy of the environment for the authority, as token requests
// have it.
func (p *patient) proxy() (*url.URL, error) {
	if p.env.Server.Base != nil { // the cluster's proxy is asked directly
		return nil, nil
	}
	u, _ := p.target()
	return wire.ProxyFromEnvironment(&http.Request{URL: u})
}

// ask makes the plain request, once for all that judge it.
func (p *patient) ask(ctx context.Context, proxy *url.URL) *answer {
	if p.asked != nil {
		return p.asked
	}
	u, host := p.target()
	a := &answer{host: u.Host, proxy: proxy}
	p.asked = a
	w := &watcher{begin: time.Now(), proxy: proxy, way: way{through: proxy == nil, sent: time.Now()}}
	t := w.transport(wire.NewTransport(p.roots))
	defer t.CloseIdleConnections()
	t.TLSClientConfig.ServerName = p.env.Server.ServerName
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, w.trace()), http.MethodGet, u.String(), nil)
	if err != nil {
		a.err = err
		return a
	}
	req.Host = host
	resp, err := t.RoundTrip(req)
	a.way = w.seen()
	a.took = time.Since(a.sent)
	if err != nil {
		a.err = a.route(err)
		return a
	}
	resp.Body.Close()
	a.date = resp.Header.Get("Date")
	return a
}

// A watcher notes how far a request comes. What it is told may come late: a dial goes
// on when the request has been given up.
type watcher struct {
	begin time.Time
	proxy *url.URL

	mu sync.Mutex // guards way
	way
}

func (w *watcher) note(change func(*way)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.way)
}

func (w *watcher) seen() way {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.way
}

func (w *watcher) pass(through bool) {
	w.note(func(s *way) { s.through, s.opened = through, time.Since(w.begin) })
}

// transport makes t one that is watched, and that asks by way of the proxy.
func (w *watcher) transport(t *http.Transport) *http.Transport {
	t.ResponseHeaderTimeout = stepTimeout
	t.Proxy = func(*http.Request) (*url.URL, error) { return w.proxy, nil }
	refuse := t.OnProxyConnectResponse
	t.OnProxyConnectResponse = func(ctx context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
		err := refuse(ctx, u, req, resp)
		w.pass(err == nil)
		return err
	}
	return t
}

func (w *watcher) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		TLSHandshakeStart: func() {
			// A SOCKS proxy has said yes without a word. One that is spoken to over
			// TLS begins with a handshake of its own.
			if w.proxy != nil && strings.HasPrefix(w.proxy.Scheme, "socks") {
				w.pass(true)
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			w.note(func(s *way) {
				if s.through && err == nil {
					s.secure, s.tls = true, state
				}
			})
		},
		WroteHeaders: func() { w.note(func(s *way) { s.sent = time.Now() }) },
	}
}

// route says of an error which way the request went.
func (a *answer) route(err error) error {
	r := &netfault.RouteError{Host: a.host, Err: err}
	if a.proxy != nil {
		r.Proxy = a.proxy.Host
	}
	return r
}

// reason is the text of a network error that names no way.
func reason(err error) string {
	if route, ok := errors.AsType[*netfault.RouteError](err); ok {
		err = route.Err
	}
	text, _ := netfault.Describe(err)
	return text
}
