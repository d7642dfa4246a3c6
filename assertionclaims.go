// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// assertionClaims are those of an assertion that are of use here. They are hints:
// Entra judges.
type assertionClaims struct {
	Algorithm       string // of its header
	Issuer, Subject string
	Audience        []string
	Exp             json.Number
}

// expires returns when the assertion ends, zero if that cannot be read.
func (c assertionClaims) expires() (exp time.Time) {
	if seconds, err := c.Exp.Float64(); err == nil && seconds > 0 && seconds < 1e11 {
		exp = time.Unix(int64(seconds), 0)
	}
	return exp
}

func (c assertionClaims) audience() string { return strings.Join(c.Audience, " ") }

// readClaims looks at the form of an assertion, before a request is spent on a
// file that holds something else, and at its claims.
func readClaims(assertion string) (claims assertionClaims, err error) {
	if assertion == "" {
		return claims, errors.New("is empty")
	}
	parts := strings.Split(assertion, ".")
	switch {
	case strings.HasPrefix(assertion, "{") || strings.HasPrefix(assertion, "["):
		// GitHub's token service answers {"value":"<JWT>"}, others {"token": …}.
		return claims, errors.New("is JSON, not the JWT inside it: take that out, with jq -r .value, for example")
	case len(assertion) > 7 && strings.EqualFold(assertion[:7], "bearer "):
		return claims, errors.New(`begins with "Bearer": want the JWT alone`)
	case strayText(assertion) != nil:
		return claims, fmt.Errorf("is not a JWT alone: it %w", strayText(assertion))
	case len(parts) != 3 || strings.ContainsAny(assertion, " \t"):
		return claims, errors.New("is not a JWT of three parts separated by dots")
	}
	payload, err := decodePart(parts[1])
	if err != nil {
		return claims, errors.New("is not a JWT: its payload is not base64url")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || members == nil {
		return claims, errors.New("is not a JWT: its payload is not a JSON object")
	}
	header, err := decodePart(parts[0])
	if err != nil {
		return claims, errors.New("is not a JWT: its header is not base64url")
	}
	if _, err := decodePart(parts[2]); err != nil {
		return claims, errors.New("is not a JWT: its signature is not base64url")
	}
	// What is of another type than it should be is left out.
	var first struct{ Alg string }
	if json.Unmarshal(header, &first) == nil {
		claims.Algorithm = first.Alg
	}
	json.Unmarshal(members["iss"], &claims.Issuer)
	json.Unmarshal(members["sub"], &claims.Subject)
	json.Unmarshal(members["exp"], &claims.Exp)
	var one string
	if json.Unmarshal(members["aud"], &one) == nil && one != "" {
		claims.Audience = []string{one}
	} else {
		json.Unmarshal(members["aud"], &claims.Audience)
	}
	return claims, nil
}

func decodePart(part string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
}
