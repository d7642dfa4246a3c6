// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/wwwauth"
)

// Middleware lets requests through to next that bear a token which [Verifier.Verify]
// accepts; next finds the caller by [FromContext]. To others it answers as
// [WriteError] does.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := v.fromRequest(r)
		if err != nil {
			v.logRefusal(r, err)
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, admitted{caller, v})))
	})
}

// errHeaders: whoever reads the first and whoever reads the last of two would let in
// different callers.
var errHeaders = errors.New("verify: the request has more than one Authorization header")

func (v *Verifier) fromRequest(r *http.Request) (*Caller, error) {
	if len(r.Header["Authorization"]) > 1 {
		return nil, errHeaders
	}
	return v.Verify(r.Context(), bearer(r.Header.Get("Authorization")))
}

// bearer returns the token of an Authorization header (RFC 6750 section 2.1), "" if
// there is none. The letter case of the scheme does not matter (RFC 9110 section 11.1).
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// logRefusal tells the API's operator what the caller is not told.
func (v *Verifier) logRefusal(r *http.Request, err error) {
	level := slog.LevelInfo
	if errors.Is(err, ErrUnavailable) {
		level = slog.LevelWarn
	}
	v.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "reason", err)
}

// RequireRole lets callers through to next that have an app role, and answers 403 to
// others. It goes behind [Verifier.Middleware]; without it the answer is 500.
func RequireRole(role string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := r.Context().Value(admittedKey{}).(admitted)
		switch {
		case !ok:
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		case !a.caller.HasRole(role):
			err := a.caller.refused(ErrNotAllowed)
			err.reason = "the route is for role " + role
			a.v.logRefusal(r, err)
			WriteError(w, err)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// WriteError answers a request with an error of [Verifier.Verify], as Middleware does,
// for routers that it does not fit into. What it tells of the reason is the status:
// 401, with one text for whatever is wrong with a token, so that nobody learns from
// the answer how far a forged one got; 403; 503 with Retry-After if the token could
// not be checked. A caller whose token is revoked is asked for another one if it can
// answer that. Any other error is answered with 500.
//
// See RFC 6750 section 3 and
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func WriteError(w http.ResponseWriter, err error) {
	e := asError(err)
	switch {
	case errors.Is(err, errHeaders):
		reply(w, http.StatusBadRequest, `Bearer realm="", error="invalid_request"`)
	case e == nil:
		reply(w, http.StatusInternalServerError, "")
	case e.Kind == ErrRevoked && e.caller != nil && e.caller.challengeable:
		challenge(w, e.authority, e.since)
	default:
		writeGroup(w, e)
	}
}

func writeGroup(w http.ResponseWriter, e *Error) {
	switch e.group() {
	case ErrForbidden:
		reply(w, http.StatusForbidden, `Bearer realm="", error="insufficient_scope"`)
	case ErrUnavailable:
		wait := max(time.Until(e.RetryAt), 0) + time.Second // rounded up
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
		reply(w, http.StatusServiceUnavailable, "")
	default:
		text := `Bearer realm="", authorization_uri="` + e.authority + `/common/oauth2/v2.0/authorize"`
		if e.Kind != ErrNoToken {
			text += `, error="invalid_token", error_description="the access token is not valid for this API"`
		}
		reply(w, http.StatusUnauthorized, text)
	}
}

// Challenge answers 401 to a caller whose token is good, and who shall bring one that
// was issued after notBefore: after a role was taken away, say (continuous access
// evaluation). A caller that does not know such challenges is told that its token is
// not valid, which helps once it is given a new one.
func (v *Verifier) Challenge(w http.ResponseWriter, c *Caller, notBefore time.Time) {
	if c == nil || !c.challengeable {
		writeGroup(w, &Error{Kind: ErrRevoked, authority: v.authority})
		return
	}
	challenge(w, v.authority, notBefore)
}

func challenge(w http.ResponseWriter, authority string, notBefore time.Time) {
	if notBefore.IsZero() {
		notBefore = time.Now()
	}
	claims := `{"access_token":{"nbf":{"essential":true,"value":"` + strconv.FormatInt(notBefore.Unix(), 10) + `"}}}`
	c := wwwauth.Challenge{Scheme: "Bearer", Params: []wwwauth.Param{
		{Name: "realm"},
		{Name: "authorization_uri", Value: authority + "/common/oauth2/v2.0/authorize"},
		{Name: "error", Value: "insufficient_claims"},
		wwwauth.ClaimsParam(claims),
	}}
	text, err := c.AppendText(nil)
	if err != nil { // never: all of it is ASCII
		reply(w, http.StatusUnauthorized, "")
		return
	}
	reply(w, http.StatusUnauthorized, string(text))
}

func reply(w http.ResponseWriter, status int, challenge string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	http.Error(w, http.StatusText(status), status)
}
