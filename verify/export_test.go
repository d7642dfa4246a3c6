// SPDX-License-Identifier: MIT

package verify

import "crypto/rsa"

// MaxToken bounds a token.
const MaxToken = maxToken

// Members reads a JSON object as tokens are read.
func Members(b []byte, f func(name, value []byte)) error {
	return members(b, func(name []byte, value jsonValue) error {
		f(name, value)
		return nil
	})
}

// Text, Seconds and Texts read a value of Members.
func Text(value []byte) (string, bool)    { return jsonValue(value).text() }
func Seconds(value []byte) (int64, bool)  { return jsonValue(value).seconds() }
func Texts(value []byte) ([]string, bool) { return jsonValue(value).texts() }
func Bearer(header string) string         { return bearer(header) }

// Signed parses a JWS and reports whether it was signed by a key, whatever it says.
func Signed(token string, pub *rsa.PublicKey) (kid string, signed bool, err error) {
	var t jws
	if err := t.parse(token); err != nil {
		return "", false, err
	}
	return t.kid, t.signedBy(pub), nil
}
