// SPDX-License-Identifier: MIT

package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// maxLifetime is the longest that a token may be good for. Entra's longest, for
// clients that take part in continuous access evaluation, is 28 hours.
const maxLifetime = 48 * time.Hour

// An authentication is what is known of a token whose signature is Entra's: who is
// calling. It is what is remembered; whether the caller may is judged every time.
type authentication struct {
	caller             Caller
	key                *key
	party              *party // of the tenant
	expires, notBefore int64
	refusal            Kind // why no rule may let it in, if any
}

// A judge is what claims are held to.
type judge struct {
	clientID            string
	uris                []string // audiences of v1.0 tokens, without a slash at the end
	v1, v2              issuerForm
	leeway              int64 // seconds
	requireIDType       bool
	refuseClientSecrets bool
	known               interned
}

// authenticate judges claims that k has signed, at a time in seconds.
func (j *judge) authenticate(c *claims, k *key, now int64) (*authentication, *Error) {
	tenant, client := j.known.text(c.tenant), strings.ToLower(j.known.text(c.client))
	kind, reason := j.refusal(c, k, tenant, client, now)
	if kind != "" {
		return nil, &Error{Kind: kind, reason: reason, TenantID: tenant, ClientID: client}
	}
	object := string(c.objectID)
	subject := object
	if !bytes.Equal(c.subject, c.objectID) {
		subject = string(c.subject)
	}
	a := &authentication{
		caller: Caller{
			TenantID: tenant, ClientID: client, ObjectID: object, Subject: subject, TokenID: string(c.tokenID),
			Version: 2, ExpiresAt: time.Unix(c.expires, 0), ClientAuth: clientAuth(c),
			roles: c.roles, challengeable: c.challengeable,
		},
		key: k, expires: c.expires, notBefore: c.notBefore,
	}
	if string(c.version) == "1.0" {
		a.caller.Version = 1
	}
	if c.issued != 0 {
		a.caller.IssuedAt = time.Unix(c.issued, 0)
	}
	isApp, _ := appOnly(c, j.requireIDType)
	switch {
	case !isApp:
		a.refusal = ErrNotAppOnly
	case j.refuseClientSecrets && a.caller.ClientAuth != ClientAuthCertificate:
		a.refusal = ErrClientAuth
	}
	return a, nil
}

// refusal says what is wrong with claims. The order is that of what is to be
// corrected first.
func (j *judge) refusal(c *claims, k *key, tenant, client string, now int64) (kind Kind, reason string) {
	form := j.v2
	switch string(c.version) {
	case "1.0":
		form = j.v1
	case "2.0":
	default:
		return ErrIssuer, "the token's version is neither 1.0 nor 2.0"
	}
	switch {
	case form.before == "":
		return ErrIssuer, "it is a v1.0 token, and those are refused"
	case !form.matches(c.issuer, tenant):
		return ErrIssuer, fmt.Sprintf("it is %s, want %s%s%s", quote(c.issuer), form.before, tenant, form.behind)
	case !k.isFor(j.v2, tenant):
		return ErrIssuer, "the key that signed it is that of another issuer"
	case !j.isAudience(c):
		return ErrAudience, fmt.Sprintf("it is for %s, want %s", quote(c.audience), j.clientID)
	case !ident.IsGUID(client):
		return ErrMalformed, "no claim says which app it was issued to"
	}
	return j.outsideOfTime(c, now)
}

// outsideOfTime says what is wrong with the times of a token.
func (j *judge) outsideOfTime(c *claims, now int64) (kind Kind, reason string) {
	began := c.issued
	if began == 0 {
		began = c.notBefore
	}
	if began == 0 {
		began = now
	}
	switch {
	case c.expires == 0:
		return ErrMalformed, "it has no exp"
	case c.expires+j.leeway <= now:
		return ErrExpired, ""
	case c.notBefore > now+j.leeway, c.issued > now+j.leeway:
		return ErrNotYetValid, ""
	case c.expires-began > int64(maxLifetime/time.Second):
		return ErrMalformed, "it is good for more than 48 hours"
	}
	return "", ""
}

// isAudience reports whether a token is for this API. One of version 1.0 names
// whatever the caller called the API, a v2.0 one the client ID.
func (j *judge) isAudience(c *claims) bool {
	return string(c.audience) == j.clientID || string(c.version) == "1.0" && slices.ContainsFunc(j.uris, func(uri string) bool {
		return string(bytes.TrimSuffix(c.audience, []byte("/"))) == uri
	})
}

// appOnly reports whether a token is an app's own, and what says so. Users' tokens have
// scp, whatever is in it, and app-only ones have roles or nothing. Where idtyp says what
// the token is, that counts: of an agent identity sub and oid differ. Where it does not,
// both are the service principal, and the app has proved itself.
//
// See https://learn.microsoft.com/entra/identity-platform/optional-claims-reference.
func appOnly(c *claims, requireIDType bool) (is bool, because string) {
	switch {
	case c.hasScope:
		return false, "it has scp, the permissions of a user"
	case c.hasIDType && string(c.idType) != "app":
		return false, "its idtyp is not app"
	case c.hasIDType && string(c.clientAuth) == "0":
		return false, "the app has not proved itself: its azpacr or appidacr is 0"
	case c.hasIDType:
		return true, "its idtyp is app"
	case requireIDType:
		return false, "it has no idtyp"
	case len(c.subject) == 0 || !bytes.Equal(c.subject, c.objectID):
		return false, "it has no idtyp, and its sub and oid are not the same"
	case clientAuth(c) == ClientAuthUnknown:
		return false, "it has no idtyp, and no azpacr or appidacr that says how the app proved itself"
	}
	return true, "its sub and oid are the same and the app has proved itself, as it has no idtyp that would say so"
}

func clientAuth(c *claims) ClientAuth {
	switch string(c.clientAuth) {
	case "1":
		return ClientAuthSecret
	case "2":
		return ClientAuthCertificate
	}
	return ClientAuthUnknown
}

// quote shows a claim.
func quote(b []byte) string { return `"` + ident.OneLine(string(b), 120) + `"` }
