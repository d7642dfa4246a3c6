// SPDX-License-Identifier: MIT

package verify

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
)

// maxToken bounds a token, in bytes. Entra's largest, with 200 group IDs, has some
// 12,000; net/http takes headers of a megabyte.
const maxToken = 16 << 10

// maxKeyID bounds the name of a key, in bytes.
const maxKeyID = 128

// A jws is a token in its three parts (RFC 7515 section 7.1), of which nothing is
// believed yet.
type jws struct {
	*joseHeader
	signed    string // what the signature is of
	payload   []byte
	signature []byte
	room      [512]byte // for the signature, which is that of an RSA key of 4096 bits at most
}

// A joseHeader is what counts in a header, and the text of it.
type joseHeader struct{ text, alg, kid string }

// parse takes a token apart. known is a header that has been read before, nil if none
// has: all tokens that one key signs have the same.
func (t *jws) parse(token string, known *joseHeader) (err *Error) {
	switch {
	case token == "":
		return refuse(ErrNoToken, "")
	case len(token) > maxToken:
		return refuse(ErrMalformed, "it is larger than 16 KiB")
	case strings.Count(token, ".") == 4:
		return refuse(ErrEncrypted, "")
	case strings.Count(token, ".") != 2:
		return refuse(ErrMalformed, "it has not three parts")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if t.joseHeader = known; known == nil || known.text != header {
		if t.joseHeader, err = parseHeader(header); err != nil {
			return err
		}
	}
	var ok bool
	if t.payload, ok = decode(nil, payload); !ok {
		return refuse(ErrMalformed, "the payload is not base64url")
	}
	if t.signature, ok = decode(t.room[:0], signature); !ok {
		return refuse(ErrMalformed, "the signature is not base64url")
	}
	t.signed = token[:len(header)+1+len(payload)]
	return nil
}

// parseHeader reads the JOSE header (RFC 7515 section 4).
func parseHeader(text string) (*joseHeader, *Error) {
	b, ok := decode(nil, text)
	if !ok {
		return nil, refuse(ErrMalformed, "the header is not base64url")
	}
	var alg, kid, typ jsonValue
	var refused string
	err := members(b, func(name []byte, value jsonValue) error {
		switch string(name) {
		case "alg":
			alg = value
		case "kid":
			kid = value
		case "typ":
			typ = value
		case "crit", "b64", "zip", "cty":
			// Extensions that must be understood, payloads that are no JSON of
			// claims: Entra uses none, and who ignores one reads another token.
			refused = string(name)
		default:
			return wrongCase(name, "alg", "kid", "typ", "crit", "b64", "zip", "cty")
		}
		return nil
	})
	if err != nil {
		return nil, refuse(ErrMalformed, "header: "+err.Error())
	}
	if refused != "" {
		return nil, refuse(ErrMalformed, "header: "+refused+" is not supported")
	}
	if typ != nil {
		if s, _ := typ.text(); !strings.EqualFold(string(s), "JWT") && !strings.EqualFold(string(s), "at+jwt") {
			return nil, refuse(ErrMalformed, "header: typ is neither JWT nor at+jwt")
		}
	}
	name, _ := alg.text()
	if string(name) != "RS256" && string(name) != "PS256" {
		return nil, refuse(ErrAlgorithm, "")
	}
	id, _ := kid.text()
	if len(id) == 0 || len(id) > maxKeyID {
		return nil, refuse(ErrMalformed, "header: kid names no key")
	}
	return &joseHeader{strings.Clone(text), string(name), string(id)}, nil
}

// decode appends the bytes of base64url without padding (RFC 7515 section 2) to b.
// Package base64 passes over line breaks, even where it is strict, so that the
// length of what comes out tells whether there were any.
func decode(b []byte, text string) ([]byte, bool) {
	n := base64.RawURLEncoding.DecodedLen(len(text))
	b, err := strictBase64.AppendDecode(b, []byte(text))
	return b, err == nil && len(b) == n && len(text)%4 != 1
}

var strictBase64 = base64.RawURLEncoding.Strict()

// signedBy reports whether k has signed the token.
func (t *jws) signedBy(k *key) bool {
	if !k.usable() || k.alg != "" && k.alg != t.alg || len(t.signature) != k.pub.Size() {
		return false
	}
	sum := sha256.Sum256([]byte(t.signed))
	if t.alg == "PS256" {
		return rsa.VerifyPSS(k.pub, crypto.SHA256, sum[:], t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(k.pub, crypto.SHA256, sum[:], t.signature) == nil
}

// notSigned says why none of the keys of a token's kid has signed it.
func notSigned(keys []*key) *Error {
	if !slices.ContainsFunc(keys, (*key).usable) {
		return refuse(ErrUnknownKey, "it is one of another cloud, or for something else")
	}
	return refuse(ErrSignature, "")
}
