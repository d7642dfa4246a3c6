// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
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
	x5c           []*x509.Certificate

	iss, sub, aud string
	nbf, exp      time.Time // zero if missing
}

// parseAssertion takes a JWT apart. It is not left to the parser of golang-jwt,
// because that one verifies while it reads, while here each fault has a number
// of its own, and because dates may be strings here.
func parseAssertion(raw string) (*assertion, *refusal) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, refuse(50027, "it does not have three parts")
	}
	var header struct {
		Alg     string `json:"alg"`
		Typ     string `json:"typ"`
		Kid     string `json:"kid"`
		X5T     string `json:"x5t"`
		X5TS256 string `json:"x5t#S256"`
		X5C     chain  `json:"x5c"`
	}
	var claims struct {
		Iss string   `json:"iss"`
		Sub string   `json:"sub"`
		Aud audience `json:"aud"`
		Nbf date     `json:"nbf"`
		Exp date     `json:"exp"`
	}
	if !decodePart(parts[0], &header) {
		return nil, refuse(50027, "its header cannot be read")
	}
	if !decodePart(parts[1], &claims) {
		return nil, refuse(50027, "its claims cannot be read")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, refuse(50027, "its signature cannot be read")
	}
	return &assertion{
		signed:    parts[0] + "." + parts[1],
		signature: signature,
		alg:       header.Alg, typ: header.Typ, kid: header.Kid, x5t: header.X5T, x5tS256: header.X5TS256, x5c: header.X5C,
		iss: claims.Iss, sub: claims.Sub, aud: string(claims.Aud),
		nbf: claims.Nbf.Time, exp: claims.Exp.Time,
	}, nil
}

func decodePart(part string, v any) bool {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return false
	}
	// An array or null would unmarshal without complaint into some types.
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && json.Unmarshal(data, v) == nil
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

// date is a NumericDate (RFC 7519). MSAL .NET writes it as a string.
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
	}
	seconds, err := strconv.ParseFloat(text, 64)
	// ParseFloat takes "NaN" too, which is not less than anything.
	if err != nil || !(math.Abs(seconds) < math.MaxInt32*64) {
		return strconv.ErrRange
	}
	d.Time = time.Unix(int64(math.Floor(seconds)), 0)
	return nil
}
