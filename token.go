// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

// Token is an access token. It is for the API it was asked for and opaque to
// the client: nothing here looks into it.
//
// A Token is one pointer to immutable data: copy it freely, use it from any
// number of goroutines. Printing, logging or marshalling one shows its times
// and never its value; only [Token.Value] does. The zero Token is no token.
type Token struct{ p *tokencache.Token }

const bearerPrefix = "Bearer "

// Value returns the access token itself, "" for the zero Token. Do not log it.
func (t Token) Value() string {
	if t.p == nil {
		return ""
	}
	return t.p.Bearer()[len(bearerPrefix):]
}

// authorization returns the value of an Authorization header.
func (t Token) authorization() string { return t.p.Bearer() }

// ExpiresOn returns the time at which the token ends, by the local wall clock.
// It is the zero time for the zero Token.
func (t Token) ExpiresOn() time.Time {
	if t.p == nil {
		return time.Time{}
	}
	return t.p.Expires.Time()
}

// RefreshOn returns the time from which the cache looks for a successor. It is
// drawn at random once per token, so that a fleet does not refresh in step.
func (t Token) RefreshOn() time.Time {
	if t.p == nil {
		return time.Time{}
	}
	return t.p.Refresh.Time()
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.p == nil }

// maxLifetime is the longest lifetime that is believed: Entra's longest is a
// little over a day, and nothing good comes of a token that never ends.
const maxLifetime = 30 * 24 * time.Hour

// isTokenText reports whether s can stand in an Authorization header: visible
// ASCII without spaces (RFC 6750 section 2.1).
func isTokenText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// newGrant returns what a source brought, which is nothing if value is no token.
func newGrant(value string, received clock.Instant, lifetime, refreshIn time.Duration) tokencache.Grant {
	if !isTokenText(value) {
		return tokencache.Grant{}
	}
	bearer := bearerPrefix + value
	return tokencache.Grant{Bearer: func() string { return bearer }, Received: received, Lifetime: lifetime, RefreshIn: refreshIn}
}

const redacted = "[redacted]"

// String returns a text with the expiry and without the value.
func (t Token) String() string {
	if t.p == nil {
		return "Token{}"
	}
	return "Token{" + redacted + " expires " + t.ExpiresOn().UTC().Format(time.RFC3339) + "}"
}

// GoString is [Token.String].
func (t Token) GoString() string { return "apponly." + t.String() }

// LogValue makes slog print what [Token.String] returns.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON returns the text of [Token.String]: a token that ends up in a
// JSON document by accident must not end up in it by value.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }
