// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"cmp"
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
	"time"

	"github.com/apponly/apponly/internal/keyfile"
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
	// Password opens what is encrypted. Where nothing is, it is not used.
	Password string
	// PasswordFile holds the password; it is read for every token request, and
	// one trailing line break is dropped. Not together with Password.
	PasswordFile string
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

func (c *certificate) resolve(context.Context, AssertionRequest) (*material, error) {
	return c.pair.material(&c.gate, c.x5c), nil
}

// CertificateFile returns a credential that reads certificate and key from a
// file for every token request, so that a renewed certificate counts from the
// next request on. The file is PEM or PKCS#12, told apart by content; the
// certificates may be in any order, and the key in a file of its own. In PEM the
// key may be PKCS#1, PKCS#8 or PKCS#8 encrypted with PBES2. A file that asks for
// more than 10,000,000 iterations of a function that makes keys of passwords is
// refused: they are gone through for every token request. Each file may be at
// most 1 MiB. opts may be nil.
//
// Clients built with the same paths and password share their tokens.
func CertificateFile(path string, opts *CertificateFileOptions) Credential {
	c := &certificateFile{fileIdentity: fileIdentity{path: absolute(path)}}
	if opts == nil {
		return c
	}
	c.keyPath, c.passwordPath, c.x5c = absolute(opts.KeyFile), absolute(opts.PasswordFile), opts.SendX5C
	if password := opts.Password; password != "" {
		c.password, c.mac = func() string { return password }, macOf(password)
	}
	return c
}

type certificateFile struct {
	fileIdentity
	password func() string // nil: none was given by value
}

// fileIdentity is what a certificateFile is known by.
type fileIdentity struct {
	path, keyPath, passwordPath string
	x5c                         bool
	mac                         [sha256.Size]byte // of the password given by value
}

func (c *certificateFile) identity() any { return c.fileIdentity }
func (c *certificateFile) stamp() string { return fileStamp(c.files()...) }

// files are the paths that are set.
func (c *certificateFile) files() []string {
	return slices.DeleteFunc([]string{c.path, c.keyPath, c.passwordPath}, func(p string) bool { return p == "" })
}

func (c *certificateFile) check() error {
	var errs []error
	if c.path == "" {
		errs = append(errs, faultf(ErrCredentialMissing, "apponly: path of the certificate file is empty"))
	}
	if c.password != nil && c.passwordPath != "" {
		errs = append(errs, faultf(ErrConfiguration, "apponly: certificate file: both Password and PasswordFile are set"))
	}
	return errors.Join(errs...)
}

func (c *certificateFile) resolve(context.Context, AssertionRequest) (*material, error) {
	p, err := c.load()
	if err != nil {
		return nil, faultf(ErrCredentialUnavailable, "certificate file: %w", err)
	}
	return p.material(nil, c.x5c), nil
}

func (c *certificateFile) load() (*pair, error) {
	password := ""
	switch {
	case c.password != nil:
		password = c.password()
	case c.passwordPath != "":
		b, err := readFile(c.passwordPath)
		if err != nil {
			return nil, err
		}
		password = trimLineBreak(string(b))
	}
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
		certs, k, err := keyfile.Parse(b, password)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if k != nil && key != nil {
			return nil, fmt.Errorf("%s: %w", path, keyfile.ErrSecondKey)
		}
		chain = append(chain, certs...)
		if k != nil {
			key = k
		}
	}
	if key == nil {
		return nil, fmt.Errorf("%s: no private key in it", cmp.Or(c.keyPath, c.path))
	}
	p, err := newPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return p, nil
}

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
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			return nil, errors.New("the public key is nil")
		}
		if pub.N.BitLen() < 2048 {
			return nil, errors.New("the RSA key is shorter than 2048 bits")
		}
	case *ecdsa.PublicKey:
		return nil, keyfile.NotRSA("an elliptic curve")
	case ed25519.PublicKey:
		return nil, keyfile.NotRSA("an Ed25519")
	default:
		return nil, keyfile.NotRSA(fmt.Sprintf("a %T", pub))
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
	for last := leaf; len(ordered) < maxChain; last = ordered[len(ordered)-1] {
		next := issuerOf(last, chain)
		if next == nil || selfSigned(next) || slices.Contains(ordered, next) { // cross-signed ones may go in a circle
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

// material is the pair as it is sent. Its fingerprint is that of the leaf: who
// renews a certificate for the same key has other material.
func (p *pair) material(g *gate, x5c bool) *material {
	return &material{
		fingerprint: sha256.Sum256(p.chain[0].Raw),
		keep:        true,
		clocked:     true,
		prove: func(ctx context.Context, req AssertionRequest) (proof, error) {
			return p.prove(ctx, g, req, x5c)
		},
	}
}

// prove signs a client assertion (RFC 7523 section 2.2) in the form Entra asks
// for: https://learn.microsoft.com/entra/identity-platform/certificate-credentials.
func (p *pair) prove(ctx context.Context, g *gate, req AssertionRequest, x5c bool) (proof, error) {
	return p.proveWith(req, x5c, func(digest []byte, opts *rsa.PSSOptions) ([]byte, error) {
		return p.sign(ctx, g, digest, opts)
	})
}

// proveWith is prove with a signature from elsewhere.
func (p *pair) proveWith(req AssertionRequest, x5c bool, sign func(digest []byte, opts *rsa.PSSOptions) ([]byte, error)) (proof, error) {
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
		return proof{}, faultf(ErrCredentialUnavailable, "client assertion cannot be encoded")
	}
	digest := sha256.Sum256([]byte(text))
	sig, err := sign(digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
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

func (p *pair) sign(ctx context.Context, g *gate, digest []byte, opts *rsa.PSSOptions) ([]byte, error) {
	key := p.key()
	if _, local := key.(*rsa.PrivateKey); local {
		return key.Sign(rand.Reader, digest, opts)
	}
	// A signer of somebody else's: a smart card, an HSM.
	return guard(ctx, g, "the key", func(context.Context) ([]byte, error) {
		return key.Sign(rand.Reader, digest, opts)
	})
}
