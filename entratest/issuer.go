// SPDX-License-Identifier: MIT

package entratest

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/internal/ident"
)

// Issuer is an OIDC issuer outside Entra: a Kubernetes cluster, a CI system.
// Nothing listens at its URL. Where Entra would fetch the keys, the emulator
// looks them up in its own memory.
type Issuer struct {
	s   *Server
	url string

	// Guarded by s.mu; the slice is replaced, never changed.
	keys        []verificationKey // published, the newest first
	key         *rsa.PrivateKey   // of keys[0]; nil for an issuer that signs elsewhere
	document    []byte            // that keys were read from, of such an issuer
	unreachable bool
}

// Claims are what a test may choose about an assertion. Zero times mean from
// now on, by [Server.Now], and for one hour.
type Claims struct {
	Subject, Audience    string
	NotBefore, ExpiresAt time.Time
}

// NewIssuer makes an issuer with a key of its own. It replaces an earlier issuer
// with the same URL, whose assertions are refused from then on. It panics if
// issuer is not an https URL.
func (s *Server) NewIssuer(issuer string) *Issuer {
	panicIf(checkIssuer(issuer))
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	return s.newIssuer(issuer)
}

// newIssuer is called with keyMu held.
func (s *Server) newIssuer(issuer string) *Issuer {
	i := &Issuer{s: s, url: issuer}
	i.newKey()
	s.update(func() { s.issuers[issuer] = i })
	return i
}

// checkIssuer demands a URL that keys could be fetched from, as Entra does.
func checkIssuer(issuer string) error {
	if u, err := url.Parse(issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("issuer %q is not an https URL", issuer)
	}
	return nil
}

// AddIssuer makes the emulator know a real issuer by its URL and its JSON Web
// Key Set, such as a kind cluster whose tokens are to be exchanged: what
// "kubectl get --raw /openid/v1/jwks" prints. RSA keys for signatures count,
// among the first 100 of the set. Call it again when the keys change.
func (s *Server) AddIssuer(issuer string, jwks []byte) (*Issuer, error) {
	if err := checkIssuer(issuer); err != nil {
		return nil, prefixed(err)
	}
	keys, err := parseJWKS(jwks)
	if err != nil {
		return nil, prefixed(fmt.Errorf("keys of issuer %q: %w", issuer, err))
	}
	i := &Issuer{s: s, url: issuer, keys: keys, document: bytes.Clone(jwks)}
	s.update(func() { s.issuers[issuer] = i })
	return i, nil
}

// URL returns the iss of its assertions.
func (i *Issuer) URL() string { return i.url }

// Rollover gives the issuer a new key to sign with. The old one stays published
// until the next Rollover, so that assertions on their way are still accepted.
// It panics for an issuer of [Server.AddIssuer], whose keys are elsewhere.
func (i *Issuer) Rollover() {
	panicIf(i.canSign())
	i.s.keyMu.Lock()
	defer i.s.keyMu.Unlock()
	i.newKey()
}

// newKey is called with keyMu held.
func (i *Issuer) newKey() {
	key := i.key
	for key == i.key { // the pool's turn is that of all issuers
		key = issuerPool.get(i.s.issuerKeys)
		i.s.issuerKeys++
	}
	i.s.update(func() {
		i.keys = slices.Concat([]verificationKey{{newOpaque(16), &key.PublicKey}}, i.keys[:min(len(i.keys), 1)])
		i.key = key
	})
}

// Remove makes the emulator forget the issuer: its metadata cannot be fetched
// any more, and its assertions are refused (AADSTS90061). An issuer that has
// replaced it stays. [Issuer.Token] goes on to sign, and a source of assertions
// whose issuer was removed gets a new one when it is used.
func (i *Issuer) Remove() {
	i.s.update(func() {
		if i.s.issuers[i.url] == i {
			delete(i.s.issuers, i.url)
		}
	})
}

// canSign returns an error for an issuer of [Server.AddIssuer].
func (i *Issuer) canSign() error {
	if i.document != nil {
		return fmt.Errorf("the key of issuer %q is not here, it was made by AddIssuer", i.url)
	}
	return nil
}

// JWKS returns the JSON Web Key Set that the issuer publishes.
func (i *Issuer) JWKS() []byte {
	if i.document != nil {
		return bytes.Clone(i.document)
	}
	i.s.mu.RLock()
	published := i.keys
	i.s.mu.RUnlock()
	set := make([]any, 0, len(published))
	for _, k := range published {
		set = append(set, publicJWK(k.kid, k.key))
	}
	data, err := json.Marshal(map[string]any{"keys": set})
	if err != nil { // only maps and strings are ever in it
		panic(err)
	}
	return data
}

// SetReachable says whether Entra can fetch the issuer's keys. It can by
// default; if not, its assertions are refused with AADSTS501661.
func (i *Issuer) SetReachable(reachable bool) { i.s.update(func() { i.unreachable = !reachable }) }

// Token returns a signed assertion. It panics for an issuer of
// [Server.AddIssuer], whose key is elsewhere.
func (i *Issuer) Token(c Claims) string {
	now := i.s.Now()
	if c.NotBefore.IsZero() {
		c.NotBefore = now
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = now.Add(time.Hour)
	}
	panicIf(i.canSign())
	key, kid := i.signing()
	return signJWT(key, map[string]any{"kid": kid}, jwt.MapClaims{
		"iss": i.url,
		"sub": c.Subject,
		"aud": c.Audience,
		"iat": now.Unix(),
		"nbf": c.NotBefore.Unix(),
		"exp": c.ExpiresAt.Unix(),
		"jti": ident.NewGUID(),
	})
}

// signing returns the key to sign with. The caller knows that it is here.
func (i *Issuer) signing() (key *rsa.PrivateKey, kid string) {
	i.s.mu.RLock()
	defer i.s.mu.RUnlock()
	return i.key, i.keys[0].kid
}

// fetchIssuerKeys returns the keys of an outside issuer, as Entra would fetch them.
func (s *Server) fetchIssuerKeys(issuer string) ([]verificationKey, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch i := s.issuers[issuer]; {
	case i == nil:
		return nil, refuse(90061, issuer).beside("iss", issuer, known(s.issuers)...)
	case i.unreachable:
		return nil, refuse(501661, issuer)
	default:
		return i.keys, nil
	}
}

// sources are what hands assertions to programs outside Entra: the metadata
// service of a machine, the token service of a pipeline. Guarded by the
// server's mu.
type sources struct {
	identities    []*ManagedIdentity
	jobs          map[string]*GitHubJob   // by the ID in their URL
	pipelines     map[string]*PipelineJob // by the ID in their URI
	organizations map[string]string       // of Azure DevOps: ID by name
	vm            *GoogleVM
}

// issuerAt returns the issuer with a URL, and makes it if there is none.
func (s *Server) issuerAt(url string) *Issuer {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	s.mu.RLock()
	i := s.issuers[url]
	s.mu.RUnlock()
	if i == nil {
		i = s.newIssuer(url)
	}
	return i
}

// outsideToken signs an assertion of an outside issuer by the emulator's clock,
// valid from back ago and for lifetime from now. The issuer is looked up every
// time, because a test may have replaced it; one of AddIssuer cannot sign, which
// is the error.
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
