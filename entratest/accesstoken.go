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

// grant issues the token and says so.
func (x *exchange) grant(t *Tenant, reg registration, method clientAuth, tgt target, wanted wantedClaims) answer {
	lifetime, refreshIn := x.s.lifetimes()
	body := map[string]any{
		"token_type":     "Bearer",
		"expires_in":     int(lifetime / time.Second),
		"ext_expires_in": int(lifetime / time.Second),
		"access_token":   x.accessToken(t, reg, method, tgt, wanted, lifetime),
	}
	if refreshIn > 0 {
		body["refresh_in"] = int(refreshIn / time.Second)
	}
	return answer{status: 200, header: map[string]string{"Pragma": "no-cache"}, body: body}
}

// lifetimes returns how long a token issued now lives and when it should be
// renewed, zero for not said.
func (s *Server) lifetimes() (lifetime, refreshIn time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lifetime = s.tokenLifetime
	if lifetime == 0 {
		lifetime = 60*time.Minute + rand.N(30*time.Minute)
	}
	return lifetime.Truncate(time.Second), s.refreshIn
}

// accessToken signs a token in the shape its resource asked for. There is no
// role in it that was not granted, but there always is a token: Entra leaves it
// to the API to turn away who has no role.
func (x *exchange) accessToken(t *Tenant, reg registration, method clientAuth, tgt target, wanted wantedClaims, lifetime time.Duration) string {
	now := x.now.Unix()
	claims := jwt.MapClaims{
		"aio":   newOpaque(24),
		"exp":   now + int64(lifetime/time.Second),
		"iat":   now,
		"idtyp": "app",
		"nbf":   now,
		"oid":   reg.principal,
		"rh":    "1." + newOpaque(30) + ".",
		"sub":   reg.principal,
		"tid":   t.id,
		"uti":   newOpaque(16),
	}
	if len(tgt.roles) > 0 {
		claims["roles"] = tgt.roles
	}
	if wanted.cp1 {
		claims["xms_cc"] = []string{"cp1"}
	}
	// How the client proved itself; an assertion counts as a certificate,
	// whoever signed it.
	strength := "2"
	if method == authSecret || method == authSecretBasic {
		strength = "1"
	}
	header := map[string]any{"kid": x.s.signer.kid}
	if tgt.version == 1 {
		header["x5t"] = x.s.signer.kid
		claims["ver"] = "1.0"
		claims["iss"] = v1Issuer + t.id + "/"
		claims["idp"] = claims["iss"]
		claims["aud"] = tgt.requested
		claims["appid"] = reg.clientID
		claims["appidacr"] = strength
	} else {
		claims["ver"] = "2.0"
		claims["iss"] = x.base + "/" + t.id + "/v2.0"
		claims["aud"] = tgt.appID
		claims["azp"] = reg.clientID
		claims["azpacr"] = strength
	}
	return signJWT(x.s.signer.key, header, claims)
}
