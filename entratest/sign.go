// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
)

// Sign makes a token of any header and claims, so that an API can be tested with what
// Entra would never sign. Both are marshalled to JSON; a []byte or [json.RawMessage] is
// taken as it is, be it JSON or not. Nothing is added to them: a kid, if there is to be
// one, is in the header. A header that is nil is that of a right token of version 2. A
// key that is nil is [Server.SigningKey]; it may also be one of another emulator.
//
// The alg of the header decides how the token is signed: RS256, RS384, RS512, PS256,
// PS384 or PS512; "none" leaves the signature empty. HS256 is made with the public key,
// in PEM, for a secret: an API that has the key, but leaves the algorithm to the token,
// accepts that. With any other alg, and without one, the signature is that of RS256. Sign
// panics if something cannot be marshalled, or the key is too short for the algorithm.
//
// Claims of a right token are those that the token endpoint answers with.
func (s *Server) Sign(header, claims any, key *Key) string {
	if key == nil {
		key = s.SigningKey()
	}
	if header == nil {
		header = map[string]any{"alg": "RS256", "kid": key.ID(), "typ": "JWT"}
	}
	head := jsonBytes(header)
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(jsonBytes(claims))
	var alg string
	if object, err := parseObject(head); err == nil {
		_ = object.read("alg", &alg) // one that is no text is not known
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(must(signature(alg, []byte(input), key.private)))
}

func jsonBytes(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case json.RawMessage:
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		panicIf(fmt.Errorf("part of a token: %w", err))
	}
	return data
}

// signature signs by an algorithm of RFC 7518.
func signature(alg string, input []byte, key *rsa.PrivateKey) ([]byte, error) {
	hash := map[string]crypto.Hash{
		"RS384": crypto.SHA384, "RS512": crypto.SHA512,
		"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	}[alg]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch alg {
	case "none":
		return nil, nil
	case "HS256":
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		mac.Write(input)
		return mac.Sum(nil), err
	case "PS256", "PS384", "PS512":
		return rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.SignPKCS1v15(nil, key, hash, digest)
}
