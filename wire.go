// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
	"github.com/hashicorp/go-retryablehttp"
)

const (
	// attemptTimeout bounds one attempt, well below a flight, so that a
	// connection that hangs leaves time for another one.
	attemptTimeout = 10 * time.Second
	// retries is how often one request is repeated for callers who wait. The
	// time that is left bounds it too.
	retries = 4
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 1 << 20
)

// A wire carries the HTTP requests of one token request. It is what MSAL takes
// for its HTTP client: it answers MSAL's OpenID configuration request itself,
// so that a token costs exactly one request over the network, sends nothing
// anywhere but to the token endpoint, and keeps what came back.
type wire struct {
	s         *entraSource
	req       fetchRequest
	requestID string
	attempts  int           // retried so far
	wait      time.Duration // before the next attempt, decided in checkRetry

	// The last attempt: its answer, or why there was none.
	status  int // 0: none
	header  http.Header
	body    []byte
	started instant
	err     error
	// parsed is the answer if it is a token.
	parsed tokenAnswer
}

func newWire(s *entraSource, req fetchRequest) *wire {
	return &wire{s: s, req: req, requestID: ident.NewGUID()}
}

var (
	errRefused    = errors.New("refused")                     // the answer is kept in the wire
	errStray      = errors.New("request to an unknown URL")   // MSAL asked for something else
	errTooLarge   = errors.New("answer is larger than 1 MiB") // and not read to its end
	errAttempt    = errors.New("no answer within 10 seconds")
	errNoRedirect = http.ErrUseLastResponse
)

// CloseIdleConnections does nothing: MSAL and retryablehttp call it when one
// request fails, and the connections are everybody's.
func (w *wire) CloseIdleConnections() {}

// Do sends MSAL's requests.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	endpoint := w.s.cloud.TokenEndpoint(w.req.tenantID)
	authority := w.s.cloud.Authority() + "/" + w.req.tenantID
	switch req.Method + " " + strings.TrimSuffix(req.URL.String(), "?") {
	case "GET " + authority + "/v2.0/.well-known/openid-configuration":
		return localConfiguration(req, authority, endpoint), nil
	case "POST " + endpoint:
		return w.post(req)
	}
	return nil, errStray
}

// localConfiguration is the part of an OpenID configuration that MSAL reads.
// Everything in it follows from authority and tenant.
func localConfiguration(req *http.Request, authority, endpoint string) *http.Response {
	b, _ := json.Marshal(map[string]string{
		"issuer":                 authority + "/v2.0",
		"authorization_endpoint": authority + "/oauth2/v2.0/authorize",
		"token_endpoint":         endpoint,
	})
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:  http.Header{"Content-Type": {"application/json"}},
		Body:    io.NopCloser(bytes.NewReader(b)),
		Request: req,
	}
}

// post sends the token request, again where that may help.
func (w *wire) post(req *http.Request) (*http.Response, error) {
	req.Header.Set("client-request-id", w.requestID)
	req.Header.Set("Return-Client-Request-Id", "true")
	// Says that Retry-After is heeded, for which Entra sends it.
	req.Header.Set("x-ms-lib-capability", "retry-after, h429")
	req.Header.Set("Accept", "application/json")

	r, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, err
	}
	base := w.s.http
	if base == nil {
		base = defaultHTTPClient()
	}
	attempt := *base
	attempt.Transport = &attemptTransport{w: w, base: base.Transport}
	// The token leg carries a credential: it follows no redirect and keeps no
	// cookies.
	attempt.CheckRedirect = func(*http.Request, []*http.Request) error { return errNoRedirect }
	attempt.Jar = nil
	client := retryablehttp.Client{
		HTTPClient: &attempt,
		RetryMax:   retries,
		CheckRetry: w.checkRetry,
		Backoff:    func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return w.wait },
		// The last answer is the answer. The stock handler that passes it on
		// leaves the body open where there is an error, too.
		ErrorHandler: func(resp *http.Response, err error, _ int) (*http.Response, error) {
			if err != nil && resp != nil {
				resp.Body.Close()
				resp = nil
			}
			return resp, err
		},
	}
	if !w.req.waiting {
		client.RetryMax = 0
	}
	resp, err := client.Do(r)
	if err != nil {
		w.err = err
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || !w.parse() {
		return nil, errRefused // the wire has the answer; MSAL would only quote it
	}
	return resp, nil
}

// attemptTransport bounds one attempt in time and size and keeps its answer.
// It has no CloseIdleConnections, which retryablehttp would call after each
// failure.
type attemptTransport struct {
	w    *wire
	base http.RoundTripper
}

func (t *attemptTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	ctx, cancel := context.WithTimeoutCause(req.Context(), attemptTimeout, errAttempt)
	defer cancel()
	w := t.w
	w.status, w.header, w.body, w.err = 0, nil, nil, nil
	w.started = now()
	resp, err := base.RoundTrip(req.WithContext(ctx))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		resp.Body.Close()
	}
	if err == nil && len(body) > maxAnswer {
		w.status, w.header = resp.StatusCode, resp.Header // an answer, though none of Entra's
		err = errTooLarge
	}
	if err != nil {
		if context.Cause(ctx) == errAttempt {
			err = errAttempt
			if own, ok := base.(ownTransport); ok {
				// A connection that swallowed one request will swallow the next:
				// HTTP/2 keeps it although the request was given up.
				own.CloseIdleConnections()
			}
		}
		return nil, err
	}
	w.status, w.header, w.body = resp.StatusCode, resp.Header, body
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Request = req
	return resp, nil
}

// checkRetry decides whether another attempt may help and fits into the time
// that is left. It never waits for nothing: what would end only with the
// context is an answer now.
func (w *wire) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	w.wait = w.nextWait()
	switch {
	case err != nil:
		if !worthRetry(err) {
			return false, nil
		}
	case resp.StatusCode == http.StatusOK:
		return false, nil
	default:
		e := classify(resp.StatusCode, resp.Header, w.body, ErrOther)
		if !kinds[e.Kind].does.retry || e.reason != "" { // a reason: not Entra answered
			return false, nil
		}
		if told, ok := retryAfter(resp.Header, time.Now()); ok {
			w.wait = max(told, w.wait)
		}
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > w.wait+time.Second, nil
}

// tokenAnswer is a successful answer (RFC 6749 section 5.1). The token itself
// is taken from MSAL.
type tokenAnswer struct {
	lifetime, refreshIn time.Duration
}

// parse reads the members of a 200 that decide whether it is a token, before
// MSAL does, which quotes what it cannot read.
func (w *wire) parse() bool {
	if media, _, err := mime.ParseMediaType(w.header.Get("Content-Type")); err != nil || media != "application/json" && media != "text/json" {
		return false
	}
	var b struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		RefreshIn   json.RawMessage `json:"refresh_in"`
		Error       string          `json:"error"`
	}
	if json.Unmarshal(w.body, &b) != nil || b.Error != "" || !strings.EqualFold(b.TokenType, "Bearer") || !isTokenText(b.AccessToken) {
		return false
	}
	w.parsed.lifetime = seconds(b.ExpiresIn)
	w.parsed.refreshIn = seconds(b.RefreshIn)
	return w.parsed.lifetime > 0
}

// seconds reads a number of seconds that may stand in quotes; 0 if it is none,
// not positive or absurd.
func seconds(raw json.RawMessage) time.Duration {
	var f float64
	if json.Unmarshal(bytes.Trim(raw, `"`), &f) != nil || !(f >= 1 && f <= maxLifetime.Seconds()) {
		return 0
	}
	return time.Duration(f) * time.Second
}

// maxLifetime is the longest lifetime that is believed: Entra's longest is a
// little over a day, and nothing good comes of a token that never ends.
const maxLifetime = 30 * 24 * time.Hour

// isTokenText reports whether s can stand in an Authorization header: visible
// ASCII without spaces (RFC 6750 section 2.1).
func isTokenText(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (w *wire) grant(accessToken string) grant {
	if !isTokenText(accessToken) {
		return grant{}
	}
	bearer := bearerPrefix + accessToken
	return grant{
		bearer:    func() string { return bearer },
		received:  w.started, // the lifetime began no later than it was asked for
		lifetime:  w.parsed.lifetime,
		refreshIn: w.parsed.refreshIn,
	}
}

// failure makes the error of the last attempt.
func (w *wire) failure(ctx context.Context, p proof) *Error {
	var e *Error
	switch {
	case w.status == 0 && w.err == nil && ctx.Err() == nil:
		// MSAL sent nothing: what it cannot put together is the claims.
		e = &Error{Kind: ErrRequestMalformed, reason: "the claims cannot be sent: access_token must be an object, and xms_cc is for Options.CAE to set"}
	case w.status == 0:
		e = unreachable(cmp.Or(w.err, context.Cause(ctx)))
	case w.status == http.StatusOK && !isEntraError(w.body):
		e = &Error{Kind: ErrService, HTTPStatus: w.status, reason: "the answer is not a token"}
		if errors.Is(w.err, errTooLarge) {
			e.reason = "the " + errTooLarge.Error()
		} else if isWebPage(w.header) {
			e.reason = strangeAnswer(w.status, w.header)
		}
	default:
		e = classify(w.status, w.header, w.body, p.refusedAs)
	}
	if e.CorrelationID == "" {
		e.CorrelationID = w.requestID
	}
	sent, got := p.value(), tokenIn(w.body)
	for _, s := range []*string{&e.OAuthError, &e.Suberror, &e.Description, &e.Claims, &e.TraceID, &e.CorrelationID} {
		*s = withhold(*s, sent, got)
	}
	return e
}

// nextWait draws the wait before the next attempt: full jitter under a limit
// that doubles from half a second.
func (w *wire) nextWait() time.Duration {
	limit := 500 * time.Millisecond << w.attempts
	w.attempts++
	return rand.N(limit) + 1
}
