// SPDX-License-Identifier: MIT

package verify

import (
	"errors"
	"log/slog"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// An Error is why a token was not accepted. It holds no token. What it says is for
// the API's own log: [WriteError] tells callers less.
type Error struct {
	Kind Kind

	// TenantID and ClientID are those of the token, once its signature was found to
	// be Entra's; empty before, when they are anybody's word.
	TenantID, ClientID string
	// RetryAt is the earliest time at which asking again makes sense, zero unless the
	// kind is one of [ErrUnavailable].
	RetryAt time.Time

	reason    string    // what differs from what was wanted, fit for Error
	cause     error     // only below ErrUnavailable
	anonymous bool      // the signature was not checked
	authority string    // of the API's cloud
	caller    *Caller   // nil unless revoked
	since     time.Time // of the revocation
}

// Error returns one stable line: the kind, and what was found where something else
// was wanted. Values of the token are in it only if Entra signed them.
func (e *Error) Error() string {
	text := "verify: " + e.text()
	if e.TenantID != "" {
		text += "; tenant " + e.TenantID
	}
	if e.ClientID != "" {
		text += ", client " + ident.OneLine(e.ClientID, 100)
	}
	return text
}

// text is what Error says, without the IDs.
func (e *Error) text() string {
	if e.reason == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + ident.OneLine(e.reason, 300)
}

// Unwrap returns the network error, the context's or the one of TenantFunc, nil
// unless the kind is one of [ErrUnavailable].
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the error's [Kind] or its group.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && (k == e.Kind || k == e.group())
}

// group is that of the kind, unless nobody knows who is calling.
func (e *Error) group() Kind {
	if e.anonymous && e.Kind.Group() == ErrForbidden {
		return ErrUnauthenticated
	}
	return e.Kind.Group()
}

// LogValue makes slog print the fields apart.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", string(e.Kind)), slog.String("error", e.text())}
	if e.TenantID != "" {
		attrs = append(attrs, slog.String("tenant", e.TenantID), slog.String("client", ident.OneLine(e.ClientID, 100)))
	}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(append(attrs, slog.String("remedy", e.Kind.Remedy()))...)
}

// refuse makes an error of a token whose signature has not been checked.
func refuse(kind Kind, reason string) *Error {
	return &Error{Kind: kind, reason: reason, anonymous: true}
}

// asError returns err as an Error, nil if it is none.
func asError(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}
