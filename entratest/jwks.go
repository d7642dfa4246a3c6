// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
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
	var set struct {
		Keys []struct{ Kty, Use, Kid, N, E string }
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	var keys []verificationKey
	for i, k := range set.Keys[:min(len(set.Keys), maxIssuerKeys)] {
		if k.Kty != "RSA" || k.Use != "" && k.Use != "sig" {
			continue
		}
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if errN != nil || errE != nil || len(n) == 0 || len(e) == 0 || len(e) > 4 {
			return nil, fmt.Errorf("key %d: n and e are not those of an RSA key", i)
		}
		keys = append(keys, verificationKey{k.Kid, &rsa.PublicKey{
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
