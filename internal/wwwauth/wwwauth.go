// SPDX-License-Identifier: MIT

// Package wwwauth reads and writes the challenges of WWW-Authenticate headers
// (RFC 9110 section 11.6.1), and Entra ID's claims challenge among them.
package wwwauth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
//
// Beside what RFC 9110 allows it reads what Azure's services send: values without
// quotes that are no tokens, such as a URL, and blanks or semicolons between
// parameters.
func Parse(h http.Header) []Challenge {
	all, _ := parse(h)
	return all
}

// parse also returns the lines that were not read to their end.
func parse(h http.Header) (all []Challenge, malformed []string) {
	for _, line := range h["Www-Authenticate"] {
		r := reader{rest: line}
		for c := r.challenge(); c.Scheme != "" && len(all) < maxChallenges; c = r.challenge() {
			all = append(all, c)
		}
		if r.malformed || r.rest != "" {
			malformed = append(malformed, line)
		}
	}
	return all, malformed
}

const insufficientClaims = "insufficient_claims"

// Claims returns the claims that a 401 or 403 asks for, decoded to JSON, "" if it
// asks for none. malformed reports that it asks for some that cannot be read. See
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
//
// A revoked session has "invalid_token" for its error, and claims all the same.
func Claims(h http.Header) (claims string, malformed bool) {
	all, lines := parse(h)
	for _, c := range all {
		wanted, text := bare(c.Get("error")), bare(c.Get("claims"))
		insufficient := strings.EqualFold(wanted, insufficientClaims)
		if !strings.EqualFold(c.Scheme, "Bearer") || wanted == "" || text == "" && !insufficient {
			continue
		}
		if claims, ok := decodeClaims(text); ok {
			return claims, false
		}
		malformed = true
	}
	return "", malformed || slices.ContainsFunc(lines, mentionsClaims)
}

// InvalidToken reports whether a Bearer challenge says that the token is the fault,
// so that another one may do.
func InvalidToken(h http.Header) bool {
	return slices.ContainsFunc(Parse(h), func(c Challenge) bool {
		return strings.EqualFold(c.Scheme, "Bearer") && strings.EqualFold(bare(c.Get("error")), "invalid_token")
	})
}

// mentionsClaims reports whether a line that cannot be read seems to ask for claims.
func mentionsClaims(line string) bool {
	line = strings.ToLower(line[:min(len(line), maxClaims)])
	return strings.Contains(line, insufficientClaims) || strings.Contains(line, "claims=")
}

// bare drops quotes that are none of RFC 9110.
func bare(value string) string { return strings.Trim(value, "'") }

// decodeClaims decodes claims from base64. APIs send either alphabet, standard or
// URL-safe, with padding or without, escaped as in a URL, and folded.
func decodeClaims(text string) (claims string, ok bool) {
	if base64.RawStdEncoding.DecodedLen(len(text)) > maxClaims {
		return "", false
	}
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	text = strings.NewReplacer("-", "+", "_", "/", " ", "", "\t", "").Replace(text)
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
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

// separators stand between challenges and between parameters alike. RFC 9110 has
// commas and blanks.
const separators = " \t,;"

// A reader goes through one header line.
type reader struct {
	rest      string
	malformed bool // a value was, and rest is dropped
}

// take reads as many of chars as come next.
func (r *reader) take(chars string) string {
	start := r.rest
	r.rest = strings.TrimLeft(start, chars)
	return start[:len(start)-len(r.rest)]
}

// challenge reads one challenge. Without a scheme it is none.
func (r *reader) challenge() Challenge {
	r.take(separators)
	start := r.rest
	c := Challenge{Scheme: r.take(tokenChars)}
	if strings.HasPrefix(r.rest, "=") { // a parameter without a challenge
		r.rest = start // it is not read
		return Challenge{}
	}
	// A token68 may end in "=" and would pass for a parameter without a value, which
	// it is if another parameter follows.
	element, next, _ := strings.Cut(r.rest, ",")
	if t := strings.TrimLeft(element, " \t"); t != element && isToken68(strings.TrimRight(t, " \t")) && !beginsParam(next) {
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
	after.take(separators)
	if p.Name, ok = after.name(); !ok {
		return p, false
	}
	if p.Value, ok = after.value(); !ok {
		after.malformed, after.rest = true, "" // nobody can tell where the next parameter begins
	}
	*r = after
	return p, ok
}

// name reads the name of a parameter and what is in front of its value.
func (r *reader) name() (name string, ok bool) {
	name = r.take(tokenChars)
	r.take(" \t")
	if name == "" || !strings.HasPrefix(r.rest, "=") {
		return "", false
	}
	r.rest = r.rest[1:]
	r.take(" \t")
	return name, true
}

// value reads a quoted string, or a value without quotes.
func (r *reader) value() (string, bool) {
	if !strings.HasPrefix(r.rest, `"`) {
		return r.unquoted(), true
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

// unquoted reads a value without quotes, which need not be a token: Storage,
// Dataverse and Azure DevOps send a URL. It ends with the line, or at the first
// separators behind which a parameter or another challenge begins, so that a
// sentence or a comma in a URL does not end it.
func (r *reader) unquoted() string {
	after := *r
	for {
		i := strings.IndexAny(after.rest, separators)
		if i < 0 {
			i = len(after.rest)
		}
		end := len(r.rest) - len(after.rest) + i
		after.rest = after.rest[i:]
		comma := strings.Contains(after.take(separators), ",")
		if after.rest == "" || beginsParam(after.rest) || comma && beginsChallenge(after.rest) {
			value := r.rest[:end]
			r.rest = r.rest[end:]
			return value
		}
	}
}

// beginsParam reports whether a parameter comes next.
func beginsParam(s string) bool {
	r := reader{rest: s}
	r.take(separators)
	_, ok := r.name()
	return ok
}

// beginsChallenge reports whether a scheme with a parameter comes next.
func beginsChallenge(s string) bool {
	r := reader{rest: s}
	if r.take(tokenChars) == "" || r.take(" \t") == "" {
		return false
	}
	_, ok := r.name()
	return ok
}
