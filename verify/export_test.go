// SPDX-License-Identifier: MIT

package verify

import "slices"

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
func Text(value []byte) (string, bool) {
	b, ok := jsonValue(value).text()
	return string(b), ok
}
func Seconds(value []byte) (int64, bool)  { return jsonValue(value).seconds() }
func Texts(value []byte) ([]string, bool) { return jsonValue(value).texts(nil) }
func Bearer(header string) string         { return bearer(header) }

// Signed parses a JWS and verifies it with the keys of a document, whatever it says.
func Signed(token string, document []byte) error {
	var t jws
	if err := t.parse(token, nil); err != nil {
		return err
	}
	keys, _, err := parseKeys(document, "")
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(keys, func(k *key) bool { return k.id != t.kid })
	if slices.ContainsFunc(keys, t.signedBy) {
		return nil
	}
	return notSigned(keys)
}
