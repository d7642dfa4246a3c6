// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/wwwauth"
	"github.com/hashicorp/go-retryablehttp"
)

// TransportOptions are the settings of a [Transport]; nil is fine.
type TransportOptions struct {
	// Base sends the requests, http.DefaultTransport by default. It must not
	// follow redirects, for it would take the token along wherever they lead: an
	// http.Client or the RoundTripper of go-retryablehttp, with [RetryPolicy], goes
	// around this transport, not below it.
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

	// AllowHTTP are hosts that are spoken to in plain http, too, because something
	// below makes the TLS: the sidecar of a service mesh. They are written as in
	// Hosts, and each must be among Hosts as well; the port is 80 if none is given.
	// Where nothing below makes it, whoever reads the network reads the token. Base
	// must not send such requests through a proxy; an http.Transport that would is
	// refused the token.
	AllowHTTP []string

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
// [Options.CAE]), or with another token if there is one by now; a 403 only if the
// API asks for claims. If that takes more than 2 seconds the refusal goes to the caller,
// and the token to the next call. A request whose body cannot be sent again, because it has no
// GetBody, gets its answer back; the next request goes out with the other token.
//
// The default policy of go-retryablehttp takes every error for one that may pass, so
// that a wrong secret costs each caller 15 seconds: give it [RetryPolicy].
type Transport struct {
	client  *Client
	scope   string
	base    http.RoundTripper
	targets targets
}

// NewTransport returns a transport that attaches tokens of c for scope. opts may
// be nil. It performs no I/O. Its error names everything that is wrong at once and
// is [ErrScopeInvalid] for the scope, [ErrConfiguration] for the rest.
func NewTransport(c *Client, scope string, opts *TransportOptions) (*Transport, error) {
	if opts == nil {
		opts = &TransportOptions{}
	}
	var clientErr, scopeErr, baseErr error
	if c.check() != nil {
		clientErr = errorf(ErrConfiguration, "apponly: transport: client is nil")
	}
	if err := checkScope(scope); err != nil {
		scopeErr = errorf(ErrScopeInvalid, "apponly: transport: %w", err)
	}
	if holdsNil(opts.Base) {
		baseErr = errorf(ErrConfiguration, "apponly: transport: TransportOptions.Base is a nil %T", opts.Base)
	}
	hosts, hostsErr := parseHosts(opts.Hosts, scope)
	plain, plainErr := parsePlain(opts.AllowHTTP, hosts)
	if err := errors.Join(clientErr, scopeErr, baseErr, hostsErr, plainErr); err != nil {
		return nil, err
	}
	t := &Transport{client: c, scope: scope, base: opts.Base, targets: targets{hosts, plain, opts.AllowLoopbackHTTP}}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	return t, nil
}

// HTTPClient returns an http.Client that sends each request with a token for scope:
// one with a [Transport], and with the defaults of net/http for the rest. opts may be
// nil. It performs no I/O and fails as [NewTransport] does.
func (c *Client) HTTPClient(scope string, opts *TransportOptions) (*http.Client, error) {
	t, err := NewTransport(c, scope, opts)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t}, nil
}

// RetryPolicy is a CheckRetry for github.com/hashicorp/go-retryablehttp around a
// [Transport]. It is that package's DefaultRetryPolicy, but that no other try is
// made after an error that only a person can mend: those of [ErrCredential],
// [ErrConfiguration] and [ErrPolicy], and [ErrOther]. What is transient stays worth
// one: asking again is answered from memory until it makes sense.
func RetryPolicy(ctx context.Context, resp *http.Response, err error) (bool, error) {
	for _, lasting := range []Kind{ErrCredential, ErrConfiguration, ErrPolicy, ErrOther} {
		if errors.Is(err, lasting) {
			return false, err
		}
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
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
	if t == nil || t.client == nil || req == nil {
		closeBody(req)
		return nil, errorf(ErrConfiguration, "apponly: transport: the request is nil, or the Transport was not made by NewTransport")
	}
	values, authorization := scanHeader(req.Header)
	if authorization {
		return t.send(req, req)
	}
	if err := t.check(req); err != nil {
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
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	return t.retryRefused(req, values, resp, token)
}

// check returns the reason why req must not carry a token, nil if it may.
func (t *Transport) check(req *http.Request) error {
	if err := t.targets.check(req, t.scope); err != nil || req.URL.Scheme != "http" {
		return err
	}
	base, ok := t.base.(*http.Transport)
	if !ok || base.Proxy == nil {
		return nil
	}
	// To a proxy, plain http is readable whatever makes the TLS behind it.
	proxy, err := base.Proxy(req)
	if err != nil || proxy == nil || isLoopback(proxy.Hostname()) {
		return nil // an error is the base's to tell
	}
	return errorf(ErrConfiguration, "apponly: transport: refused to send a token to http://%s through the proxy %s: name the host in NO_PROXY, or set TransportOptions.Base",
		ident.OneLine(req.URL.Host, 100), ident.OneLine(proxy.Host, 100))
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
		if req == nil || t.targets.check(req, t.scope) != nil {
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

// retryRefused sends a request that was refused with 401, or 403 and a claims
// challenge, once more, with another token, if there is one and the body can be had
// again. The second answer is final.
//
// It asks for another token even if the body cannot be sent again. Otherwise a
// caller that only streams would send the refused token until it expires.
func (t *Transport) retryRefused(req *http.Request, values int, refused *http.Response, token Token) (*http.Response, error) {
	claims, malformed := wwwauth.Claims(refused.Header)
	if malformed {
		t.client.shared.emit(req.Context(), Event{
			Kind: EventChallengeUnreadable, Time: time.Now(), TenantID: t.client.tokens.Tenant, ClientID: t.client.shared.clientID, Scope: t.scope,
		}, nil)
	}
	if claims == "" && (refused.StatusCode != http.StatusUnauthorized || malformed && !wwwauth.InvalidToken(refused.Header)) {
		return refused, nil // another token would be refused like this one
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
	// What could hang while it is read must be closed meanwhile, which only net/http
	// is known to allow. A body that it decompresses is only closed, too: its Close
	// waits for a Read under way, and a Read that waits for the gzip header ends only
	// with the request's context.
	if !resp.Uncompressed && isNetHTTPBody(body) {
		timer := time.AfterFunc(drainTime, func() { body.Close() })
		defer timer.Stop()
		io.CopyN(io.Discard, body, maxDrain)
	}
	body.Close()
}

// isNetHTTPBody reports whether a body is one that http.Transport makes, for HTTP/1
// or HTTP/2.
func isNetHTTPBody(body io.ReadCloser) bool {
	t := reflect.TypeOf(body)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.HasPrefix(t.PkgPath(), "net/http") && (t.Name() == "bodyEOFSignal" || strings.HasSuffix(t.Name(), "ransportResponseBody"))
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
	if t == nil {
		return
	}
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// scanHeader counts the values of a header and reports whether the caller has set
// an Authorization. A key that is not in canonical form, such as "authorization",
// counts as well: net/http sends it as it is, and a server that got two of them
// might take either. One without a value says nothing: a wrapper has set what it did
// not have.
func scanHeader(h http.Header) (values int, authorization bool) {
	for k, v := range h {
		values += len(v)
		if isAuthorization(k) && slices.ContainsFunc(v, func(s string) bool { return strings.Trim(s, " \t") != "" }) {
			authorization = true
		}
	}
	return values, authorization
}

func isAuthorization(key string) bool {
	return len(key) == len("Authorization") && strings.EqualFold(key, "Authorization")
}

// closeBody closes the body of a request that is not sent: a RoundTripper has to
// close it on errors, too.
func closeBody(req *http.Request) {
	if req != nil && req.Body != nil {
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
		if isAuthorization(k) {
			continue // without a value, or the caller's would have been sent
		}
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
