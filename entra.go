// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/tokencache"
	"github.com/apponly/apponly/internal/wire"
)

// entraTimeout bounds one flight to Entra, retries included.
const entraTimeout = 30 * time.Second

// entraSource gets tokens from Entra with one of its credentials.
type entraSource struct {
	cloud       cloud.Cloud
	clientID    string
	credentials []*credential // those of a FirstOf, or the only one
	cp1         bool
	http        *http.Client
}

// An acquisition is one flight to Entra, and what is seen on the way.
type acquisition struct {
	*entraSource
	tokencache.Request
	state  *credentialState
	events []Event
}

// record notes what the observers are told once the flight is over.
func (a *acquisition) record(ev Event) { a.events = append(a.events, ev) }

// attributed returns an error for observers, with the tenant, app and scope in it.
func (a *acquisition) attributed(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.of(a.Tenant, a.clientID, a.Scope)
	}
	return err
}

func (a *acquisition) assertionRequest() AssertionRequest {
	skew, known := a.state.skew.now()
	return AssertionRequest{
		TenantID: a.Tenant, ClientID: a.clientID,
		TokenEndpoint: a.cloud.TokenEndpoint(a.Tenant), Audience: a.cloud.ExchangeAudience(),
		skew: skew, clockKnown: known,
	}
}

// ask sends one token request with some material. ends is when the proof of it
// does, zero if that is not known.
func (a *acquisition) ask(ctx context.Context, m *material) (g tokencache.Grant, ends time.Time, err error) {
	asked := a.assertionRequest()
	p, err := m.prove(ctx, asked)
	if err != nil {
		return g, ends, unavailable(err)
	}
	g, err = a.exchange(ctx, p)
	if err != nil && m.refused != nil {
		m.refused(asked)
	}
	return g, p.expires, err
}

// exchange makes one token request. MSAL writes it; everything below and above
// MSAL is ours.
//
// A new MSAL client for each request costs microseconds and keeps nothing of
// MSAL's alive: no token cache that never shrinks, no credential fixed at
// construction, no discovery that is shared and ends with one caller's context.
func (a *acquisition) exchange(ctx context.Context, p proof) (tokencache.Grant, error) {
	t := &tokenRequest{acquisition: a, id: ident.NewGUID()}
	client, err := a.msal(t, p)
	if err != nil {
		return tokencache.Grant{}, err
	}
	var opts []confidential.AcquireByCredentialOption
	if a.Claims != "" {
		opts = append(opts, confidential.WithClaims(a.Claims))
	}
	result, err := client.AcquireTokenByCredential(ctx, []string{a.Scope}, opts...)
	a.measureSkew(t)
	if err != nil {
		// Never wrapped: MSAL's errors hold the request, and with it the secret,
		// or quote the whole answer, and with it the token.
		return tokencache.Grant{}, t.failure(ctx, p)
	}
	return newGrant(result.AccessToken, t.answer.Sent, t.lifetime, t.refreshIn), nil // the lifetime began no later than it was asked for
}

// msal returns an MSAL client for one request, which t sends.
func (a *acquisition) msal(t *tokenRequest, p proof) (confidential.Client, error) {
	var cred confidential.Credential
	var err error
	if p.assertion {
		cred = confidential.NewCredFromAssertionCallback(
			func(context.Context, confidential.AssertionRequestOptions) (string, error) { return p.value(), nil })
	} else if cred, err = confidential.NewCredFromSecret(p.value()); err != nil {
		return confidential.Client{}, unavailable(errorf(ErrCredentialUnavailable, "client secret is empty"))
	}
	opts := []confidential.Option{
		confidential.WithHTTPClient(t),
		confidential.WithInstanceDiscovery(false),
		// MSAL reads MSAL_FORCE_REGION from the environment and would send the
		// credential to a regional host, or ask IMDS which one.
		confidential.WithAzureRegion("DisableMsalForceRegion"),
	}
	if a.cp1 {
		opts = append(opts, confidential.WithClientCapabilities([]string{"cp1"}))
	}
	client, err := confidential.New(a.cloud.Authority()+"/"+a.Tenant, a.clientID, cred, opts...)
	if err != nil {
		return client, &Error{Kind: ErrRequestMalformed, reason: "the request could not be built"}
	}
	return client, nil
}

// measureSkew learns from the clock of an answer, if it is one of Entra's and
// not of a proxy.
func (a *acquisition) measureSkew(t *tokenRequest) {
	if t.lifetime == 0 && !isEntraError(t.answer.Body) {
		return
	}
	date, err := http.ParseTime(t.answer.Header.Get("Date"))
	if err != nil {
		return
	}
	if skew, notable := a.state.skew.measure(date, t.answer.Sent.Time()); notable {
		a.record(Event{Kind: EventClockSkew, Skew: skew})
	}
}

// A tokenRequest carries the HTTP requests of one exchange. It is what MSAL
// takes for its HTTP client: it answers MSAL's OpenID configuration request
// itself, so that a token costs exactly one request over the network, sends
// nothing anywhere but to the token endpoint, and keeps what came back.
type tokenRequest struct {
	*acquisition
	id     string // Entra echoes only GUIDs as correlation IDs
	answer wire.Answer
	// The members of an answer that is a token (RFC 6749 section 5.1), but for
	// the token itself, which is taken from MSAL. lifetime is 0 if it is none.
	lifetime, refreshIn time.Duration
}

var (
	errRefused = errors.New("refused")                   // the answer is kept in the tokenRequest
	errStray   = errors.New("request to an unknown URL") // MSAL asked for something else
)

// CloseIdleConnections does nothing: MSAL calls it when one request fails, and
// the connections are everybody's.
func (t *tokenRequest) CloseIdleConnections() {}

// Do sends MSAL's requests.
func (t *tokenRequest) Do(req *http.Request) (*http.Response, error) {
	endpoint := t.cloud.TokenEndpoint(t.Tenant)
	authority := t.cloud.Authority() + "/" + t.Tenant
	switch req.Method + " " + strings.TrimSuffix(req.URL.String(), "?") {
	case "GET " + authority + "/v2.0/.well-known/openid-configuration":
		// The part that MSAL reads. Everything in it follows from authority and
		// tenant.
		b, _ := json.Marshal(map[string]string{
			"issuer":                 authority + "/v2.0",
			"authorization_endpoint": authority + "/oauth2/v2.0/authorize",
			"token_endpoint":         endpoint,
		})
		return response(req, http.Header{"Content-Type": {"application/json"}}, b), nil
	case "POST " + endpoint:
		return t.post(req)
	}
	return nil, errStray
}

// response returns an answer of status 200 that MSAL reads.
func response(req *http.Request, header http.Header, body []byte) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

func (t *tokenRequest) post(req *http.Request) (*http.Response, error) {
	req.Header.Set("client-request-id", t.id)
	req.Header.Set("Return-Client-Request-Id", "true")
	// Says that Retry-After is heeded, for which Entra sends it.
	req.Header.Set("x-ms-lib-capability", "retry-after, h429")
	req.Header.Set("Accept", "application/json")
	again := worthAgain
	if !t.Waiting {
		again = nil
	}
	t.answer = wire.Send(req, t.http, again)
	switch {
	case t.answer.Err != nil:
		return nil, t.answer.Err
	case t.answer.Status != http.StatusOK || !t.parse():
		return nil, errRefused // MSAL would only quote it
	}
	return response(req, t.answer.Header, t.answer.Body), nil
}

// worthAgain reports whether an answer may be another one soon, and how long
// Entra asks to wait.
func worthAgain(a wire.Answer) (after time.Duration, ok bool) {
	if a.Status == http.StatusOK {
		return 0, false
	}
	e := classify(a.Status, a.Header, a.Body, ErrOther)
	if !recoveryFor(e).retry || e.reason != "" { // a reason: not Entra answered
		return 0, false
	}
	after, _ = flight.RetryAfter(a.Header, time.Now())
	return after, true
}

// parse reads the members of a 200 that decide whether it is a token, before
// MSAL does, which quotes what it cannot read.
func (t *tokenRequest) parse() bool {
	if media, _, err := mime.ParseMediaType(t.answer.Header.Get("Content-Type")); err != nil || media != "application/json" && media != "text/json" {
		return false
	}
	var b struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		RefreshIn   json.RawMessage `json:"refresh_in"`
		Error       string          `json:"error"`
	}
	if json.Unmarshal(t.answer.Body, &b) != nil || b.Error != "" || !strings.EqualFold(b.TokenType, "Bearer") || !isTokenText(b.AccessToken) {
		return false
	}
	t.lifetime = seconds(b.ExpiresIn)
	t.refreshIn = seconds(b.RefreshIn)
	return t.lifetime > 0
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

// failure makes the error of the last attempt.
func (t *tokenRequest) failure(ctx context.Context, p proof) *Error {
	var e *Error
	switch a := &t.answer; {
	case a.Status == 0 && a.Err == nil && ctx.Err() == nil:
		// MSAL sent nothing: what it cannot put together is the claims.
		e = &Error{Kind: ErrRequestMalformed, reason: "the claims cannot be sent: access_token must be an object, and xms_cc is for Options.CAE to set"}
	case a.Status == 0:
		e = unreachable(cmp.Or(a.Err, context.Cause(ctx)))
	case a.Status == http.StatusOK && !isEntraError(a.Body):
		e = &Error{Kind: ErrService, HTTPStatus: a.Status, reason: "the answer is not a token"}
		if errors.Is(a.Err, wire.ErrTooLarge) {
			e.reason = "the " + wire.ErrTooLarge.Error()
		} else if isWebPage(a.Header) {
			e.reason = describeForeign(a.Status, a.Header)
		}
	default:
		e = classify(a.Status, a.Header, a.Body, p.refusedAs)
	}
	if e.CorrelationID == "" {
		e.CorrelationID = t.id
	}
	e.Thumbprint, e.ThumbprintSHA256 = p.sent.thumbprint, p.sent.thumbprintSHA256
	e.Issuer, e.Subject, e.Audience = p.sent.issuer, p.sent.subject, p.sent.audience
	if e.Kind == ErrSecretInvalid && e.reason == "" {
		e.reason = p.resemblance
	}
	var token struct {
		Value string `json:"access_token"`
	}
	_ = json.Unmarshal(t.answer.Body, &token) // whatever can be read of an answer that is none
	for _, s := range []*string{&e.OAuthError, &e.Suberror, &e.Description, &e.Claims, &e.TraceID, &e.CorrelationID} {
		*s = redactEcho(*s, p.value(), token.Value)
	}
	return e
}

// redactEcho returns text, which a server wrote, or a mark in its place if it
// repeats one of secrets or a longer piece of one, plain or escaped. An echo by
// whatever stands in Entra's place is the one way in which what was sent could
// come back in an error; Entra repeats nothing.
func redactEcho(text string, secrets ...string) string {
	plain, _ := url.QueryUnescape(text) // "" if it is not escaped that way
	for _, s := range secrets {
		if containsPart(text, s) || containsPart(plain, s) || containsPart(html.UnescapeString(text), s) {
			return redacted
		}
	}
	return text
}

// containsPart reports whether text holds secret or a piece of it: echoes get
// cut off. Any piece of twice the step holds one that begins at a multiple of it.
func containsPart(text, secret string) bool {
	const shortest, step = 6, 12
	if len(secret) < shortest || text == "" {
		return false // so short that it is no secret, and may be any word
	}
	if len(secret) < step {
		return strings.Contains(text, secret)
	}
	for i := 0; i+step <= len(secret); i += step {
		if strings.Contains(text, secret[i:i+step]) {
			return true
		}
	}
	return false
}
