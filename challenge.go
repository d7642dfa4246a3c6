// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// A challenge is one of those in WWW-Authenticate headers (RFC 9110 section
// 11.6.1), with those of its parameters that matter here.
type challenge struct {
	scheme, error, claims string // as sent
}

// parseChallenges reads all challenges of all headers, in order. Several may
// stand in one header, in which commas separate challenges and parameters
// alike. Reading of a header stops where it is malformed; what was read of it
// counts.
func parseChallenges(headers []string) []challenge {
	var all []challenge
	for _, h := range headers {
		p := challengeReader{rest: h}
		for p.next() {
			all = append(all, p.challenge)
		}
	}
	return all
}

// maxChallenges bounds what is read of one header.
const maxChallenges = 32

type challengeReader struct {
	rest      string
	n         int
	challenge challenge
}

// next reads one challenge.
func (p *challengeReader) next() bool {
	p.rest = strings.TrimLeft(p.rest, " \t,")
	scheme := p.token()
	if p.n++; scheme == "" || p.n > maxChallenges {
		return false
	}
	p.challenge = challenge{scheme: scheme}
	if strings.HasPrefix(p.rest, "=") {
		return false // a parameter without a challenge
	}
	if p.skipToken68() {
		return true
	}
	for {
		before := p.rest
		p.rest = strings.TrimLeft(p.rest, " \t,")
		name := p.token()
		p.rest = strings.TrimLeft(p.rest, " \t")
		if name == "" || !strings.HasPrefix(p.rest, "=") {
			p.rest = before // the next challenge, or the end
			return true
		}
		p.rest = strings.TrimLeft(p.rest[1:], " \t")
		value, ok := p.value()
		if !ok {
			p.rest = ""
			return true
		}
		switch c := &p.challenge; { // the first of a name counts
		case strings.EqualFold(name, "error"):
			c.error = cmp.Or(c.error, value)
		case strings.EqualFold(name, "claims"):
			c.claims = cmp.Or(c.claims, value)
		}
	}
}

const tokenChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

func (p *challengeReader) token() string {
	rest := strings.TrimLeft(p.rest, tokenChars)
	token := p.rest[:len(p.rest)-len(rest)]
	p.rest = rest
	return token
}

// skipToken68 skips credentials such as those of Negotiate, which look like a
// parameter without a value.
func (p *challengeReader) skipToken68() bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"
	s := strings.TrimLeft(p.rest, " \t")
	if len(s) == len(p.rest) {
		return false
	}
	end := strings.TrimLeft(strings.TrimLeft(s, chars), "=")
	after := strings.TrimLeft(end, " \t")
	if len(end) == len(s) || after != "" && after[0] != ',' {
		return false
	}
	p.rest = after
	return true
}

// value reads a token or a quoted string.
func (p *challengeReader) value() (string, bool) {
	if !strings.HasPrefix(p.rest, `"`) {
		v := p.token()
		return v, v != ""
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// maxClaims bounds a claims challenge, decoded.
const maxClaims = 64 << 10

// claimsChallenge returns the claims that a 401 asks for, decoded, "" if it asks
// for none. bad says that it asks for some that cannot be read. See
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func claimsChallenge(h http.Header) (claims string, bad bool) {
	for _, c := range parseChallenges(h["Www-Authenticate"]) {
		if !strings.EqualFold(c.scheme, "Bearer") || c.error != "insufficient_claims" {
			continue
		}
		if claims, ok := decodeClaims(c.claims); ok {
			return claims, false
		}
		bad = true
	}
	return "", bad
}

func decodeClaims(text string) (claims string, ok bool) {
	if base64.RawStdEncoding.DecodedLen(len(text)) > maxClaims {
		return "", false
	}
	// Standard, URL-safe, padded, not padded: all have been seen.
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.DecodeString(text)
	var object map[string]json.RawMessage
	return string(b), err == nil && json.Unmarshal(b, &object) == nil && object != nil
}
