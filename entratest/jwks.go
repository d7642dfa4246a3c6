// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// maxIssuerKeys is how many keys of an outside issuer Entra looks at; what is
// behind them in the document does not count
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
const maxIssuerKeys = 100

// verificationKey is a public key under the name that assertions call it by.
type verificationKey struct {
	kid string
	key *rsa.PublicKey
}

// publicJWK is a key as it is published (RFC 7517).
func publicJWK(kid string, key *rsa.PublicKey) map[string]any {
	return map[string]any{
		"kty": "RSA",
		"use": "sig",
		"kid": kid,
		"n":   base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
}

// parseJWKS returns the keys of a document that can sign assertions: RSA keys
// that are not meant for something else.
func parseJWKS(data []byte) ([]verificationKey, error) {
	set, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	var list []jsonObject
	if err := set.read("keys", &list); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	var keys []verificationKey
	for i, k := range list[:min(len(list), maxIssuerKeys)] {
		var kty, use, kid, textN, textE string
		if err := errors.Join(k.read("kty", &kty), k.read("use", &use), k.read("kid", &kid), k.read("n", &textN), k.read("e", &textE)); err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if kty != "RSA" || use != "" && use != "sig" {
			continue
		}
		n, errN := decodeBase64URL(textN)
		e, errE := decodeBase64URL(textE)
		if errN != nil || errE != nil || len(n) == 0 || len(e) == 0 || len(e) > 4 {
			return nil, fmt.Errorf("key %d: n and e are not those of an RSA key", i)
		}
		keys = append(keys, verificationKey{kid, &rsa.PublicKey{
			N: new(big.Int).SetBytes(n),
			E: int(new(big.Int).SetBytes(e).Int64()),
		}})
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no RSA key for signatures in it")
	}
	return keys, nil
}

// checkSignature looks the key up by its name and verifies with it. It returns
// what is wrong, "" for nothing.
func checkSignature(a *assertion, keys []verificationKey) (wrong string) {
	wrong = "there is none with this identifier"
	for _, k := range keys {
		if k.kid == a.kid {
			if a.verify(k.key) {
				return ""
			}
			wrong = "the signature does not verify"
		}
	}
	return wrong
}
