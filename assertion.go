// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/keyfile"
	"github.com/golang-jwt/jwt/v5"
)

// A pair is a certificate with its key, and the chain above it.
type pair struct {
	// key is a closure, as every secret is: dumpers print a private key's
	// unexported fields at any depth.
	key   func() crypto.Signer
	chain []*x509.Certificate // leaf first, root left out
}

// maxChain bounds what is sent, and what it takes to put a bundle of hundreds of
// certificates in order. Public chains have three or four.
const maxChain = 10

// newPair finds the leaf by its key and orders the rest by issuer: bundles come
// in any order, and Entra wants the leaf first.
func newPair(chain []*x509.Certificate, key crypto.Signer) (*pair, error) {
	if key == nil {
		return nil, errors.New("no private key")
	}
	public, err := publicKey(key)
	if err != nil {
		return nil, err
	}
	pub, err := checkPublicKey(public)
	if err != nil {
		return nil, err
	}
	var leaf *x509.Certificate
	for _, cert := range chain {
		if cert != nil && pub.Equal(cert.PublicKey) && (leaf == nil || cert.NotAfter.After(leaf.NotAfter)) {
			leaf = cert // of two for one key the one that lasts longer
		}
	}
	switch {
	case len(chain) == 0:
		return nil, errors.New("no certificate")
	case leaf == nil:
		return nil, errors.New("the private key belongs to none of the certificates")
	}
	return &pair{key: func() crypto.Signer { return key }, chain: order(leaf, chain)}, nil
}

// checkPublicKey refuses what Entra takes no assertion from.
func checkPublicKey(public crypto.PublicKey) (*rsa.PublicKey, error) {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			return nil, errors.New("the public key is nil")
		}
		if pub.N.BitLen() < 2048 {
			return nil, errors.New("the RSA key is shorter than 2048 bits")
		}
		return pub, nil
	case *ecdsa.PublicKey:
		return nil, keyfile.NotRSA("an elliptic curve")
	case ed25519.PublicKey:
		return nil, keyfile.NotRSA("an Ed25519")
	}
	return nil, keyfile.NotRSA(fmt.Sprintf("a %T", public))
}

// order returns leaf and those of certs above it, without the root.
func order(leaf *x509.Certificate, certs []*x509.Certificate) []*x509.Certificate {
	ordered := []*x509.Certificate{leaf}
	for last := leaf; len(ordered) < maxChain; last = ordered[len(ordered)-1] {
		next := issuerOf(last, certs)
		if next == nil || selfSigned(next) || slices.Contains(ordered, next) { // cross-signed ones may go in a circle
			break
		}
		ordered = append(ordered, next)
	}
	return ordered
}

// publicKey asks key, which is not ours and may be a nil pointer in an
// interface, for its public part.
func publicKey(key crypto.Signer) (pub crypto.PublicKey, err error) {
	defer func() {
		if recover() != nil {
			pub, err = nil, errors.New("the private key panicked when asked for its public part; is it a nil pointer?")
		}
	}()
	return key.Public(), nil
}

func issuerOf(cert *x509.Certificate, chain []*x509.Certificate) *x509.Certificate {
	if selfSigned(cert) {
		return nil
	}
	for _, c := range chain {
		if c != nil && c != cert && bytes.Equal(c.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// A SignFunc signs a SHA-256 digest with a key that never leaves its place: a
// KMS, an HSM. opts is an *rsa.PSSOptions with a salt as long as the hash
// (PS256, RFC 7518 section 3.5). It must be safe for concurrent use.
type SignFunc func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)

// signWith returns a SignFunc of the pair's key. A local key cannot hang;
// one on a smart card or in an HSM can, and runs in a guard.
func (p *pair) signWith(hung *flight.Guard) SignFunc {
	return func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		key := p.key()
		if _, local := key.(*rsa.PrivateKey); local {
			return key.Sign(rand.Reader, digest, opts)
		}
		return flight.Run(ctx, hung, "the key", func(context.Context) ([]byte, error) {
			return key.Sign(rand.Reader, digest, opts)
		})
	}
}

// Times in an assertion. Entra's tolerance for a clock that runs fast is not
// documented, so nbf lies back; ten minutes is what Microsoft's libraries use.
const (
	assertionLifetime = 10 * time.Minute
	assertionBackdate = 5 * time.Minute
)

// material is the pair as it is sent. Its fingerprint is that of the leaf: a
// certificate that was renewed for the same key is other material.
func (p *pair) material(sign SignFunc, x5c bool) *material {
	return &material{
		fingerprint:   sha256.Sum256(p.chain[0].Raw),
		reusable:      true,
		timeDependent: true,
		prove: func(ctx context.Context, req AssertionRequest) (proof, error) {
			return p.prove(ctx, req, sign, x5c)
		},
	}
}

// prove signs a client assertion (RFC 7523 section 2.2) in the form Entra asks
// for: https://learn.microsoft.com/entra/identity-platform/certificate-credentials.
func (p *pair) prove(ctx context.Context, req AssertionRequest, sign SignFunc, x5c bool) (proof, error) {
	now := req.now()
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"aud": req.TokenEndpoint,
		"iss": req.ClientID,
		"sub": req.ClientID,
		"jti": rand.Text(),
		"iat": now.Unix(),
		"nbf": now.Add(-assertionBackdate).Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
	})
	leaf := p.chain[0]
	thumbprint := sha256.Sum256(leaf.Raw)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	if x5c {
		var certs []string
		for _, c := range p.chain {
			certs = append(certs, base64.StdEncoding.EncodeToString(c.Raw))
		}
		token.Header["x5c"] = certs
	}
	text, err := token.SigningString()
	if err != nil {
		return proof{}, errorf(ErrCredentialUnavailable, "client assertion cannot be encoded")
	}
	digest := sha256.Sum256([]byte(text))
	sig, err := sign(ctx, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if err != nil {
		return proof{}, errorf(ErrCredentialUnavailable, "signing the client assertion: %w", err)
	}
	assertion := text + "." + token.EncodeSegment(sig)
	refusedAs := ErrCertificateInvalid
	if now.After(leaf.NotAfter) {
		refusedAs = ErrCertificateExpired
	}
	return proof{value: func() string { return assertion }, assertion: true, expires: leaf.NotAfter, refusedAs: refusedAs}, nil
}

// assertions are those that are used again, so that a KMS is not asked for each
// request.
type assertions struct {
	mu   sync.Mutex // guards made; not held while one is signed
	made map[AssertionRequest]madeAssertion
}

type madeAssertion struct {
	proof proof
	until clock.Instant // it is used again
	skew  time.Duration // that it was made with
}

// reusedFor is how long an assertion is used again, of the ten minutes it is
// good for.
const reusedFor = 5 * time.Minute

// reuse returns prove with a memory.
func (a *assertions) reuse(prove func(context.Context, AssertionRequest) (proof, error)) func(context.Context, AssertionRequest) (proof, error) {
	return func(ctx context.Context, req AssertionRequest) (proof, error) {
		a.mu.Lock()
		old, ok := a.made[addressee(req)]
		a.mu.Unlock()
		if ok && !old.until.Reached(clock.Now()) && (old.skew-req.skew).Abs() <= tolerableSkew {
			return old.proof, nil
		}
		until := clock.Now().Add(reusedFor)
		p, err := prove(ctx, req)
		if err == nil {
			a.keep(req, madeAssertion{p, until, req.skew})
		}
		return p, err
	}
}

func (a *assertions) keep(req AssertionRequest, m madeAssertion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r, old := range a.made { // there is no timer that would
		if old.until.Reached(clock.Now()) {
			delete(a.made, r)
		}
	}
	if a.made == nil {
		a.made = map[AssertionRequest]madeAssertion{}
	}
	a.made[addressee(req)] = m
}

// forget drops what was signed for a request that was refused.
func (a *assertions) forget(req AssertionRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.made, addressee(req))
}

// addressee is what an assertion is made out to: the clock is not part of it.
func addressee(req AssertionRequest) AssertionRequest {
	req.skew, req.clockKnown = 0, false
	return req
}
