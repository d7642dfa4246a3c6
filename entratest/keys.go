// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec -- x5t is defined by it
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"sync"
)

// maxIssuerKeys is how many keys of an outside issuer Entra looks at; it ignores
// those that come later in the document
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
const maxIssuerKeys = 100

// verificationKey is a public key with the kid that assertions name it by.
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

// checkSignature finds the key by its kid and verifies with it.
func (a *assertion) checkSignature(keys []verificationKey) *refusal {
	named := false
	var kids []string
	for _, k := range keys {
		if k.kid == a.kid && a.verify(k.key) {
			return nil
		}
		named = named || k.kid == a.kid
		kids = append(kids, k.kid)
	}
	if named {
		return refuse(7000272, "the signature does not verify", a.kid).beside("signature", "by another key", "by the key "+a.kid)
	}
	return refuse(7000272, "there is none with this identifier", a.kid).beside("kid", a.kid, kids...)
}

// Generating an RSA key takes longer than everything else a test does, so the
// whole process shares a few, made when first needed. Purposes do not share a
// key: an assertion of an app must never verify as one of an issuer.
var (
	// Three, because two are published: after two rollovers the emulator does
	// not sign with the key that the second one has retired.
	signingKeys = newKeyPool(3, 2048)
	issuerPool  = newKeyPool(2, 2048)
	appPool     = newKeyPool(3, 2048)
)

// keyPool hands out keys in turn: two handed out in a row always differ, which
// is what a test of a rotation needs.
type keyPool []func() *rsa.PrivateKey

func newKeyPool(n, bits int) keyPool {
	pool := make(keyPool, n)
	for i := range pool {
		pool[i] = sync.OnceValue(func() *rsa.PrivateKey {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil { // crypto/rand does not fail
				panic(err)
			}
			return key
		})
	}
	return pool
}

func (p keyPool) get(i int) *rsa.PrivateKey { return p[i%len(p)]() }

// sha1Thumbprint is a name and secures nothing: it is made where FIPS 140 is
// enforced, too, under which SHA-1 panics.
func sha1Thumbprint(der []byte) (sum [sha1.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(der) })
	return sum
}
