// SPDX-License-Identifier: MIT

package consent

import (
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// A Result is what the browser brought back. But for Data and RequestedTenant it is what
// the browser says, and proof of nothing.
type Result struct {
	// Data and RequestedTenant are what [Flow.URL] was called with.
	Data, RequestedTenant string
	// UnverifiedTenant is the tenant that the browser names, in lower case. Whoever
	// finishes a consent can write any into it, such as the tenant of a customer who has
	// consented long ago: a token for it says that the app is in that tenant, and not
	// that this browser is anybody of it.
	UnverifiedTenant string
	// Granted: the browser says that the administrator has consented.
	Granted bool
	// Err is why not; nil if Granted.
	Err *Error
}

// A Kind says why there is no consent. It is itself an error, to be compared with:
//
//	if errors.Is(res.Err, consent.ErrCancelled) { … }
type Kind string

// Kinds of [Error].
const (
	// ErrCancelled: the administrator has declined.
	ErrCancelled Kind = "cancelled"
	// ErrWrongAccount: the account is of another tenant than the one asked for.
	ErrWrongAccount Kind = "wrong_account"
	// ErrNotSubscribed: the tenant has no service principal of an API that the app
	// needs.
	ErrNotSubscribed Kind = "not_subscribed"
	// ErrTenantMismatch: the answer is about another tenant than the one asked for.
	ErrTenantMismatch Kind = "tenant_mismatch"
	// ErrRefused: Entra refused, for the reason that Error.Code names.
	ErrRefused Kind = "refused"
)

var kinds = map[Kind]string{
	ErrCancelled:      "the administrator has declined",
	ErrWrongAccount:   "the account belongs to another tenant",
	ErrNotSubscribed:  "the tenant does not have an API that the app needs",
	ErrTenantMismatch: "the answer is not about the tenant that was asked for",
	ErrRefused:        "Entra ID has refused the consent",
}

// Error returns what the kind means, in words that do not change.
func (k Kind) Error() string {
	if text, ok := kinds[k]; ok {
		return text
	}
	return string(k)
}

// An Error is why there is no consent.
type Error struct {
	Kind Kind
	// Code is the AADSTS number, 0 if there was none. It is the browser's word.
	Code int
	// OAuthError is the error of the answer (RFC 6749 section 4.1.2.1), one line of
	// at most 60 bytes. It is the browser's word.
	OAuthError string
}

// Error returns one line of our own words. Entra's description is left out: anybody
// can write one into a link. Of nil, as in a [Result] that is granted, it is "<nil>".
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	text := "consent: " + e.Kind.Error()
	if e.Code != 0 {
		text += " (AADSTS" + strconv.Itoa(e.Code) + ")"
	}
	return text
}

// Is reports whether target is the error's Kind; nil has none.
func (e *Error) Is(target error) bool { return e != nil && target == e.Kind }

// LogValue makes slog print the fields apart.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return slog.GroupValue(slog.String("kind", string(e.Kind)), slog.Int("code", e.Code), slog.String("oauth_error", e.OAuthError))
}

// parameters are those of a callback that mean something.
var parameters = []string{"state", "error", "error_description", "error_subcode", "error_uri", "admin_consent", "tenant", "scope"}

// maxQuery bounds the query of a callback, in bytes.
const maxQuery = 16 << 10

// parseQuery reads the query of a callback, in which each parameter is there once: two
// readers of two would read different ones.
func parseQuery(raw string) (q url.Values, ok bool) {
	if len(raw) > maxQuery {
		return nil, false
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, false
	}
	for _, p := range parameters {
		if len(q[p]) > 1 {
			return nil, false
		}
	}
	return q, true
}

// result reads an answer to the request that s is of. An error wins over
// admin_consent, which is True in errors, too.
func (s *state) result(q url.Values) Result {
	r := Result{Data: s.data, RequestedTenant: s.tenant}
	tenant := strings.ToLower(q.Get("tenant"))
	if ident.IsGUID(tenant) {
		r.UnverifiedTenant = tenant
	}
	switch {
	case q.Has("error"):
		r.Err = errorOf(q)
	case !strings.EqualFold(q.Get("admin_consent"), "True"):
		r.Err = &Error{Kind: ErrRefused}
	case r.UnverifiedTenant == "", ident.IsGUID(s.tenant) && r.UnverifiedTenant != s.tenant:
		r.Err = &Error{Kind: ErrTenantMismatch}
	default:
		r.Granted = true
	}
	return r
}

// errorOf reads an error of Entra's. See
// https://learn.microsoft.com/entra/identity-platform/v2-admin-consent.
func errorOf(q url.Values) *Error {
	e := &Error{Kind: ErrRefused, Code: codeIn(q.Get("error_description")), OAuthError: ident.OneLine(q.Get("error"), 60)}
	switch {
	case e.Code == 65004, strings.EqualFold(q.Get("error_subcode"), "cancel"),
		e.Code == 0 && strings.EqualFold(q.Get("error"), "access_denied"):
		e.Kind = ErrCancelled
	case e.Code == 50020:
		e.Kind = ErrWrongAccount
	case e.Code == 650052:
		e.Kind = ErrNotSubscribed
	}
	return e
}

// codeIn returns the AADSTS number of a description, 0 if there is none.
func codeIn(description string) int {
	_, rest, _ := strings.Cut(description, "AADSTS")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits > 9 {
		return 0
	}
	n, _ := strconv.Atoi(rest[:digits])
	return n
}
