// SPDX-License-Identifier: MIT

// Package peek shows what is in a token to a person. Nobody but the API that a token
// is for may depend on that.
package peek

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxToken is what no header of HTTP has room for.
const maxToken = 1 << 20

// A Token is one that was taken apart. Its signature is nowhere in it.
type Token struct {
	Header json.RawMessage // an object
	Claims json.RawMessage // an object, nil if the token is encrypted
}

// Encrypted reports whether only its API can read the claims (RFC 7516).
func (t Token) Encrypted() bool { return t.Claims == nil }

// Trim takes away what tokens are copied with: white space, the name of the header and
// the word before the token in it, quotes.
func Trim(text string) string {
	text = strings.TrimSpace(text)
	if name, value, ok := strings.Cut(text, ":"); ok && strings.EqualFold(name, "authorization") {
		text = strings.TrimSpace(value)
	}
	if word, value, ok := strings.Cut(text, " "); ok && strings.EqualFold(word, "bearer") {
		text = strings.TrimSpace(value)
	}
	return strings.Trim(text, `"'`)
}

// Parse takes a token apart that is a JWT (RFC 7519), signed or encrypted. The error
// says what it is instead, and shows nothing of it.
func Parse(token string) (Token, error) {
	parts := strings.Split(token, ".")
	switch {
	case token == "":
		return Token{}, errors.New("there is no token")
	case len(token) > maxToken:
		return Token{}, errors.New("it is larger than a megabyte, as no token is")
	case strings.HasPrefix(token, "{"):
		return Token{}, errors.New("it is JSON: want the token alone, the value of access_token")
	case strings.ContainsAny(token, " \t\r\n"):
		return Token{}, errors.New("there is white space in it: want one token")
	case len(parts) != 3 && len(parts) != 5:
		return Token{}, fmt.Errorf("it is no JWT, which has three parts, or five if it is encrypted, with dots between them: it has %d. A token that is opaque only its API can read", len(parts))
	}
	var t Token
	var err error
	if t.Header, err = object(parts[0]); err != nil {
		return Token{}, fmt.Errorf("it is no JWT: its header is %w", err)
	}
	if len(parts) == 5 {
		return t, nil
	}
	if t.Claims, err = object(parts[1]); err != nil {
		return Token{}, fmt.Errorf("it is no JWT: its payload is %w", err)
	}
	return t, nil
}

var (
	errEncoding = errors.New("not base64url")
	errObject   = errors.New("not a JSON object")
)

func object(part string) (json.RawMessage, error) {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errEncoding
	}
	if b = bytes.TrimSpace(b); !json.Valid(b) || !utf8.Valid(b) || b[0] != '{' {
		return nil, errObject
	}
	return b, nil
}
