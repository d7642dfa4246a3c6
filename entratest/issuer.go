// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is an OIDC issuer outside Entra: a Kubernetes cluster, a CI system.
// Nothing listens at its URL. Where Entra would fetch the keys, the emulator
// looks them up in its own memory.
type Issuer struct {
	url string
	kid string
	key *rsa.PrivateKey
}

// Claims are what a test may choose about an assertion. Zero times mean from
// now on, and for one hour.
type Claims struct {
	Subject, Audience    string
	NotBefore, ExpiresAt time.Time
}

// NewIssuer makes an issuer with a key of its own. One with the URL of an
// earlier issuer takes its place, and the assertions of the earlier one are
// refused from then on: that is how a key rollover looks to Entra.
func (s *Server) NewIssuer(url string) *Issuer {
	s.mu.Lock()
	n := s.issuerKeys
	s.issuerKeys++
	s.mu.Unlock()

	i := &Issuer{url: url, kid: newOpaque(16), key: issuerPool.get(n)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issuers[url] = i
	return i
}

// URL returns the iss of its assertions.
func (i *Issuer) URL() string { return i.url }

// Token returns a signed assertion.
func (i *Issuer) Token(c Claims) string {
	now := time.Now()
	if c.NotBefore.IsZero() {
		c.NotBefore = now
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = now.Add(time.Hour)
	}
	return signJWT(i.key, map[string]any{"kid": i.kid}, jwt.MapClaims{
		"iss": i.url,
		"sub": c.Subject,
		"aud": c.Audience,
		"iat": now.Unix(),
		"nbf": c.NotBefore.Unix(),
		"exp": c.ExpiresAt.Unix(),
		"jti": newGUID(),
	})
}

func (s *Server) findIssuer(url string) *Issuer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.issuers[url]
}
