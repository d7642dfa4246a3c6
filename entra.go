// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/apponly/apponly/cloud"
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
	caFile      string // of http, "" if there is none
	observers   observers
}

// An acquisition is one flight to Entra, and what is seen on the way.
type acquisition struct {
	*entraSource
	tokencache.Request
	state    *credentialState
	events   []Event
	repeated bool // an attempt, and the observers were told
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
	var p proof
	asked := a.assertionRequest()
	if m.elsewhere {
		// With a turn in hand it would wait for those behind us: a vault may want a
		// token that is asked for by the same HTTP client.
		if p, err = m.prove(ctx, asked); err != nil {
			return g, ends, unavailable(err)
		}
	}
	turn, err := wire.TakeTurn(ctx, a.http)
	if err != nil {
		return g, ends, unreachable(err)
	}
	defer turn.End()
	if !m.elsewhere {
		// Not before: it must not grow old in the queue, and thousands of signatures at
		// once would be no faster.
		asked = a.assertionRequest()
		if p, err = m.prove(ctx, asked); err != nil {
			return g, ends, unavailable(err)
		}
	}
	g, err = a.exchange(ctx, turn, p)
	if err != nil && m.refused != nil && !recoveryFor(err).retrySoon { // else nobody has judged it
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
func (a *acquisition) exchange(ctx context.Context, turn *wire.Turn, p proof) (tokencache.Grant, error) {
	t := &tokenRequest{acquisition: a, turn: turn, id: ident.NewGUID()}
	client, err := a.msal(t, p)
	if err != nil {
		return tokencache.Grant{}, err
	}
	var opts []confidential.AcquireByCredentialOption
	claims := a.Claims
	if a.cp1 {
		var ok bool
		if claims, ok = withCP1(claims); !ok {
			return tokencache.Grant{}, &Error{Kind: ErrRequestMalformed, reason: "the claims cannot be sent together with Options.CAE: access_token in them must be an object"}
		}
	}
	if claims != "" {
		opts = append(opts, confidential.WithClaims(claims)) // as they are: MSAL is told of no capability to merge
	}
	_, _ = client.AcquireTokenByCredential(ctx, []string{a.Scope}, opts...)
	a.measureSkew(t)
	if t.got.token == "" {
		// MSAL's error is never wrapped: it holds the request, and with it the secret.
		return tokencache.Grant{}, t.failure(ctx, p)
	}
	return newGrant(t.got.token, t.answer.Sent, t.got.lifetime, t.got.refreshIn), nil // the lifetime began no later than it was asked for
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
	client, err := confidential.New(a.cloud.Authority()+"/"+a.Tenant, a.clientID, cred, opts...)
	if err != nil {
		return client, &Error{Kind: ErrRequestMalformed, reason: "the request could not be built"}
	}
	return client, nil
}

// measureSkew learns from the clock of an answer, if it is one of Entra's and
// not of a proxy.
func (a *acquisition) measureSkew(t *tokenRequest) {
	if t.got.token == "" && !isEntraError(t.answer.Body) {
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
	turn   *wire.Turn
	id     string // Entra echoes only GUIDs as correlation IDs
	answer wire.Answer
	got    tokenAnswer
}

var (
	// MSAL is not given the answer, which is kept in the tokenRequest: it refuses
	// good ones whose members that nobody needs are not to its liking, and quotes bad
	// ones.
	errKept  = errors.New("the answer is read elsewhere")
	errStray = errors.New("request to an unknown URL") // MSAL asked for something else
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
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)), Request: req,
		}, nil
	case "POST " + endpoint:
		return t.post(req)
	}
	return nil, errStray
}

func (t *tokenRequest) post(req *http.Request) (*http.Response, error) {
	req.Header.Set("client-request-id", t.id)
	req.Header.Set("Return-Client-Request-Id", "true")
	// Says that Retry-After is heeded, for which Entra sends it.
	req.Header.Set("x-ms-lib-capability", "retry-after, h429")
	req.Header.Set("Accept", "application/json")
	var policy wire.Policy // once
	if t.Waiting {
		policy = wire.Policy{Again: worthAgain, Repeating: func(failed wire.Answer) { t.repeating(req.Context(), failed) }}
	}
	t.answer = t.turn.Send(req, policy)
	t.got = readToken(t.answer.Status, t.answer.Header, t.answer.Body)
	return nil, errKept
}

// repeating tells the observers, once in a flight, that an attempt failed and that
// callers go on waiting: a start during an outage would be silent until the end.
func (t *tokenRequest) repeating(ctx context.Context, failed wire.Answer) {
	if t.repeated {
		return
	}
	t.repeated = true
	var e *Error
	if failed.Status == 0 {
		e = unreachable(failed.Err)
	} else {
		e = &Error{Kind: classify(failed.Status, failed.Header, failed.Body, ErrOther).Kind, HTTPStatus: failed.Status}
	}
	e.CorrelationID = t.id
	e = e.of(t.Tenant, t.clientID, t.Scope)
	t.observers.emit(context.WithoutCancel(ctx), Event{
		Kind: EventAttemptFailed, Time: time.Now(), TenantID: e.TenantID, ClientID: e.ClientID, Scope: e.Scope, Reason: Reason(t.Reason), Err: e,
	}, nil)
}

// worthAgain reports whether an answer may be another one soon, and how long
// Entra asks to wait.
func worthAgain(a wire.Answer) (after time.Duration, ok bool) {
	if isSuccess(a.Status) {
		return 0, false
	}
	e := classify(a.Status, a.Header, a.Body, ErrOther)
	if !recoveryFor(e).retry || e.reason != "" { // a reason: not Entra answered
		return 0, false
	}
	after, _ = askedToWait(a.Status, a.Header, a.Body)
	return after, true
}

// failure makes the error of the last attempt.
func (t *tokenRequest) failure(ctx context.Context, p proof) *Error {
	var e *Error
	switch a := &t.answer; {
	case a.Status == 0 && a.Err == nil && ctx.Err() == nil:
		e = &Error{Kind: ErrRequestMalformed, reason: "the request could not be built"} // MSAL sent nothing
	case a.Status == 0:
		e = unreachable(cmp.Or(a.Err, context.Cause(ctx)))
	case isSuccess(a.Status) && !isEntraError(a.Body):
		e = &Error{Kind: ErrService, HTTPStatus: a.Status, reason: "the answer is not a token"}
		if errors.Is(a.Err, wire.ErrTooLarge) {
			e.reason = "the " + wire.ErrTooLarge.Error()
		} else if isWebPage(a.Header, a.Body) {
			e.reason = describeForeign(a.Status, a.Header, a.Body)
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
	_ = json.Unmarshal(withoutBOM(t.answer.Body), &token) // whatever can be read of an answer that is none
	echoes := newEchoes(p.value(), token.Value)
	for _, s := range []*string{&e.OAuthError, &e.Suberror, &e.Description, &e.Claims, &e.TraceID, &e.CorrelationID} {
		*s = echoes.redact(*s)
	}
	return e
}
