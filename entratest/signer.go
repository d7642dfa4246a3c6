// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"crypto/sha1" // #nosec -- x5t is defined by it
	"crypto/x509"
	"encoding/base64"
	"time"
)

// signer is a key that access tokens are signed with.
type signer struct {
	number int // of its key in the pool
	key    *rsa.PrivateKey
	cert   *x509.Certificate
	kid    string // the thumbprint of cert: Entra's kid and x5t are the same
}

// signers are the keys that are published, the one that signs first. The slice
// is replaced, never changed.
type signers []*signer

func newSigner(number int) *signer {
	key := signingKeys.get(number)
	now := time.Now()
	cert := makeCertificate(certSpec{
		name:      "entratest signing",
		notBefore: now.Add(-time.Hour),
		notAfter:  now.AddDate(5, 0, 0),
		usage:     x509.KeyUsageDigitalSignature,
	}, &key.PublicKey, nil, key)
	sum := sha1.Sum(cert.Raw)
	return &signer{number: number, key: key, cert: cert, kid: base64.RawURLEncoding.EncodeToString(sum[:])}
}

// Rollover makes the emulator sign tokens with a new key, under a new kid. The
// old one stays published until the next Rollover, so that the tokens it signed
// still verify. An API that keeps the keys it once fetched fails from then on;
// Entra expects it to look again when it meets a kid it does not know.
func (s *Server) Rollover() {
	for done := false; !done; {
		last := s.published()[0]
		next := newSigner(last.number + 1)
		s.update(func() {
			if done = s.signers[0] == last; done { // nobody else was faster
				s.signers = signers{next, last}
			}
		})
	}
}

func (s *Server) published() signers {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.signers
}

// publishedKeys are those that assertions issued by Entra itself verify with.
func (s *Server) publishedKeys() []verificationKey {
	var keys []verificationKey
	for _, k := range s.published() {
		keys = append(keys, verificationKey{k.kid, &k.key.PublicKey})
	}
	return keys
}
