// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/wwwauth"
)

// TransportOptions are the settings of a [Transport]; nil is fine.
type TransportOptions struct {
	// Base sends the requests, http.DefaultTransport by default. It must not
	// follow redirects, or it takes the token along: an http.Client or the
	// RoundTripper of go-retryablehttp goes outside of this transport.
	Base http.RoundTripper

	// Hosts are the hosts that get the token: "host", "host:port", or
	// "*.suffix" for every name below a domain. Without a port it is 443. By
	// default it is the scope's host; it is required where the scope has none,
	// such as "api://…". Many Azure APIs' hosts are not their scope's: a scope
	// of https://vault.azure.net goes to *.vault.azure.net. Names are in ASCII.
	//
	// A redirect from one of them to another takes the token along, so the
	// servers of all names below a suffix should be those of the API's operator.
	Hosts []string

	// AllowLoopbackHTTP allows plain http to a loopback address that is among
	// Hosts, for tests and sidecars. Base must not take such requests to a proxy,
	// as http.ProxyFromEnvironment does not.
	AllowLoopbackHTTP bool
}

// A Transport is an http.RoundTripper that sends each request with an access
// token of one client and scope, to the hosts declared for it and no others. It
// is made by [NewTransport], safe for concurrent use, and goes into an
// http.Client or inside any wrapper of one.
//
// Waiting for a token ends with the request's context.
//
// A 401 is answered once: with a token for the claims that the API asks for (see
// [Options.CAE]), or with another token if there is one by now. A request whose
// body cannot be sent again, because it has no GetBody, gets its 401 back; the
// next one goes out with the other token.
type Transport struct {
	client   *Client
	scope    string
	base     http.RoundTripper
	hosts    []host
	loopback bool
}

// NewTransport returns a transport that attaches tokens of c for scope. opts may
// be nil. It performs no I/O. Its error names all that is wrong at once and is
// [ErrScopeInvalid] for the scope, [ErrConfiguration] for the rest.
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
			errs = append(errs, faultf(ErrConfiguration, "apponly: transport: scope %s has no host: set TransportOptions.Hosts", ident.OneLine(scope, 100)))
		} else {
			names = []string{u.Host}
		}
	}
	for _, name := range names {
		h, err := parseHost(name)
		errs = append(errs, err)
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
// A request to another host is refused with [ErrConfiguration] before anything is
// sent; the Host field counts like the URL's. A request that net/http makes to
// follow a redirect goes out without a token unless it and every request before it
// stayed among the hosts. A request that has an Authorization header already passes
// as it is, and what a redirect makes of it never goes on with the app's token.
//
// If there is no token the error is that of [Client.Token]; the request is not sent.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	values, own := inspect(req.Header)
	if own {
		return t.send(req, req)
	}
	if err := t.checkTarget(req); err != nil {
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
	resp, err := t.send(req, withToken(req, values, token))
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	return t.onceMore(req, values, resp, token)
}

// onceMore answers a 401 by sending the request again with another token, if
// there is one and the body can be had again. The second answer is the answer.
//
// The other token is asked for in any case: who only ever streams would send the
// refused one until it ends.
func (t *Transport) onceMore(req *http.Request, values int, refused *http.Response, token Token) (*http.Response, error) {
	claims, malformed := wwwauth.Claims(refused.Header)
	if malformed {
		t.client.cfg.emit(req.Context(), Event{
			Kind: EventChallengeUnreadable, Time: time.Now(), TenantID: t.client.tenant, ClientID: t.client.cfg.clientID, Scope: t.scope,
		}, nil)
		return refused, nil
	}
	another, err := t.client.TokenFor(req.Context(), TokenRequest{Scope: t.scope, Claims: claims, Rejected: token})
	if err != nil || another.authorization() == token.authorization() {
		return refused, nil // which says more than that there is no other token
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
	discard(refused)
	return t.send(req, again)
}

// How much of a refused answer is read for the sake of its connection, and for
// how long: a gateway may send the headers and hold the body back.
const (
	maxDrain  = 64 << 10
	drainTime = 100 * time.Millisecond
)

// discard reads an answer to its end, within reason, so that its connection can
// be used again, and closes it.
func discard(resp *http.Response) {
	body := resp.Body
	if body == nil {
		return
	}
	// One that net/http decompresses is only closed: its Close waits for the
	// read of the gzip header, which nothing but the end of ctx would end.
	if !resp.Uncompressed {
		timer := time.AfterFunc(drainTime, func() { body.Close() })
		defer timer.Stop()
		io.CopyN(io.Discard, body, maxDrain)
	}
	body.Close()
}

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

// inspect counts the values of a header and reports whether the caller has
// brought an Authorization. net/http sends a key that is not in canonical form as
// it is, so "authorization" counts too: two of them are nobody's intention.
func inspect(h http.Header) (values int, authorization bool) {
	for k, v := range h {
		values += len(v)
		if len(k) == len("Authorization") && len(v) > 0 && strings.EqualFold(k, "Authorization") {
			authorization = true
		}
	}
	return values, authorization
}

// closeBody keeps RoundTrip's promise to close the body on errors, too.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// withToken returns a copy of req, whose header has so many values, that carries
// token.
func withToken(req *http.Request, values int, token Token) *http.Request {
	r := *req
	r.Header = make(http.Header, len(req.Header)+1)
	// One array for all values, and the token's in a slice of its own: something
	// below may redact it in place, which must not reach other requests.
	all := make([]string, 0, values+1)
	for k, v := range req.Header {
		if v == nil { // which is not the same as empty to everybody
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
