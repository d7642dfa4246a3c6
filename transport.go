// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/wwwauth"
)

// TransportOptions are the settings of a [Transport]; nil is fine.
type TransportOptions struct {
	// Base sends the requests, http.DefaultTransport by default. It must not
	// follow redirects, for it would take the token along wherever they lead: an
	// http.Client or the RoundTripper of go-retryablehttp goes around this
	// transport, not below it.
	Base http.RoundTripper

	// Hosts are the hosts that get the token: "host", "host:port", or "*.suffix"
	// for every name below a domain, in ASCII. The port is 443 if none is given.
	// The default is the scope's host; a scope without one, such as "api://…",
	// needs Hosts. Many Azure APIs are not at the host of their scope: the tokens
	// for https://vault.azure.net go to *.vault.azure.net.
	//
	// A redirect from one of them to another takes the token along, so the
	// servers of all names below a suffix should be those of the API's operator.
	Hosts []string

	// AllowLoopbackHTTP allows plain http to a loopback address that is among
	// Hosts, for tests and sidecars. Base must not send such requests through a
	// proxy; with http.ProxyFromEnvironment it does not.
	AllowLoopbackHTTP bool
}

// A Transport is an http.RoundTripper that sends each request with an access token
// of one client for one scope, to the hosts declared for it and to no others.
// [NewTransport] makes it. It is safe for concurrent use and goes into an
// http.Client, or inside any wrapper of one.
//
// Waiting for a token ends with the request's context.
//
// A 401 is answered once: with a token for the claims that the API asks for (see
// [Options.CAE]), or with another token if there is one by now. If that takes more
// than 2 seconds the 401 goes to the caller, and the token to the next call. A request whose
// body cannot be sent again, because it has no GetBody, gets its 401 back; the
// next request goes out with the other token.
type Transport struct {
	client   *Client
	scope    string
	base     http.RoundTripper
	hosts    hostList
	loopback bool
}

// NewTransport returns a transport that attaches tokens of c for scope. opts may
// be nil. It performs no I/O. Its error names everything that is wrong at once and
// is [ErrScopeInvalid] for the scope, [ErrConfiguration] for the rest.
func NewTransport(c *Client, scope string, opts *TransportOptions) (*Transport, error) {
	if opts == nil {
		opts = &TransportOptions{}
	}
	var clientErr, scopeErr error
	if c == nil {
		clientErr = errorf(ErrConfiguration, "apponly: transport: client is nil")
	}
	if err := checkScope(scope); err != nil {
		scopeErr = errorf(ErrScopeInvalid, "apponly: transport: %w", err)
	}
	hosts, hostsErr := parseHosts(opts.Hosts, scope)
	if err := errors.Join(clientErr, scopeErr, hostsErr); err != nil {
		return nil, err
	}
	t := &Transport{client: c, scope: scope, base: opts.Base, hosts: hosts, loopback: opts.AllowLoopbackHTTP}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	return t, nil
}

// RoundTrip sends a copy of req with the token attached. req itself is not
// changed, and the response's Request is req.
//
// A request to another host is refused with [ErrConfiguration] before anything is
// sent; the Host field counts like the URL's. A request that net/http makes to
// follow a redirect goes out without a token unless it and every request before it
// stayed among the hosts. A request that has an Authorization header already passes
// as it is, and a redirect of it never gets the app's token.
//
// If there is no token the error is that of [Client.Token]; the request is not sent.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	values, authorization := scanHeader(req.Header)
	if authorization {
		return t.send(req, req)
	}
	if err := t.hosts.checkTarget(req, t.scope, t.loopback); err != nil {
		if req.Response != nil { // a redirect led away from the hosts: follow it without the token
			return t.send(req, req)
		}
		closeBody(req)
		return nil, err
	}
	if !t.redirectsStayInside(req) {
		return t.send(req, req)
	}
	token, err := t.client.Token(req.Context(), t.scope)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, withToken(req, values, token))
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	return t.retryUnauthorized(req, values, resp, token)
}

// redirectsStayInside reports whether every request that led to req by redirects
// went to one of the hosts, and as the app. Once the redirects have left the hosts,
// somebody else decides where they lead. And if the first request had an
// Authorization of the caller's own, perhaps a user's, the rest must not go on with
// the rights of the app.
func (t *Transport) redirectsStayInside(req *http.Request) bool {
	const limit = 100 // net/http follows 10, but the caller's CheckRedirect may allow any number
	for range limit {
		if req.Response == nil {
			return true
		}
		req = req.Response.Request
		if req == nil || t.hosts.checkTarget(req, t.scope, t.loopback) != nil {
			return false
		}
		if _, authorization := scanHeader(req.Header); authorization {
			return false
		}
	}
	return false
}

// patience is how long a caller who holds the API's answer already is kept waiting for
// a better one. The token request goes on behind: the next call has what it brings.
const patience = 2 * time.Second

// retryUnauthorized sends a request that was refused with 401 once more, with
// another token, if there is one and the body can be had again. The second answer
// is final.
//
// It asks for another token even if the body cannot be sent again. Otherwise a
// caller that only streams would send the refused token until it expires.
func (t *Transport) retryUnauthorized(req *http.Request, values int, refused *http.Response, token Token) (*http.Response, error) {
	claims, malformed := wwwauth.Claims(refused.Header)
	if malformed {
		t.client.shared.emit(req.Context(), Event{
			Kind: EventChallengeUnreadable, Time: time.Now(), TenantID: t.client.tokens.Tenant, ClientID: t.client.shared.clientID, Scope: t.scope,
		}, nil)
		return refused, nil
	}
	ctx, cancel := context.WithTimeout(flight.Safe(req.Context()), patience)
	defer cancel()
	another, err := t.client.TokenFor(ctx, TokenRequest{Scope: t.scope, Claims: claims, Rejected: token})
	if err != nil || another.authorization() == token.authorization() {
		return refused, nil // the API's answer says more than that there is no other token
	}
	again := withToken(req, values, another)
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return refused, nil
		}
		if again.Body, err = req.GetBody(); err != nil {
			return refused, nil
		}
	}
	drain(refused)
	return t.send(req, again)
}

// Limits of drain, also of its time: a gateway may send the headers of a response
// and hold its body back.
const (
	maxDrain  = 64 << 10
	drainTime = 100 * time.Millisecond
)

// drain reads a response to its end, within limits, so that its connection can be
// used again, and closes it.
func drain(resp *http.Response) {
	body := resp.Body
	if body == nil {
		return
	}
	// A body that net/http decompresses is only closed. Its Close waits for a Read
	// under way, and a Read that waits for the gzip header ends only with the
	// request's context.
	if !resp.Uncompressed {
		timer := time.AfterFunc(drainTime, func() { body.Close() })
		defer timer.Stop()
		io.CopyN(io.Discard, body, maxDrain)
	}
	body.Close()
}

// send gives out to the base and makes req the Request of the response, always.
// Code that logs the Request must not find the token in it. And net/http takes it for
// the request before a redirect: if a base put one of its own there, redirects that
// had left the hosts would look as if they had begun inside.
func (t *Transport) send(req, out *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// CloseIdleConnections closes the idle connections of the base. It is what
// http.Client.CloseIdleConnections calls.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// scanHeader counts the values of a header and reports whether the caller has set
// an Authorization. A key that is not in canonical form, such as "authorization",
// counts as well: net/http sends it as it is, and a server that got two of them
// might take either.
func scanHeader(h http.Header) (values int, authorization bool) {
	for k, v := range h {
		values += len(v)
		if len(k) == len("Authorization") && len(v) > 0 && strings.EqualFold(k, "Authorization") {
			authorization = true
		}
	}
	return values, authorization
}

// closeBody closes the body of a request that is not sent: a RoundTripper has to
// close it on errors, too.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// withToken returns a copy of req that carries token. values is the number of
// values in the header of req.
func withToken(req *http.Request, values int, token Token) *http.Request {
	r := *req
	r.Header = make(http.Header, len(req.Header)+1)
	// All values, the token's too, are in one array made for this request, each
	// key's in a slice that cannot grow into the next. A layer below may redact them
	// in place, which must not reach other requests.
	all := make([]string, 0, values+1)
	for k, v := range req.Header {
		if v == nil { // httputil.ReverseProxy, for one, tells nil from empty
			r.Header[k] = nil
			continue
		}
		all = append(all, v...)
		r.Header[k] = all[len(all)-len(v) : len(all) : len(all)]
	}
	all = append(all, token.authorization())
	r.Header["Authorization"] = all[len(all)-1 : len(all) : len(all)]
	return &r
}
