// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

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
	sender
	userHTTP  *http.Client // Options.HTTPClient, which assertion sources ask by, too
	observers observers
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
		HTTPClient: a.userHTTP,
		skew:       skew, clockKnown: known,
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
	g, err = a.exchange(ctx, turn, m, p)
	if err != nil && m.refused != nil && !recoveryFor(err).retrySoon { // else nobody has judged it
		m.refused(asked)
	}
	return g, p.expires, err
}

// exchange makes one token request.
func (a *acquisition) exchange(ctx context.Context, turn *wire.Turn, m *material, p proof) (tokencache.Grant, error) {
	t := &tokenRequest{acquisition: a, turn: turn, id: ident.NewGUID()}
	claims := a.Claims
	if a.cp1 {
		var ok bool
		if claims, ok = withCP1(claims); !ok {
			return tokencache.Grant{}, &Error{Kind: ErrRequestMalformed, reason: "the claims cannot be sent together with Options.CAE: access_token in them must be an object"}
		}
	}
	if err := a.state.msal.write(ctx, &msalRequest{a.cloud, a.clientID, p, m.fingerprint, a.Scope, claims, t.post}); err != nil {
		return tokencache.Grant{}, err
	}
	a.measureSkew(t)
	if t.got.token == "" {
		return tokencache.Grant{}, t.failure(ctx, p)
	}
	return newGrant(t.got.token, t.answer.Sent, t.got.lifetime, t.got.refreshIn), nil // the lifetime began no later than it was asked for
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

// A tokenRequest is one request to the token endpoint of a tenant, and what came
// back.
type tokenRequest struct {
	*acquisition
	turn   *wire.Turn
	id     string // Entra echoes only GUIDs as correlation IDs
	answer wire.Answer
	got    tokenAnswer
}

// post sends what MSAL wrote to the tenant's endpoint and to nowhere else.
func (t *tokenRequest) post(req *http.Request) {
	var err error
	if req.URL, err = url.Parse(t.cloud.TokenEndpoint(t.Tenant)); err != nil {
		return
	}
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
	t.turn.End() // what follows needs no network
	t.got = readToken(t.answer.Status, t.answer.Header, t.answer.Body)
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
	if e.Issuer != "" && !p.expires.IsZero() {
		e.detail = "the assertion has exp " + p.expires.UTC().Format(time.RFC3339)
	}
	t.explain(e, p)
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

// explain says what follows from what was sent, and by which way.
func (t *tokenRequest) explain(e *Error, p proof) {
	switch refused := e.HTTPStatus == http.StatusUnauthorized || e.HTTPStatus == http.StatusForbidden; {
	case t.proxied && refused && !isEntraError(t.answer.Body):
		e.reason = "the cluster's token proxy answered, and not Entra: a ClusterRole has to let the service account use-managed-identity of this client ID"
	case e.reason != "":
	case e.Kind == ErrSecretInvalid:
		e.reason = p.resemblance
	case e.Kind == ErrFederationMismatch:
		e.reason = t.misdirected(p.sent.audience, t.cloud.ExchangeAudience())
	case e.Kind == ErrAssertionInvalid && p.sent.issuer != "" && p.sent.algorithm != "RS256":
		e.reason = "the assertion is signed by " + ident.Quote(p.sent.algorithm) + ", and Entra documents RS256 alone: have its issuer sign with an RSA key"
	}
}
