// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// TransportOptions are the settings of a [Transport]; nil is fine.
type TransportOptions struct {
	// Base sends the requests, http.DefaultTransport by default.
	Base http.RoundTripper

	// Hosts are the hosts that get the token: "host", "host:port", or
	// "*.suffix" for every name below a domain. Without a port it is 443. By
	// default it is the scope's host; it is required where the scope has none,
	// such as "api://…". Many Azure APIs' hosts are not their scope's: a scope
	// of https://vault.azure.net goes to *.vault.azure.net. Names are in ASCII.
	//
	// A redirect from one of them to another takes the token along, so a suffix
	// should be one below which only the API's owner can have a name.
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
//
// A 401 is answered once: with a token for the claims that the API asks for (see
// [Options.CAE]), or with another token if there is one by now. A request whose
// body cannot be sent again, because it has no GetBody, gets its 401 back.
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
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.HasPrefix(u.Host, "*") {
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
	if req.URL == nil {
		closeBody(req)
		return nil, faultf(ErrConfiguration, "apponly: transport: request has no URL")
	}
	if hasAuthorization(req.Header) {
		return t.send(req, req)
	}
	if err := t.checkTarget(req.URL); err != nil {
		if req.Response != nil { // a redirect has left: it goes on, without the token
			return t.send(req, req)
		}
		closeBody(req)
		return nil, err
	}
	if !t.chainInside(req) {
		return t.send(req, req)
	}
	token, err := t.client.Token(req.Context(), t.scope)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, withToken(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	return t.onceMore(req, resp, token)
}

// onceMore answers a 401 by sending the request again with another token, if
// there is one and the body can be had again. The second answer is the answer.
func (t *Transport) onceMore(req *http.Request, refused *http.Response, token Token) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return refused, nil
	}
	claims, bad := claimsChallenge(refused.Header)
	if bad {
		t.client.cfg.emit(req.Context(), Event{
			Kind: EventChallengeUnreadable, Time: time.Now(), TenantID: t.client.tenant, ClientID: t.client.cfg.clientID, Scope: t.scope,
		}, nil)
		return refused, nil
	}
	another, err := t.client.TokenFor(req.Context(), TokenRequest{Scope: t.scope, Claims: claims, Rejected: token})
	if err != nil || another == token {
		return refused, nil // which says more than that there is no other token
	}
	again := withToken(req, another)
	if req.Body != nil && req.Body != http.NoBody {
		if again.Body, err = req.GetBody(); err != nil {
			return refused, nil
		}
	}
	// Read to its end, within reason, the connection can be used again.
	io.CopyN(io.Discard, refused.Body, maxDrain)
	refused.Body.Close()
	return t.send(req, again)
}

// maxDrain is how much of a refused answer is read for the sake of its
// connection.
const maxDrain = 64 << 10

// send gives out to the base and answers for req, always: whoever logs the
// response's Request must not log the token, and the next hop of a redirect must
// find the chain as it was. A base that puts a request of its own there would
// make a chain that had left look like one that never did.
func (t *Transport) send(req, out *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(out)
	if resp != nil {
		resp.Request = req
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

// hasAuthorization reports whether the caller has brought an Authorization
// header. net/http sends a key that is not in canonical form as it is, so
// "authorization" counts too: two of them are nobody's intention.
func hasAuthorization(h http.Header) bool {
	if len(h["Authorization"]) > 0 {
		return true
	}
	for k, v := range h {
		if len(k) == len("Authorization") && len(v) > 0 && strings.EqualFold(k, "Authorization") {
			return true
		}
	}
	return false
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
	name, suffix := strings.CutPrefix(s, "*.")
	h.suffix = suffix
	hostname, port, err := net.SplitHostPort(name)
	switch {
	case err == nil:
		name, h.port = hostname, port
	case len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' && strings.Contains(name, ":"):
		name = name[1 : len(name)-1]
	}
	h.name = strings.ToLower(name)
	number, portErr := strconv.ParseUint(h.port, 10, 16)
	switch {
	case !isHostname(name), portErr != nil, number == 0, h.port[0] == '0',
		suffix && (strings.Contains(name, ":") || endsInNumber(name)): // addresses have no names below them
		return h, faultf(ErrConfiguration, `apponly: transport: host %q: want "host", "host:port" or "*.suffix", in ASCII`, clean(s, 100))
	case suffix && !strings.Contains(name, "."):
		return h, faultf(ErrConfiguration, "apponly: transport: host %q would match a whole top-level domain", clean(s, 100))
	}
	return h, nil
}

// isHostname reports whether s is an IP address or a name that is in ASCII and
// has no empty label.
//
// Nothing else may be lower-cased and compared: "İ" becomes "i" for
// strings.ToLower, while net/http connects to what IDNA makes of it, which is
// another domain.
func isHostname(s string) bool {
	before := byte('.')
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && before != '.':
			before = c
		default:
			return net.ParseIP(s) != nil // of version 6
		}
	}
	return before != '.'
}

// endsInNumber reports whether the last label is a number, as in an IPv4
// address and in no domain.
func endsInNumber(name string) bool {
	return strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "0123456789") == ""
}

// allows reports whether h gets the token. The name has passed isHostname and
// is in lower case.
func (h host) allows(name, port string) bool {
	if h.suffix {
		return h.port == port && strings.HasSuffix(name, "."+h.name)
	}
	return h.port == port && h.name == name
}

// checkTarget says why u does not get the token, nil if it does.
func (t *Transport) checkTarget(u *url.URL) error {
	name, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme == "https":
		port = cmp.Or(port, "443")
	case u.Scheme == "http" && isLoopback(name) && t.loopback:
		port = cmp.Or(port, "80")
	case u.Scheme == "http" && isLoopback(name):
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https, or TransportOptions.AllowLoopbackHTTP", clean(u.Host, 100))
	case u.Scheme == "http":
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s: want https", clean(u.Host, 100))
	default:
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token over %q: want https", clean(u.Scheme, 20))
	}
	if u.User != nil {
		// As in https://graph.microsoft.com@evil.test, or a password for
		// somebody who takes no bearer token.
		return faultf(ErrConfiguration, "apponly: transport: refused to send a token to %s: the URL has a user name", clean(u.Host, 100))
	}
	if isHostname(name) {
		name = strings.ToLower(name)
		for _, h := range t.hosts {
			if h.allows(name, port) {
				return nil
			}
		}
	}
	allowed := make([]string, len(t.hosts))
	for i, h := range t.hosts {
		allowed[i] = h.String()
	}
	return faultf(ErrConfiguration,
		"apponly: transport: refused to send a token for %s to %s: its hosts are %s; many Azure APIs' hosts are not their scope's, see TransportOptions.Hosts",
		clean(t.scope, 100), host{name: clean(name, 100), port: clean(port, 20)}, strings.Join(allowed, ", "))
}

func isLoopback(name string) bool {
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
