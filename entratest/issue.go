// SPDX-License-Identifier: MIT

package entratest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// grant returns the answer with a new token.
func (c *call) grant(t *Tenant, client clientView, method clientAuth, tgt target, wanted wantedClaims) answer {
	lifetime, refreshIn := c.s.lifetimes(client.app.homeObjectID != "", wanted.cp1 && tgt.continuous)
	issued := c.now.Unix()
	if wanted.notBefore >= client.revokedBefore {
		// This answers a claims challenge, so it has to be later than the
		// revocation, which may be in the same second.
		issued = max(issued, client.revokedBefore)
	}
	body := map[string]any{
		"token_type":     "Bearer",
		"expires_in":     int(lifetime / time.Second),
		"ext_expires_in": int(lifetime / time.Second),
		"access_token": c.s.sign(accessToken{
			issuer:   c.issuer(t.id, tgt.version),
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

// toVersion1 makes an answer that of the version 1 endpoint: its numbers are strings, it
// has times besides lifetimes, and says what the token is for.
func (c *call) toVersion1(body map[string]any, resource string) {
	now := c.now.Unix()
	body["not_before"] = int(now)
	body["expires_on"] = int(now) + body["expires_in"].(int)
	body["resource"] = resource
	for name, value := range body {
		if n, ok := value.(int); ok {
			body[name] = strconv.Itoa(n)
		}
	}
}

// lifetimes returns how long a token issued now lives, and after what time it should
// be renewed, 0 if the answer does not say. Tokens of managed identities live
// longer, and so do tokens that an API can revoke.
func (s *Server) lifetimes(identity, revocable bool) (lifetime, refreshIn time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lifetime, refreshIn = s.tokenLifetime, s.refreshIn
	switch {
	case lifetime > 0:
	case identity:
		lifetime = 24 * time.Hour
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

// accessToken is in what tokens differ.
type accessToken struct {
	issuer, tenant     string
	clientID, objectID string
	method             clientAuth
	target             target
	cp1                bool
	issued, expires    int64 // Unix seconds
}

// sign makes a token in the shape that its resource asks for. Without any role
// granted there is a token, too: Entra leaves it to the API to refuse apps that have
// no role.
func (s *Server) sign(at accessToken) string {
	key := s.SigningKey()
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
	// How the client proved itself: every assertion counts as a certificate.
	strength := "2"
	if at.method == authSecret || at.method == authSecretBasic {
		strength = "1"
	}
	claims["iss"] = at.issuer
	header := map[string]any{"kid": key.ID()}
	if at.target.version == 1 {
		header["x5t"] = key.ID()
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
	return signJWT(key.private, header, claims)
}
