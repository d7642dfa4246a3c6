// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/keyfile"
	"github.com/apponly/apponly/internal/wire"
	"github.com/golang-jwt/jwt/v5"
)

// pairs are the certificates of one key, each with its chain: a renewal may keep
// the key, and stand in one file with what it renews.
type pairs struct {
	// key is a closure, as every secret is: dumpers print a private key's
	// unexported fields at any depth.
	key func() crypto.Signer
	all []pair
}

// A pair is one certificate of the key, and the chain above it.
type pair struct {
	chain   []*x509.Certificate // leaf first, root left out
	leftOut []string            // the subjects of what was given and is not in the chain
}

// maxChain bounds what is sent, and what it takes to put a bundle of hundreds of
// certificates in order. Public chains have three or four.
const maxChain = 10

// maxLeaves bounds the certificates of one key that are tried, and put into order.
const maxLeaves = 8

// newPairs finds the certificates of key and orders the rest by issuer: bundles
// come in any order, and Entra wants the leaf first.
func newPairs(chain []*x509.Certificate, key crypto.Signer) (*pairs, error) {
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
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	chain = distinct(chain)
	var leaves, others []*x509.Certificate
	for _, cert := range chain {
		if pub.Equal(cert.PublicKey) {
			leaves = append(leaves, cert)
		} else {
			others = append(others, cert)
		}
	}
	if len(leaves) == 0 {
		return nil, errors.New("the private key belongs to none of the certificates")
	}
	now := time.Now()
	slices.SortStableFunc(leaves, func(a, b *x509.Certificate) int { return byUse(a, b, now) })
	p := &pairs{key: func() crypto.Signer { return key }}
	for _, leaf := range leaves[:min(len(leaves), maxLeaves)] {
		p.all = append(p.all, newPair(leaf, others))
	}
	return p, nil
}

// distinct returns certs without nil and repetitions.
func distinct(certs []*x509.Certificate) (once []*x509.Certificate) {
	for _, c := range certs {
		if c != nil && !slices.ContainsFunc(once, c.Equal) {
			once = append(once, c)
		}
	}
	return once
}

// material is the pairs as they are sent: of the certificates that are valid now
// the latest first, and after it, should Entra refuse it, the others.
func (p *pairs) material(req AssertionRequest, sign SignFunc, x5c bool) *material {
	inOrder := slices.SortedStableFunc(slices.Values(p.all), func(a, b pair) int { return byUse(a.chain[0], b.chain[0], req.now()) })
	var first *material
	for _, one := range slices.Backward(inOrder) {
		m := one.material(sign, x5c)
		m.next, m.elsewhere, first = first, p.elsewhere(), m
	}
	return first
}

// byUse orders certificates of one key. Those that are valid come first, the
// latest of them before all, as it is what its issuer wants to be used; then what
// is valid soonest, and last what ended: the local clock may be wrong.
func byUse(a, b *x509.Certificate, now time.Time) int {
	rank := func(c *x509.Certificate) (class int, distance time.Duration) {
		switch {
		case now.Before(c.NotBefore):
			return 1, c.NotBefore.Sub(now)
		case now.After(c.NotAfter):
			return 2, now.Sub(c.NotAfter)
		}
		return 0, now.Sub(c.NotBefore)
	}
	classA, distanceA := rank(a)
	classB, distanceB := rank(b)
	return cmp.Or(cmp.Compare(classA, classB), cmp.Compare(distanceA, distanceB), -cmp.Compare(a.NotAfter.Unix(), b.NotAfter.Unix()))
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

// A SignFunc signs a SHA-256 digest with a key that never leaves its place: a
// KMS, an HSM. opts is an *rsa.PSSOptions with a salt as long as the hash
// (PS256, RFC 7518 section 3.5). It must be safe for concurrent use.
type SignFunc func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)

// signWith returns a SignFunc of the pair's key. A local key cannot hang;
// one on a smart card or in an HSM can, and runs in a guard.
func (p *pairs) signWith(hung *flight.Guard) SignFunc {
	return func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		key := p.key()
		if !p.elsewhere() {
			return key.Sign(rand.Reader, digest, opts)
		}
		return askKey(ctx, hung, "the key", func(context.Context) ([]byte, error) {
			return key.Sign(rand.Reader, digest, opts)
		})
	}
}

// askKey has a key sign that is elsewhere. A KMS that is asked for thousands of
// signatures at once makes none of them in time.
func askKey(ctx context.Context, hung *flight.Guard, what string, sign func(context.Context) ([]byte, error)) ([]byte, error) {
	turn, err := wire.TakeTurnOf(ctx, hung)
	if err != nil {
		return nil, err
	}
	defer turn.End()
	return flight.Run(ctx, hung, what, sign)
}

// elsewhere reports whether the key is not in this process.
func (p *pairs) elsewhere() bool {
	_, local := p.key().(*rsa.PrivateKey)
	return !local
}

// Times in an assertion. Entra's tolerance for a clock that runs fast is not
// documented, so nbf lies back; ten minutes is what Microsoft's libraries use.
const (
	assertionLifetime = 10 * time.Minute
	assertionBackdate = 5 * time.Minute
)

// material is the pair as it is sent. Its fingerprint is that of the leaf: a
// certificate that was renewed for the same key is other material.
func (p pair) material(sign SignFunc, x5c bool) *material {
	m := &material{
		leaf:          p.chain[0],
		fingerprint:   sha256.Sum256(p.chain[0].Raw),
		reusable:      true,
		timeDependent: true,
		prove: func(ctx context.Context, req AssertionRequest) (proof, error) {
			return p.prove(ctx, req, sign, x5c)
		},
	}
	if x5c {
		m.leftOut = p.leftOut
	}
	return m
}

// prove signs a client assertion (RFC 7523 section 2.2) in the form Entra asks
// for: https://learn.microsoft.com/entra/identity-platform/certificate-credentials.
func (p pair) prove(ctx context.Context, req AssertionRequest, sign SignFunc, x5c bool) (proof, error) {
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
	if now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		refusedAs = ErrCertificateExpired
	}
	return proof{
		value: func() string { return assertion }, assertion: true, expires: leaf.NotAfter, refusedAs: refusedAs,
		sent: sentProof{thumbprint: thumbprintSHA1(leaf.Raw), thumbprintSHA256: thumbprintSHA256(leaf.Raw)},
	}, nil
}

func thumbprintSHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// thumbprintSHA1 is what the Azure portal shows. SHA-1 panics where FIPS 140 is
// enforced.
func thumbprintSHA1(der []byte) (text string) {
	if fips140.Enforced() {
		return "not computed (FIPS 140)"
	}
	sum := sha1.Sum(der)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
