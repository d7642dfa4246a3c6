// SPDX-License-Identifier: MIT

package entratest

import (
	"math/rand/v2"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// v1Issuer and the tenant make the issuer of version 1 tokens. It is not the
// host that was asked: it is this one in the whole public cloud.
const v1Issuer = "https://sts.windows.net/"

// issuerOf is the issuer of the tokens of a version, 1 or 2, in a tenant; that
// of version 2 begins with the authority that was asked.
func issuerOf(authority, tenant string, version int) string {
	if version == 1 {
		return v1Issuer + tenant + "/"
	}
	return authority + "/" + tenant + "/v2.0"
}

// grant issues the token and says so.
func (c *call) grant(t *Tenant, client clientView, method clientAuth, tgt target, wanted wantedClaims) answer {
	lifetime, refreshIn := c.s.lifetimes(client.app.homeObjectID != "", wanted.cp1 && tgt.continuous)
	issued := c.now.Unix()
	if wanted.notBefore >= client.revokedBefore {
		// The answer to a claims challenge: it has to be later than the
		// revocation, which may be in the same second.
		issued = max(issued, client.revokedBefore)
	}
	body := map[string]any{
		"token_type":     "Bearer",
		"expires_in":     int(lifetime / time.Second),
		"ext_expires_in": int(lifetime / time.Second),
		"access_token": c.s.sign(accessToken{
			base:     c.base,
			tenant:   t.id,
			clientID: client.app.appID,
			objectID: client.objectID,
			method:   method,
			target:   tgt,
			cp1:      wanted.cp1,
			issued:   issued,
			expires:  c.now.Add(lifetime).Unix(),
		}),
	}
	if refreshIn > 0 {
		body["refresh_in"] = int(refreshIn / time.Second)
	}
	return answer{status: 200, header: map[string]string{"Pragma": "no-cache"}, body: body}
}

// identityLifetime is how long the tokens of a managed identity live.
const identityLifetime = 24 * time.Hour

// lifetimes returns how long a token issued now lives and when it should be
// renewed, zero for not said. Those of managed identities live longer, and so do
// tokens that an API can revoke.
func (s *Server) lifetimes(identity, revocable bool) (lifetime, refreshIn time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lifetime, refreshIn = s.tokenLifetime, s.refreshIn
	switch {
	case lifetime > 0:
	case identity:
		lifetime = identityLifetime
	case revocable:
		lifetime = 20*time.Hour + rand.N(8*time.Hour)
		if refreshIn == 0 {
			refreshIn = lifetime / 2
		}
	default:
		lifetime = 60*time.Minute + rand.N(30*time.Minute)
	}
	return lifetime.Truncate(time.Second), refreshIn
}

// accessToken is what makes one token differ from another.
type accessToken struct {
	base, tenant       string
	clientID, objectID string
	method             clientAuth
	target             target
	cp1                bool
	issued, expires    int64 // Unix seconds
}

// sign makes a token in the shape its resource asked for. There is no role in
// it that was not granted, but there always is a token: Entra leaves it to the
// API to turn away who has no role.
func (s *Server) sign(at accessToken) string {
	key := s.published()[0]
	claims := jwt.MapClaims{
		"aio": newOpaque(24),
		"exp": at.expires,
		"iat": at.issued,
		"nbf": at.issued,
		"oid": at.objectID,
		"rh":  "1." + newOpaque(30) + ".",
		"sub": at.objectID,
		"tid": at.tenant,
		"uti": newOpaque(16),
	}
	if len(at.target.roles) > 0 {
		claims["roles"] = at.target.roles
	}
	if !at.target.noIDType {
		claims[claimIDType] = "app"
	}
	if at.cp1 && !at.target.noXMSCC {
		claims[claimCapabilities] = []string{"cp1"}
	}
	// How the client proved itself; an assertion counts as a certificate,
	// whoever signed it.
	strength := "2"
	if at.method == authSecret || at.method == authSecretBasic {
		strength = "1"
	}
	claims["iss"] = issuerOf(at.base, at.tenant, at.target.version)
	header := map[string]any{"kid": key.kid}
	if at.target.version == 1 {
		header["x5t"] = key.kid
		claims["ver"] = "1.0"
		claims["idp"] = claims["iss"]
		claims["aud"] = at.target.requested
		claims["appid"] = at.clientID
		claims["appidacr"] = strength
	} else {
		claims["ver"] = "2.0"
		claims["aud"] = at.target.appID
		claims["azp"] = at.clientID
		claims["azpacr"] = strength
	}
	return signJWT(key.key, header, claims)
}
