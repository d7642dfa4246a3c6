// SPDX-License-Identifier: MIT

// Package wwwauth reads and writes the challenges of WWW-Authenticate headers
// (RFC 9110 section 11.6.1), and Entra ID's claims challenge among them.
package wwwauth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Challenge is an authentication scheme with its parameters. Of the other form,
// a scheme with an opaque token68 such as Negotiate has, only the scheme is read.
type Challenge struct {
	Scheme string
	Params []Param
}

// A Param is a parameter of a challenge, its value without quotes and escapes.
type Param struct{ Name, Value string }

// Get returns the first value of a parameter that is not empty. The letter case of
// its name does not matter.
func (c Challenge) Get(name string) string {
	for _, p := range c.Params {
		if p.Value != "" && strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// net/http accepts headers of many megabytes, so what is made of them is bounded.
const (
	maxChallenges = 64       // in one response
	maxParams     = 64       // in one challenge
	maxClaims     = 64 << 10 // bytes, decoded
)

// Parse returns the challenges of all WWW-Authenticate lines of h, in order. It
// stops reading a line where that is malformed; what came before counts.
func Parse(h http.Header) []Challenge {
	var all []Challenge
	for _, line := range h["Www-Authenticate"] {
		r := reader{line}
		for c := r.challenge(); c.Scheme != "" && len(all) < maxChallenges; c = r.challenge() {
			all = append(all, c)
		}
	}
	return all
}

// Claims returns the claims that a 401 asks for, decoded to JSON, "" if it asks for
// none. malformed reports that it asks for some that cannot be read. See
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func Claims(h http.Header) (claims string, malformed bool) {
	for _, c := range Parse(h) {
		if strings.EqualFold(c.Scheme, "Bearer") && c.Get("error") == "insufficient_claims" {
			if claims, ok := decodeClaims(c.Get("claims")); ok {
				return claims, false
			}
			malformed = true
		}
	}
	return "", malformed
}

func decodeClaims(text string) (claims string, ok bool) {
	if base64.RawStdEncoding.DecodedLen(len(text)) > maxClaims {
		return "", false
	}
	// APIs send either alphabet, standard or URL-safe, with and without padding.
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.DecodeString(text)
	var object map[string]json.RawMessage
	return string(b), err == nil && json.Unmarshal(b, &object) == nil && object != nil
}

// ClaimsParam returns the parameter that asks for claims, which are a JSON object.
func ClaimsParam(claims string) Param {
	return Param{Name: "claims", Value: base64.StdEncoding.EncodeToString([]byte(claims))}
}

// AppendText appends c as it stands in a header, with every value quoted: RFC 9110
// demands that of realm, RFC 6750 of error and error_description. It fails if the
// scheme or a name is not a token, if a name is there twice, and if a value is not
// printable ASCII: a line break in it would begin another header.
func (c Challenge) AppendText(b []byte) ([]byte, error) {
	if !isToken(c.Scheme) {
		return nil, fmt.Errorf("wwwauth: scheme %q is not a token", c.Scheme)
	}
	b = append(b, c.Scheme...)
	for i, p := range c.Params {
		switch {
		case !isToken(p.Name):
			return nil, fmt.Errorf("wwwauth: parameter name %q is not a token", p.Name)
		case slices.ContainsFunc(c.Params[:i], func(q Param) bool { return strings.EqualFold(p.Name, q.Name) }):
			return nil, fmt.Errorf("wwwauth: parameter %s is there twice", p.Name)
		case strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' || r > '~' }):
			return nil, fmt.Errorf("wwwauth: value of parameter %s is not printable ASCII", p.Name)
		case i > 0:
			b = append(b, ',')
		}
		b = strconv.AppendQuote(append(b, " "+p.Name+"="...), p.Value) // printable ASCII: a quoted-string
	}
	return b, nil
}

const (
	alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	tokenChars   = alphanumeric + "!#$%&'*+-.^_`|~"
	token68Chars = alphanumeric + "-._~+/"
)

func isToken(s string) bool { return s != "" && strings.Trim(s, tokenChars) == "" }
func isToken68(s string) bool {
	return s != "" && strings.Trim(strings.TrimRight(s, "="), token68Chars) == ""
}

// A reader goes through one header line, in which commas separate challenges and
// parameters alike.
type reader struct{ rest string }

// take reads as many of chars as come next.
func (r *reader) take(chars string) string {
	start := r.rest
	r.rest = strings.TrimLeft(start, chars)
	return start[:len(start)-len(r.rest)]
}

// challenge reads one challenge. Without a scheme it is none.
func (r *reader) challenge() Challenge {
	r.take(" \t,")
	c := Challenge{Scheme: r.take(tokenChars)}
	if strings.HasPrefix(r.rest, "=") { // a parameter without a challenge
		return Challenge{}
	}
	// A token68 may end in "=" and would pass for a parameter without a value.
	element, _, _ := strings.Cut(r.rest, ",")
	if t := strings.TrimLeft(element, " \t"); t != element && isToken68(strings.TrimRight(t, " \t")) {
		r.rest = r.rest[len(element):]
		return c
	}
	for p, ok := r.param(); ok && len(c.Params) < maxParams; p, ok = r.param() {
		c.Params = append(c.Params, p)
	}
	return c
}

// param reads a parameter, or nothing if the next challenge or the end comes first.
func (r *reader) param() (p Param, ok bool) {
	after := *r
	after.take(" \t,")
	p.Name = after.take(tokenChars)
	after.take(" \t")
	if p.Name == "" || !strings.HasPrefix(after.rest, "=") {
		return p, false
	}
	after.rest = after.rest[1:]
	after.take(" \t")
	if p.Value, ok = after.value(); !ok {
		after.rest = "" // nobody can tell where the next parameter begins
	}
	*r = after
	return p, ok
}

// value reads a token or a quoted string.
func (r *reader) value() (string, bool) {
	if token := r.take(tokenChars); token != "" || !strings.HasPrefix(r.rest, `"`) {
		return token, token != ""
	}
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		switch {
		case r.rest[i] == '"':
			r.rest = r.rest[i+1:]
			return b.String(), true
		case r.rest[i] == '\\' && i+1 < len(r.rest):
			i++
		}
		b.WriteByte(r.rest[i])
	}
	return "", false
}
