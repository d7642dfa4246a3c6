// SPDX-License-Identifier: MIT

package entratest

import (
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// sources are what hands assertions to programs outside Entra: the metadata
// service of a machine, the token service of a pipeline. Guarded by the
// server's mu but for issuing.
type sources struct {
	identities    []*ManagedIdentity
	jobs          map[string]*GitHubJob   // by the ID in their URL
	pipelines     map[string]*PipelineJob // by the ID in their URI
	organizations map[string]string       // of Azure DevOps: ID by name
	vm            *GoogleVM

	// issuing makes finding an issuer and making it one step: a second issuer
	// with the same URL would take the first one's place.
	issuing sync.Mutex
}

// issuerAt returns the issuer with a URL, and makes it if there is none.
func (s *Server) issuerAt(url string) *Issuer {
	s.sources.issuing.Lock()
	defer s.sources.issuing.Unlock()
	s.mu.RLock()
	i := s.issuers[url]
	s.mu.RUnlock()
	if i == nil {
		i = s.NewIssuer(url)
	}
	return i
}

// outsideToken signs an assertion of an outside issuer by the emulator's clock:
// valid since back ago and for lifetime from now. The issuer is looked up every
// time, because a test may have put another one in its place; if that is one of
// AddIssuer, there is nothing to sign with, and the error says so.
func (c *call) outsideToken(issuer string, lifetime, back time.Duration, claims jwt.MapClaims) (string, error) {
	i := c.s.issuerAt(issuer)
	if err := i.canSign(); err != nil {
		return "", err
	}
	key, kid := i.signing()
	claims["iss"] = issuer
	claims["iat"] = c.now.Unix()
	claims["nbf"] = c.now.Add(-back).Unix()
	claims["exp"] = c.now.Add(lifetime).Unix()
	return signJWT(key, map[string]any{"kid": kid}, claims), nil
}
