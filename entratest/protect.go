// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// apiLeeway is how far a protected API's clock may be off from Entra's. It is less
// than the five minutes of Microsoft's libraries, so that tests notice a program
// which goes on sending a token that has expired.
const apiLeeway = 30 * time.Second

// Protect returns the API that r stands for: next, behind the checks that an API
// has to make of an app-only token. Requests need a bearer token with the app role
// that this emulator has signed for r, that has not expired, and whose tenant exists
// and can use r ([Tenant.Provide], [Resource.SetMultiTenant]). An empty role demands
// none. Protect panics if r does not define the role.
//
// What is wrong with the token is answered with 401 and error="invalid_token",
// a good one without the role with 403. A token that was revoked
// ([Tenant.RevokeTokens]) is challenged as Microsoft Graph does it, with 401,
// error="insufficient_claims" and the claims that the next token request has to
// carry; but only if the client said that it can answer (xms_cc with cp1).
// Revoked tokens without it are good until they end.
// See https://learn.microsoft.com/entra/identity-platform/claims-challenge.
//
// The keys are read from memory: nothing is fetched. The handler is safe for
// concurrent use if next is.
func (r *Resource) Protect(next http.Handler, role string) http.Handler {
	if role != "" && !slices.Contains(r.Roles(), role) {
		panicIf(fmt.Errorf("%s defines no role %q", r.uri, role))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if d := r.check(bearerToken(req), role); d != nil {
			d.write(w, r.s.Cloud().Authority())
			return
		}
		next.ServeHTTP(w, req)
	})
}

// denial is how a protected API refuses a request.
type denial struct {
	status      int
	oauth       string // error of the challenge; empty if no token was sent (RFC 6750, section 3.1)
	description string // never anything of the token
	claims      string // JSON
}

func (d *denial) write(w http.ResponseWriter, authority string) {
	challenge := `Bearer realm="", authorization_uri="` + authority + `/common/oauth2/authorize"`
	if d.oauth != "" {
		challenge += `, error="` + d.oauth + `"`
	}
	if d.description != "" {
		challenge += `, error_description="` + d.description + `"`
	}
	if d.claims != "" {
		challenge += `, claims="` + base64.StdEncoding.EncodeToString([]byte(d.claims)) + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(d.status), d.status)
}

func invalidToken(description string) *denial {
	return &denial{status: unauthorized, oauth: "invalid_token", description: description}
}

// accessClaims are the claims that an API looks at.
type accessClaims struct {
	jwt.RegisteredClaims
	Tenant       string   `json:"tid"`
	Version      string   `json:"ver"`
	Type         string   `json:"idtyp"`
	ObjectID     string   `json:"oid"`
	Roles        []string `json:"roles"`
	Capabilities []string `json:"xms_cc"`
	AppV1        string   `json:"appid"`
	AppV2        string   `json:"azp"`
}

func (r *Resource) check(token, role string) *denial {
	if token == "" {
		return &denial{status: unauthorized}
	}
	var c accessClaims
	_, err := jwt.ParseWithClaims(token, &c, func(tok *jwt.Token) (any, error) {
		kid, _ := tok.Header["kid"].(string)
		if key := r.s.tokenKey(kid); key != nil {
			return key, nil
		}
		return nil, jwt.ErrTokenUnverifiable
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(),
		jwt.WithLeeway(apiLeeway), jwt.WithTimeFunc(r.s.Now))
	if err != nil {
		return invalidToken("the token is malformed, not signed with a current key, or outside its time")
	}
	tenant, f := r.s.findTenant(c.Tenant)
	if f != nil || tenant.id != c.Tenant || !c.issuedBy(tenant) {
		return invalidToken("the issuer is not that of the token's tenant")
	}
	if len(c.Audience) != 1 || !r.isAudience(c.Audience[0], c.Version) || !r.isUsableIn(tenant) {
		return invalidToken("the token is for another API")
	}
	if d := r.challengeRevoked(&c); d != nil {
		return d
	}
	if !r.isAppOnly(&c) {
		return &denial{status: http.StatusForbidden, description: "the token is not app-only"}
	}
	if role != "" && !slices.Contains(c.Roles, role) {
		return &denial{status: http.StatusForbidden, oauth: "insufficient_scope", description: "the app has not been granted the role"}
	}
	return nil
}

// issuedBy does not look at the host of the issuer: the emulator has several
// names, and the signature has shown that it was the emulator.
func (c *accessClaims) issuedBy(t *Tenant) bool {
	switch c.Version {
	case "1.0":
		return isIssuerOf(c.Issuer, t.id, 1)
	case "2.0":
		return isIssuerOf(c.Issuer, t.id, 2)
	}
	return false
}

// isAudience reports whether aud means r. Version 2 tokens carry its app ID,
// version 1 tokens the name by which the scope called it.
func (r *Resource) isAudience(aud, version string) bool {
	if version == "1.0" {
		r.s.mu.RLock()
		defer r.s.mu.RUnlock()
		return r.named(aud)
	}
	return aud == r.appID
}

// isAppOnly goes by idtyp, if r asks for it, and otherwise by the rule that the
// subject of a user's token is not the user's object ID.
func (r *Resource) isAppOnly(c *accessClaims) bool {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	if r.noIDType && c.Type == "" {
		return c.ObjectID != "" && c.ObjectID == c.Subject
	}
	return c.Type == "app"
}

// isUsableIn reports whether there can be tokens for r in a tenant. The URI in a
// version 1 token may be that of another API in that tenant.
func (r *Resource) isUsableIn(t *Tenant) bool {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	usable, _ := t.usable(r)
	return usable != nil
}

// challengeRevoked asks for a token that was issued after the revocation.
func (r *Resource) challengeRevoked(c *accessClaims) *denial {
	if !slices.ContainsFunc(c.Capabilities, func(v string) bool { return strings.EqualFold(v, "cp1") }) {
		return nil
	}
	app := c.AppV2
	if c.Version == "1.0" {
		app = c.AppV1
	}
	var issued time.Time
	if c.IssuedAt != nil { // without iat a token is as old as can be
		issued = c.IssuedAt.Time
	}
	since, revoked := r.s.revoked(c.Tenant, app, c.ObjectID, issued)
	if !revoked {
		return nil
	}
	return &denial{
		status: unauthorized,
		oauth:  "insufficient_claims",
		claims: fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, since.Unix()),
	}
}

// tokenKey returns the key that access tokens with this kid are signed with, nil
// if there is none.
func (s *Server) tokenKey(kid string) *rsa.PublicKey {
	for _, k := range s.publishedKeys() {
		if k.kid == kid {
			return k.key
		}
	}
	return nil
}

// hasBearer reports whether the request is authorized with this token (RFC 6750,
// section 2.1).
func (c *call) hasBearer(token string) bool {
	return sameSecret(bearerToken(c.r), token)
}

// bearerToken returns the token of the Authorization header, "" if there is none.
func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
