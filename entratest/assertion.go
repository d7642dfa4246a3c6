// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/x509"
	"encoding/json"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertion is a JWT taken apart, nothing of it verified yet.
type assertion struct {
	signed    string // what the signature is over
	signature []byte

	alg, typ, kid string
	x5t           string // SHA-1 of the certificate
	x5tS256       string
	x5c           chain

	iss, sub string
	aud      audience
	nbf, exp date // zero if missing
}

// parseAssertion takes a JWT apart. It is not left to the parser of golang-jwt,
// because that one verifies while it reads, while here each fault has a number
// of its own, and because dates may be strings here.
func parseAssertion(raw string) (*assertion, *refusal) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, refuse(50027, "it does not have three parts")
	}
	a := &assertion{signed: parts[0] + "." + parts[1]}
	header := decodePart(parts[0])
	if header == nil ||
		header.read("alg", &a.alg) != nil || header.read("typ", &a.typ) != nil || header.read("kid", &a.kid) != nil ||
		header.read("x5t", &a.x5t) != nil || header.read("x5t#S256", &a.x5tS256) != nil || header.read("x5c", &a.x5c) != nil {
		return nil, refuse(50027, "its header cannot be read")
	}
	claims := decodePart(parts[1])
	if claims == nil ||
		claims.read("iss", &a.iss) != nil || claims.read("sub", &a.sub) != nil || claims.read("aud", &a.aud) != nil ||
		claims.read("nbf", &a.nbf) != nil || claims.read("exp", &a.exp) != nil {
		return nil, refuse(50027, "its claims cannot be read")
	}
	var err error
	if a.signature, err = decodeBase64URL(parts[2]); err != nil {
		return nil, refuse(50027, "its signature cannot be read")
	}
	return a, nil
}

// verify checks the signature with a public key.
func (a *assertion) verify(key any) bool {
	method := jwt.GetSigningMethod(a.alg)
	return method != nil && method.Verify(a.signed, a.signature, key) == nil
}

// chain is the certificates of a header, the leaf first: standard base64 of
// their DER (RFC 7515), in an array or, as MSAL .NET sends the leaf, in a string.
type chain []*x509.Certificate

// UnmarshalJSON implements json.Unmarshaler.
func (c *chain) UnmarshalJSON(data []byte) error {
	var list [][]byte // which encoding/json reads from standard base64
	if json.Unmarshal(data, &list) != nil {
		list = make([][]byte, 1)
		if err := json.Unmarshal(data, &list[0]); err != nil {
			return err
		}
	}
	for _, der := range list {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		*c = append(*c, cert)
	}
	return nil
}

// audience is a string or, as Kubernetes writes it, an array of one. A longer
// array is nobody's audience: whether Entra takes it is not documented.
type audience string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*a = audience(strings.Join(list, " "))
		return nil
	}
	return json.Unmarshal(data, (*string)(a))
}

// leeway is how far the clock of who signed an assertion may be off. What Entra
// tolerates is not documented; five minutes is what Microsoft's own token
// libraries allow.
const leeway = 5 * time.Minute

// fromOutside tells the two kinds of assertion apart. An OIDC issuer is a URL,
// or its keys could not be found; everything else claims to be the app itself,
// rightly or not.
func (a *assertion) fromOutside() bool { return strings.Contains(a.iss, "://") }

// checkTimes demands an exp, and that now is between nbf and exp but for the
// leeway.
func (a *assertion) checkTimes(now time.Time) *refusal {
	if !a.exp.IsZero() && now.Before(a.exp.Add(leeway)) && !now.Before(a.nbf.Add(-leeway)) {
		return nil
	}
	show := func(t time.Time) string {
		if t.IsZero() {
			return "(not said)"
		}
		return t.UTC().Format(time.RFC3339)
	}
	return refuse(700024, show(now), show(a.nbf.Time), show(a.exp.Time))
}
