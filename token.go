// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Token is an access token. It is for the API it was asked for and opaque to
// the client: nothing here looks into it.
//
// A Token is one pointer to immutable data: copy it freely, use it from any
// number of goroutines. Printing, logging or marshalling one shows its times
// and never its value; only [Token.Value] does. The zero Token is no token.
type Token struct{ p *tokenData }

// tokenData is immutable from the moment it is published.
type tokenData struct {
	// bearer returns "Bearer " and the value. It is a closure because fmt,
	// spew and the like print unexported fields of any string or byte type but
	// cannot see what a func has captured. The prefix is stored with it so that
	// attaching a token to a request allocates no string.
	bearer func() string

	expires  instant // by the server's word, without any margin
	usable   instant // the last moment at which the cache hands it out
	refresh  instant // when a refresh is due
	received int64   // wall clock, unix nanoseconds

	// claims identifies the claims challenge that this token was obtained with,
	// 0 if none.
	claims uint64
}

const bearerPrefix = "Bearer "

// Value returns the access token itself, "" for the zero Token. Do not log it.
func (t Token) Value() string {
	if t.p == nil {
		return ""
	}
	return t.p.bearer()[len(bearerPrefix):]
}

// authorization returns the value of an Authorization header.
func (t Token) authorization() string { return t.p.bearer() }

// ExpiresOn returns the time at which the token ends, by the local wall clock.
// It is the zero time for the zero Token.
func (t Token) ExpiresOn() time.Time {
	if t.p == nil {
		return time.Time{}
	}
	return time.Unix(0, t.p.expires.wall)
}

// RefreshOn returns the time from which the cache looks for a successor. It is
// drawn at random once per token, so that a fleet does not refresh in step.
func (t Token) RefreshOn() time.Time {
	if t.p == nil {
		return time.Time{}
	}
	return time.Unix(0, t.p.refresh.wall)
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.p == nil }

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
