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
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// CertificateOptions are the settings of [Certificate]; nil is fine.
type CertificateOptions struct {
	// SendX5C sends the certificate chain with each assertion, for apps that
	// trust a subject name and issuer instead of one certificate.
	SendX5C bool
}

// CertificateFileOptions are the settings of [CertificateFile]; nil is fine.
type CertificateFileOptions struct {
	// KeyFile is where the private key is, if not in the certificate's file.
	KeyFile string
	// SendX5C is as in [CertificateOptions].
	SendX5C bool
}

// Certificate returns a credential that signs with key, which belongs to one
// certificate of chain. The key may be any crypto.Signer with an RSA key; the
// chain may be in any order. opts may be nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. A key that hangs or panics fails the
// token request it was asked for and nothing else.
func Certificate(chain []*x509.Certificate, key crypto.Signer, opts *CertificateOptions) Credential {
	c := &certificate{}
	if opts != nil {
		c.x5c = opts.SendX5C
	}
	c.pair, c.err = newPair(chain, key)
	return c
}

type certificate struct {
	pair *pair
	err  error
	x5c  bool
	gate gate
}

func (c *certificate) identity() any { return c }
func (c *certificate) stamp() string { return "" }
func (c *certificate) check() error {
	if c.err != nil {
		return faultf(ErrCertificateInvalid, "apponly: certificate: %w", c.err)
	}
	return nil
}

func (c *certificate) prove(ctx context.Context, req AssertionRequest) (proof, error) {
	return c.pair.prove(ctx, &c.gate, req, c.x5c)
}

// CertificateFile returns a credential that reads certificate and key from a
// PEM file for every token request, so that a renewed certificate counts from
// the next request on. The key may be PKCS#8 or PKCS#1, in the same file or in
// one of its own. Each file may be at most 1 MiB. opts may be nil.
func CertificateFile(path string, opts *CertificateFileOptions) Credential {
	c := certificateFile{path: absolute(path)}
	if opts != nil {
		c.keyPath, c.x5c = absolute(opts.KeyFile), opts.SendX5C
	}
	return c
}

// certificateFile is comparable and its own identity.
type certificateFile struct {
	path, keyPath string
	x5c           bool
}

func (c certificateFile) identity() any { return c }
func (c certificateFile) stamp() string {
	if c.keyPath == "" {
		return fileStamp(c.path)
	}
	return fileStamp(c.path, c.keyPath)
}

func (c certificateFile) check() error {
	if c.path == "" {
		return faultf(ErrCredentialMissing, "apponly: path of the certificate file is empty")
	}
	return nil
}

func (c certificateFile) prove(ctx context.Context, req AssertionRequest) (proof, error) {
	p, err := c.load()
	if err != nil {
		return proof{}, faultf(ErrCredentialUnavailable, "certificate file: %w", err)
	}
	return p.prove(ctx, nil, req, c.x5c)
}

func (c certificateFile) load() (*pair, error) {
	var chain []*x509.Certificate
	var key crypto.Signer
	for _, path := range []string{c.path, c.keyPath} {
		if path == "" {
			continue
		}
		b, err := readFile(path)
		if err != nil {
			return nil, err
		}
		certs, k, err := parsePEM(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if k != nil && key != nil {
			return nil, fmt.Errorf("%s: a second private key", path)
		}
		chain = append(chain, certs...)
		if k != nil {
			key = k
		}
	}
	if key == nil {
		return nil, fmt.Errorf("%s: no private key in it", c.keyFile())
	}
	p, err := newPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return p, nil
}

func (c certificateFile) keyFile() string {
	if c.keyPath != "" {
		return c.keyPath
	}
	return c.path
}

// parsePEM returns the certificates and the private key of a PEM file.
func parsePEM(b []byte) (chain []*x509.Certificate, key crypto.Signer, err error) {
	blocks := 0
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		blocks++
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("a certificate in it cannot be parsed")
			}
			chain = append(chain, cert)
			continue
		}
		k, err := parseKey(block)
		if err != nil {
			return nil, nil, err
		}
		if k != nil && key != nil {
			return nil, nil, errors.New("a second private key")
		}
		if k != nil {
			key = k
		}
	}
	if blocks == 0 {
		return nil, nil, errors.New("no PEM in it; convert PKCS#12 with: openssl pkcs12 -in FILE -nodes -out FILE.pem")
	}
	return chain, key, nil
}

// parseKey returns the private key of a PEM block, nil if the block is something
// else. The errors of the parsers are left out: nothing says that they never
// quote what they could not read.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the private key is encrypted the old way (RFC 1423); convert it with: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem")
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return nil, errNotRSA("an elliptic curve")
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the private key is encrypted; decrypt it with: openssl pkcs8 -in KEY -out KEY.pem")
	default:
		return nil, nil
	}
	if err != nil {
		return nil, errors.New("the private key cannot be parsed")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errNotRSA("a key agreement")
	}
	return signer, nil
}

func errNotRSA(kind string) error {
	return fmt.Errorf("the private key is %s key: entra takes certificates with RSA keys", kind)
}

// A pair is a certificate with its key, and the chain above it.
type pair struct {
	// key is a closure, as every secret is: dumpers print a private key's
	// unexported fields at any depth.
	key   func() crypto.Signer
	chain []*x509.Certificate // leaf first, root left out
}

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
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			return nil, errors.New("the public key is nil")
		}
		if pub.N.BitLen() < 2048 {
			return nil, errors.New("the RSA key is shorter than 2048 bits")
		}
	case *ecdsa.PublicKey:
		return nil, errNotRSA("an elliptic curve")
	case ed25519.PublicKey:
		return nil, errNotRSA("an Ed25519")
	default:
		return nil, errNotRSA(fmt.Sprintf("a %T", pub))
	}
	pub := public.(*rsa.PublicKey)
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
	ordered := []*x509.Certificate{leaf}
	for last := leaf; len(ordered) <= len(chain); last = ordered[len(ordered)-1] {
		next := issuerOf(last, chain)
		if next == nil || selfSigned(next) {
			break
		}
		ordered = append(ordered, next)
	}
	return &pair{key: func() crypto.Signer { return key }, chain: ordered}, nil
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

// Times in an assertion. Entra's tolerance for a clock that runs fast is not
// documented, so nbf lies back; ten minutes is what Microsoft's libraries use.
const (
	assertionLifetime = 10 * time.Minute
	assertionBackdate = 5 * time.Minute
)

// prove signs a client assertion (RFC 7523 section 2.2) in the form Entra asks
// for: https://learn.microsoft.com/entra/identity-platform/certificate-credentials.
func (p *pair) prove(ctx context.Context, g *gate, req AssertionRequest, x5c bool) (proof, error) {
	now := time.Now()
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
		return proof{}, faultf(ErrCredentialUnavailable, "client assertion cannot be encoded")
	}
	digest := sha256.Sum256([]byte(text))
	sig, err := p.sign(ctx, g, digest[:])
	if err != nil {
		return proof{}, faultf(ErrCredentialUnavailable, "signing the client assertion: %w", err)
	}
	assertion := text + "." + token.EncodeSegment(sig)
	refusedAs := ErrCertificateInvalid
	if now.After(leaf.NotAfter) {
		refusedAs = ErrCertificateExpired
	}
	return proof{value: func() string { return assertion }, assertion: true, expires: leaf.NotAfter, refusedAs: refusedAs}, nil
}

func (p *pair) sign(ctx context.Context, g *gate, digest []byte) ([]byte, error) {
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	key := p.key()
	if _, local := key.(*rsa.PrivateKey); local {
		return key.Sign(rand.Reader, digest, opts)
	}
	// A signer of somebody else's: a smart card, an HSM.
	return guard(ctx, g, "the key", func(context.Context) ([]byte, error) {
		return key.Sign(rand.Reader, digest, opts)
	})
}
