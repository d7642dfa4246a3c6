// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// TransportOptions are the settings of a [Transport]; nil is fine.
type TransportOptions struct {
	// Base sends the requests, http.DefaultTransport by default.
	Base http.RoundTripper

	// Hosts are the hosts that get the token: "host", "host:port", or
	// "*.suffix" for every name below a domain. Without a port it is 443. By
	// default it is the scope's host; it is required where the scope has none,
	// such as "api://…". Many Azure APIs' hosts are not their scope's: a scope
	// of https://vault.azure.net goes to *.vault.azure.net.
	Hosts []string

	// AllowLoopbackHTTP allows plain http to a loopback address that is among
	// Hosts, for tests and sidecars.
	AllowLoopbackHTTP bool
}

// A Transport is an http.RoundTripper that sends each request with an access
// token of one client and scope, to the hosts declared for it and no others. It
// is safe for concurrent use and goes into an http.Client or inside any wrapper
// of one.
//
// Waiting for a token ends with the request's context.
type Transport struct {
	client   *Client
	scope    string
	base     http.RoundTripper
	hosts    []host
	loopback bool
}

// NewTransport returns a transport that attaches tokens of c for scope. opts may
// be nil. It performs no I/O.
func NewTransport(c *Client, scope string, opts *TransportOptions) (*Transport, error) {
	if opts == nil {
		opts = &TransportOptions{}
	}
	t := &Transport{client: c, scope: scope, base: opts.Base, loopback: opts.AllowLoopbackHTTP}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	var errs []error
	if c == nil {
		errs = append(errs, faultf(ErrConfiguration, "apponly: transport: client is nil"))
	}
	if err := checkScope(scope); err != nil {
		errs = append(errs, faultf(ErrScopeInvalid, "apponly: transport: %w", err))
	}
	names := opts.Hosts
	if len(names) == 0 {
		u, err := url.Parse(scope)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			errs = append(errs, faultf(ErrConfiguration, "apponly: transport: scope %s has no host: set TransportOptions.Hosts", clean(scope, 100)))
		} else {
			names = []string{u.Host}
		}
	}
	for _, name := range names {
		h, err := parseHost(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.hosts = append(t.hosts, h)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// RoundTrip sends a copy of req with the token attached. req itself is not
// changed, and the response's Request is req.
//
// A request to another host is refused before anything is sent. One that
// net/http makes to follow a redirect goes out without a token unless it and
// every request before it stayed among the hosts. A request that has an
// Authorization header already passes as it is.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header["Authorization"]) > 0 {
		return t.base.RoundTrip(req)
	}
	if err := t.checkTarget(req.URL); err != nil {
		if req.Response != nil { // a redirect has left: it goes on, without the token
			return t.base.RoundTrip(req)
		}
		closeBody(req)
		return nil, err
	}
	if !t.chainInside(req) {
		return t.base.RoundTrip(req)
	}
	token, err := t.client.Token(req.Context(), t.scope)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base.RoundTrip(withToken(req, token))
	if resp != nil {
		resp.Request = req // whoever logs it must not log the token
	}
	return resp, err
}

// CloseIdleConnections closes the idle connections of the base, which
// http.Client.CloseIdleConnections calls.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// closeBody keeps RoundTrip's promise to close the body on errors, too.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// withToken returns a copy of req that carries token.
func withToken(req *http.Request, token Token) *http.Request {
	r := *req
	r.Header = make(http.Header, len(req.Header)+1)
	// One array for all values, and the token's in a slice of its own: something
	// below may redact it in place, which must not reach other requests.
	n := 0
	for _, v := range req.Header {
		n += len(v)
	}
	values := make([]string, 0, n+1)
	for k, v := range req.Header {
		values = append(values, v...)
		r.Header[k] = values[len(values)-len(v) : len(values) : len(values)]
	}
	values = append(values, token.authorization())
	r.Header["Authorization"] = values[len(values)-1 : len(values) : len(values)]
	return &r
}

// chainInside reports whether every request that led to this one by redirects
// stayed among the hosts. Once a chain has left, somebody else has written the
// rest of it.
func (t *Transport) chainInside(req *http.Request) bool {
	const limit = 100 // far above net/http's own, but a chain is the caller's to make
	for range limit {
		if req.Response == nil {
			return true
		}
		if req = req.Response.Request; req == nil || t.checkTarget(req.URL) != nil {
			return false
		}
	}
	return false
}

// A host is one that gets the token.
type host struct {
	name   string // lower case, without a trailing dot
	port   string
	suffix bool // every name below it, not it
}

func (h host) String() string {
	name := h.name
	if h.suffix {
		name = "*." + name
	}
	if h.port == "443" {
		return name
	}
	return net.JoinHostPort(name, h.port)
}

func parseHost(s string) (host, error) {
	h := host{port: "443"}
	name := strings.ToLower(s)
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		h.suffix, name = true, rest
	}
	if hostname, port, err := net.SplitHostPort(name); err == nil {
		name, h.port = hostname, port
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	h.name = name
	ip := net.ParseIP(name) != nil
	plain := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == "" &&
		!strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.Contains(name, "..")
	switch {
	case !ip && !plain, h.suffix && ip, strings.Trim(h.port, "0123456789") != "" || h.port == "":
		return h, faultf(ErrConfiguration, `apponly: transport: host %q: want "host", "host:port" or "*.suffix", in ASCII`, clean(s, 100))
	case h.suffix && !strings.Contains(name, "."):
		return h, faultf(ErrConfiguration, "apponly: transport: host %q would match a whole top-level domain", clean(s, 100))
	}
	return h, nil
}

// checkTarget says why u does not get the token, nil if it does.
func (t *Transport) checkTarget(u *url.URL) error {
	name := strings.ToLower(u.Hostname())
	port := u.Port()
	switch {
	case u.Scheme == "https":
		if port == "" {
			port = "443"
		}
	case u.Scheme == "http" && t.loopback && isLoopback(name):
		if port == "" {
			port = "80"
		}
	case u.Scheme == "http":
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https", clean(u.Host, 100))
	default:
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token over %q", clean(u.Scheme, 20))
	}
	if u.User == nil {
		for _, h := range t.hosts {
			if h.port == port && (h.name == name && !h.suffix || h.suffix && strings.HasSuffix(name, "."+h.name) && len(name) > len(h.name)+1) {
				return nil
			}
		}
	}
	allowed := make([]string, len(t.hosts))
	for i, h := range t.hosts {
		allowed[i] = h.String()
	}
	return &localError{kind: ErrConfiguration, text: fmt.Sprintf(
		"apponly: transport: refused to send a token for %s to %s: its hosts are %s; many Azure APIs' hosts are not their scope's, see TransportOptions.Hosts",
		clean(t.scope, 100), clean(u.Host, 100), strings.Join(allowed, ", "))}
}

func isLoopback(name string) bool {
	if name == "localhost" {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
