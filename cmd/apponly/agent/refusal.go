// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/apponly/apponly"
)

// The values of error in a refusal: those of RFC 6749, and that of RFC 8628 for who is
// too fast.
const (
	invalidRequest = "invalid_request"
	invalidClient  = "invalid_client"
	accessDenied   = "access_denied"
	unavailable    = "temporarily_unavailable"
	slowDown       = "slow_down"
)

// A refusal is an answer without a token. Its JSON is the one shape of all errors.
type refusal struct {
	Status      int          `json:"-"`
	RetryAfter  int          `json:"-"` // seconds, 0: none
	Error       string       `json:"error"`
	Description string       `json:"error_description"`
	Kind        apponly.Kind `json:"kind,omitempty"`
	Code        int          `json:"code,omitempty"` // AADSTS
	Remedy      string       `json:"remedy,omitempty"`
	RetryAt     *time.Time   `json:"retry_at,omitempty"`
}

func refused(status int, code, text string) *refusal {
	return &refusal{Status: status, Error: code, Description: "apponly agent: " + text}
}

// refusalOf says what an SDK has to be told so that it does the right thing about an
// error: it asks again after Retry-After for 503 and 429, and shows error_description
// to its developer for anything else.
func refusalOf(err error, now time.Time) *refusal {
	e, ok := errors.AsType[*apponly.Error](err)
	switch {
	case ok:
		return tokenRefusal(e, now)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		// The request goes on; whoever asks again joins it.
		r := refused(http.StatusServiceUnavailable, unavailable, "the token request is under way and lasts")
		r.RetryAfter = 1
		return r
	case errors.Is(err, apponly.ErrTenantNotAllowed):
		return &refusal{
			Status: http.StatusForbidden, Error: accessDenied, Description: err.Error(),
			Kind: apponly.ErrTenantNotAllowed, Remedy: apponly.ErrTenantNotAllowed.Remedy(),
		}
	}
	return &refusal{Status: http.StatusBadRequest, Error: invalidRequest, Description: err.Error()}
}

// tokenRefusal is refusalOf for what Entra or the credential has to do with.
func tokenRefusal(e *apponly.Error, now time.Time) *refusal {
	r := &refusal{
		Status: http.StatusBadRequest, Error: e.OAuthError, Description: e.Error() + ". " + e.Kind.Remedy(),
		Kind: e.Kind, Code: e.Code, Remedy: e.Kind.Remedy(),
	}
	if r.Error == "" {
		r.Error = invalidRequest
	}
	switch {
	case e.Kind == apponly.ErrThrottled:
		r.Status, r.Error = http.StatusTooManyRequests, slowDown
	case e.Kind.Group() == apponly.ErrTransient:
		r.Status, r.Error = http.StatusServiceUnavailable, unavailable
	case e.Kind == apponly.ErrTenantNotAllowed:
		r.Status, r.Error = http.StatusForbidden, accessDenied
	}
	if !e.RetryAt.IsZero() {
		at := e.RetryAt.UTC().Round(0)
		r.RetryAt = &at
	}
	if r.Status >= http.StatusTooManyRequests {
		// Rounded up: who comes a moment too early is told to wait once more.
		r.RetryAfter = max(1, int((e.RetryAt.Sub(now)+time.Second-1)/time.Second))
	}
	return r
}

func (r *refusal) write(w http.ResponseWriter) {
	body, err := json.Marshal(r)
	if err != nil { // text, numbers and a time
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	w.WriteHeader(r.Status)
	w.Write(append(body, '\n'))
}
