// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signJWT signs claims with RS256, the algorithm of Entra's tokens and the one
// it supports from outside issuers.
func signJWT(key *rsa.PrivateKey, header map[string]any, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil { // RSA keys of 2048 bits sign
		panic(err)
	}
	return signed
}

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

// decodePart returns nil if a part is not a JSON object.
func decodePart(part string) jsonObject {
	data, err := decodeBase64URL(part)
	if err != nil {
		return nil
	}
	object, _ := parseObject(data)
	return object
}

// decodeBase64URL reads the one form that RFC 7515, section 2, knows: no
// padding, no line breaks, which Go skips, and nothing in the bits that are left
// over at the end. Otherwise a signature could be spelled in several ways.
func decodeBase64URL(text string) ([]byte, error) {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
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

// date is a NumericDate (RFC 7519). MSAL .NET writes it as a string of digits.
type date struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	if text[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		if strings.Trim(text, "0123456789") != "" {
			return strconv.ErrSyntax // ParseFloat knows more: "0x1p35", "NaN"
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	if math.Abs(seconds) > lastSecond {
		return strconv.ErrRange
	}
	d.Time = time.Unix(int64(math.Floor(seconds)), 0)
	return nil
}

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799
