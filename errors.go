// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/netfault"
)

// Error is why a token could not be had. It is shared by everybody who waited
// for the same token: do not change it.
//
// "Could not ask" and "was refused" differ: HTTPStatus is 0 when Entra did not
// answer ([ErrUnreachable]) or was not asked ([ErrCredentialUnavailable]), and
// the local cause is then found by errors.Is and errors.As.
//
// No Error holds a secret, an assertion or a token, at any depth.
type Error struct {
	Kind Kind
	// Code is the AADSTS number that decided, 0 if there was none.
	Code int
	// OAuthError, Suberror, Description and Claims are members of Entra's
	// answer: error (RFC 6749 section 5.2), suberror, error_description without
	// its trailing IDs, claims.
	OAuthError, Suberror, Description, Claims string
	// HTTPStatus is the status of Entra's answer, 0 if there was none.
	HTTPStatus int

	TenantID, ClientID, Scope string

	// TraceID and CorrelationID are what Microsoft's support asks for.
	TraceID, CorrelationID string
	// Timestamp is Entra's time of the answer, zero if it gave none.
	Timestamp time.Time
	// Thumbprint and ThumbprintSHA256 are those of the certificate that was sent, in
	// hexadecimal; the first, by SHA-1, is what the Azure portal shows. Empty if none
	// was.
	Thumbprint, ThumbprintSHA256 string
	// Issuer, Subject and Audience are claims of the federated assertion that was
	// sent, which a federated credential of the app has to match byte by byte. Empty
	// if none was, or where they cannot be read.
	Issuer, Subject, Audience string
	// RetryAt is the earliest time at which asking again makes sense, zero if
	// unknown.
	RetryAt time.Time
	// Remembered says that Entra was not asked for this call: the answer to an
	// earlier one still stands.
	Remembered bool

	cause  error  // ctx, network or local error; nothing that holds a request
	reason string // the cause in a stable text, fit for Error
	detail string // what varies (times, sizes), for %+v only
}

// Error returns one stable line, the cause first: two failures that differ only in IDs, times
// or Entra's wording give equal text, so that a controller may write it into a
// status field without waking itself up. Everything else is in the fields, in
// %+v and in [Error.LogValue].
func (e *Error) Error() string {
	var b strings.Builder
	e.writeCause(&b)
	sep := "; "
	for _, part := range [...]struct{ name, value string }{
		{"tenant", e.TenantID}, {"client", e.ClientID}, {"scope", e.Scope},
	} {
		if part.value != "" {
			b.WriteString(sep + part.name + " " + ident.OneLine(part.value, 100))
			sep = ", "
		}
	}
	b.WriteString("; see " + troubleshooting + string(e.Kind))
	return b.String()
}

// writeCause says what is wrong, and not for whom.
func (e *Error) writeCause(b *strings.Builder) {
	b.WriteString(e.Kind.Error())
	if e.Code != 0 {
		b.WriteString(" (AADSTS" + strconv.Itoa(e.Code) + ")")
	} else if e.OAuthError != "" {
		b.WriteString(" (" + ident.OneLine(e.OAuthError, 40) + ")")
	} else if e.HTTPStatus != 0 {
		b.WriteString(" (HTTP " + strconv.Itoa(e.HTTPStatus) + ")")
	}
	if e.reason != "" {
		b.WriteString(": " + ident.OneLine(e.reason, 250))
	}
	if e.Kind.Group() == ErrCredential {
		e.writeSent(b)
	}
}

// writeSent names the proof that was refused, as it has to be compared with what
// is registered.
func (e *Error) writeSent(b *strings.Builder) {
	if e.ThumbprintSHA256 != "" {
		b.WriteString("; certificate with thumbprint " + e.Thumbprint)
	}
	sep := "; assertion with "
	for _, part := range [...]struct{ name, value string }{{"iss", e.Issuer}, {"sub", e.Subject}, {"aud", e.Audience}} {
		if part.value != "" {
			b.WriteString(sep + part.name + " " + strconv.Quote(ident.OneLine(part.value, 200)))
			sep = ", "
		}
	}
}

const troubleshooting = "github.com/apponly/apponly/blob/main/TROUBLESHOOTING.md#"

// Unwrap returns the context, network or local error beneath, nil if Entra
// refused.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the error's [Kind] or that kind's group.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && (e.Kind == k || e.Kind.Group() == k)
}

// Format prints [Error.Error], and with %+v the details behind it.
func (e *Error) Format(f fmt.State, verb rune) {
	text := e.Error()
	switch {
	case verb == 'q':
		text = strconv.Quote(text)
	case verb == 'v' && f.Flag('+'):
		for _, a := range e.attrs() {
			text += " " + a.Key + "=" + strconv.Quote(a.Value.String())
		}
	}
	io.WriteString(f, text)
}

// LogValue gives slog the error as a group, one attribute per field that is
// set.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.String("msg", e.Error()), slog.String("kind", string(e.Kind))}, e.attrs()...)...)
}

func (e *Error) attrs() []slog.Attr {
	var attrs []slog.Attr
	str := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, ident.OneLine(value, 2000)))
		}
	}
	if e.HTTPStatus != 0 {
		attrs = append(attrs, slog.Int("http_status", e.HTTPStatus))
	}
	if e.Code != 0 {
		attrs = append(attrs, slog.Int("aadsts", e.Code))
	}
	str("oauth_error", e.OAuthError)
	str("suberror", e.Suberror)
	str("description", e.Description)
	str("claims", e.Claims)
	str("thumbprint", e.Thumbprint)
	str("thumbprint_sha256", e.ThumbprintSHA256)
	str("iss", e.Issuer)
	str("sub", e.Subject)
	str("aud", e.Audience)
	str("trace_id", e.TraceID)
	str("correlation_id", e.CorrelationID)
	if !e.Timestamp.IsZero() {
		attrs = append(attrs, slog.Time("timestamp", e.Timestamp))
	}
	if !e.RetryAt.IsZero() {
		attrs = append(attrs, slog.Time("retry_at", e.RetryAt))
	}
	if e.Remembered {
		attrs = append(attrs, slog.Bool("remembered", true))
	}
	str("detail", e.detail)
	str("remedy", e.Kind.Remedy())
	return attrs
}

// of returns a copy with the tenant, app and scope that it is about.
func (e *Error) of(tenantID, clientID, scope string) *Error {
	c := *e
	c.TenantID, c.ClientID, c.Scope = tenantID, clientID, scope
	return &c
}

// unreachable makes the error of a request that brought no answer.
func unreachable(err error) *Error {
	e := &Error{Kind: ErrUnreachable}
	if local, ok := errors.AsType[*localError](err); ok {
		e.reason, e.cause = local.Error(), local
		if _, ok := kinds[local.kind]; ok {
			e.Kind = local.kind // it was not the network
		}
	} else {
		e.reason, e.cause = netfault.Describe(err)
	}
	return e
}

// unavailable makes the error of a credential that could not be produced.
func unavailable(err error) *Error {
	e := &Error{Kind: ErrCredentialUnavailable, cause: err, reason: err.Error()}
	if local, ok := errors.AsType[*localError](err); ok {
		e.detail = local.detail
	}
	return e
}

// A localError is a fault found without asking anybody: what is wrong, of
// which kind, and optionally the error beneath.
type localError struct {
	kind   Kind
	text   string // stable, no secrets, no times
	detail string
	cause  error
}

func (e *localError) Error() string { return e.text }
func (e *localError) Unwrap() error { return e.cause }
func (e *localError) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && (e.kind == k || e.kind.Group() == k) || target == netfault.ErrLocal
}

func errorf(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &localError{kind: kind, text: err.Error(), cause: errors.Unwrap(err)}
}

// inField says where the value came from that err, a localError, is about.
func inField(where string, err error) error {
	local, ok := errors.AsType[*localError](err)
	if !ok {
		return err
	}
	e := *local
	e.text = "apponly: " + where + ": " + strings.TrimPrefix(e.text, "apponly: ")
	return &e
}

// A contextError is what a caller gets whose own context ended first. It is
// errors.Is both ctx.Err() and context.Cause(ctx): with only the cause, a caller that
// set one loses context.DeadlineExceeded.
type contextError struct {
	scope      string
	err, cause error
}

func (e *contextError) Error() string {
	text := "apponly: waiting for a token for " + ident.OneLine(e.scope, 100) + ": " + e.err.Error()
	if e.cause != nil && e.cause != e.err {
		text += ": " + ident.OneLine(e.cause.Error(), 200)
	}
	return text
}

func (e *contextError) Unwrap() []error {
	if e.cause == nil || e.cause == e.err {
		return []error{e.err}
	}
	return []error{e.err, e.cause}
}

// Timeout makes a deadline that passed while waiting for a token a timeout to
// url.Error, which asks the error itself and not what it wraps.
func (e *contextError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }

func checkTenant(id string) (string, error) {
	tenant, err := ident.Tenant(id)
	switch {
	case errors.Is(err, ident.ErrAuthority):
		return "", errorf(ErrAuthorityInvalid, "apponly: %w", err)
	case err != nil:
		return "", errorf(ErrTenantNotFound, "apponly: %w%s", err, strayNote(id))
	}
	return tenant, nil
}

func checkClientID(id string) (string, error) {
	app, err := ident.ClientID(id)
	if err != nil {
		return "", errorf(ErrAppNotFound, "apponly: %w%s", err, strayNote(id))
	}
	return app, nil
}

// strayNote names what has been added to an identifier, which its text cannot show.
func strayNote(id string) string {
	if stray := strayText(id); stray != nil {
		return "; it " + stray.Error()
	}
	return ""
}

func checkScope(scope string) error {
	if err := ident.CheckScope(scope); err != nil {
		return errorf(ErrScopeInvalid, "%w", err)
	}
	return nil
}

// holdsNil reports whether v is an interface that is not nil and holds nil.
func holdsNil(v any) bool {
	switch p := reflect.ValueOf(v); p.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return p.IsNil()
	}
	return false
}
