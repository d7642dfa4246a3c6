// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"sync"
	"time"
)

// CertificateFunc returns a credential whose certificate and key fn is asked for
// at every token request, about once an hour for each tenant and scope: Key
// Vault, Vault. The tls.Certificate's PrivateKey must be a crypto.Signer with an
// RSA key; its Certificate is the chain in any order. opts may be nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. fn must be safe for concurrent use.
// One that panics or ends its goroutine fails the request it was asked for; one
// that does not return in time is abandoned and not asked again before it has.
func CertificateFunc(fn func(ctx context.Context) (*tls.Certificate, error), opts *CertificateOptions) Credential {
	c := &certificateFunc{fn: fn}
	if opts != nil {
		c.x5c = opts.SendX5C
	}
	return c
}

type certificateFunc struct {
	fn   func(ctx context.Context) (*tls.Certificate, error)
	x5c  bool
	gate gate
}

func (c *certificateFunc) identity() any { return c }
func (c *certificateFunc) stamp() string { return "" }
func (c *certificateFunc) check() error {
	if c.fn == nil {
		return faultf(ErrCredentialMissing, "apponly: certificate function is nil")
	}
	return nil
}

func (c *certificateFunc) resolve(ctx context.Context, _ AssertionRequest) (*material, error) {
	p, err := guard(ctx, &c.gate, "the function", func(ctx context.Context) (*pair, error) {
		cert, err := c.fn(ctx)
		switch {
		case err != nil:
			return nil, err
		case cert == nil:
			return nil, errors.New("returned neither a certificate nor an error")
		}
		key, ok := cert.PrivateKey.(crypto.Signer)
		if !ok {
			return nil, errors.New("the private key is no crypto.Signer")
		}
		var chain []*x509.Certificate
		for _, der := range cert.Certificate {
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, errors.New("a certificate cannot be parsed")
			}
			chain = append(chain, parsed)
		}
		return newPair(chain, key) // asks the key for its public part, which may be far away
	})
	if err != nil {
		return nil, faultf(ErrCredentialUnavailable, "certificate: %w", err)
	}
	return p.material(&c.gate, c.x5c), nil
}

// A SignFunc signs a SHA-256 digest with a key that never leaves its place: a
// KMS, an HSM. opts is an *rsa.PSSOptions with a salt as long as the hash
// (PS256, RFC 7518 section 3.5). It must be safe for concurrent use.
type SignFunc func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)

// CertificateSigner returns a credential that has sign make its signatures. The
// first certificate of chain must be the one of the key, which has to be an RSA
// key. An assertion is used again for the same tenant for five minutes, so that
// the KMS is not asked for each request, and never after a refusal. opts may be
// nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. A sign that panics or ends its
// goroutine fails the request it was asked for; one that does not return in time
// is abandoned and not asked again before it has.
func CertificateSigner(chain []*x509.Certificate, sign SignFunc, opts *CertificateOptions) Credential {
	c := &certificateSigner{}
	if opts != nil {
		c.x5c = opts.SendX5C
	}
	switch {
	case sign == nil:
		c.err = errors.New("the sign function is nil")
	case len(chain) == 0 || chain[0] == nil:
		c.err = errors.New("no certificate")
	default:
		c.sign = sign
		c.pair, c.err = newPair(chain, publicOnly{chain[0].PublicKey})
	}
	return c
}

// publicOnly stands for a key that is elsewhere.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the key is elsewhere")
}

type certificateSigner struct {
	pair *pair
	sign SignFunc
	err  error
	x5c  bool
	gate gate

	mu   sync.Mutex // guards signed; not held while sign runs
	made map[AssertionRequest]signed
}

type signed struct {
	proof proof
	until instant       // it is used again
	skew  time.Duration // that it was made with
}

// signedFor is how long an assertion is used again, of the ten minutes it is
// good for.
const signedFor = 5 * time.Minute

func (c *certificateSigner) identity() any { return c }
func (c *certificateSigner) stamp() string { return "" }
func (c *certificateSigner) check() error {
	if c.err != nil {
		return faultf(ErrCertificateInvalid, "apponly: certificate: %w", c.err)
	}
	return nil
}

func (c *certificateSigner) resolve(context.Context, AssertionRequest) (*material, error) {
	m := c.pair.material(nil, c.x5c)
	m.prove = c.prove
	m.refused = c.forget
	return m, nil
}

func (c *certificateSigner) prove(ctx context.Context, req AssertionRequest) (proof, error) {
	c.mu.Lock()
	s, ok := c.made[signedKey(req)]
	c.mu.Unlock()
	if ok && !s.until.reached(now()) && (s.skew-req.skew).Abs() <= tolerableSkew {
		return s.proof, nil
	}
	until := now().add(signedFor)
	p, err := c.pair.proveWith(req, c.x5c, func(digest []byte, opts *rsa.PSSOptions) ([]byte, error) {
		return guard(ctx, &c.gate, "the sign function", func(ctx context.Context) ([]byte, error) { return c.sign(ctx, digest, opts) })
	})
	if err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, s := range c.made { // nobody else takes them out
		if s.until.reached(now()) {
			delete(c.made, r)
		}
	}
	if c.made == nil {
		c.made = map[AssertionRequest]signed{}
	}
	c.made[signedKey(req)] = signed{p, until, req.skew}
	return p, nil
}

// forget drops what was signed for a request that was refused.
func (c *certificateSigner) forget(req AssertionRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.made, signedKey(req))
}

// signedKey is what an assertion is made out to: the clock is not part of it.
func signedKey(req AssertionRequest) AssertionRequest {
	req.skew, req.clockKnown = 0, false
	return req
}
