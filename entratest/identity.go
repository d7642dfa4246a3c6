// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/cloud"
)

// exchangeApp is the app behind the exchange audience: what Entra writes into
// the aud of a token that was asked for with it.
const exchangeApp = "fb60f99c-7a34-4190-8149-302f77469936"

// identityLifetime is how long the tokens of a managed identity live.
const identityLifetime = 24 * time.Hour

// registerIdentity makes a user-assigned managed identity in t: an app without
// credentials whose tokens the platform hands out.
func (s *Server) registerIdentity(t *Tenant) (clientID, objectID string) {
	a := t.newApp(newGUID(), true)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return a.clientID, t.principals.find(a.clientID).objectID.String()
}

// identityToken issues a token to a managed identity, for the API that resource
// names, or to be used as a federated assertion if resource is an exchange
// audience. base is the authority, "https://host", that its issuer begins with.
func (s *Server) identityToken(base string, t *Tenant, clientID, resource string) (signed string, lifetime time.Duration, f *refusal) {
	now := s.Now()
	reg, f := s.findApp(t, clientID, now)
	if f != nil {
		return "", 0, f
	}
	var tgt target
	switch {
	case resource == s.Cloud().ExchangeAudience():
		tgt = target{requested: resource, appID: exchangeApp, version: 2}
	case isExchangeAudience(resource):
		// Handed out without a word; the exchange fails later.
		tgt = target{requested: resource, appID: resource, version: 2}
	default:
		if tgt, f = s.findResource(t, reg.clientID, resource, now); f != nil {
			return "", 0, f
		}
	}
	s.mu.RLock()
	lifetime = s.tokenLifetime.Truncate(time.Second)
	s.mu.RUnlock()
	if lifetime == 0 {
		lifetime = identityLifetime
	}
	return s.sign(accessToken{
		base:     base,
		tenant:   t.id,
		clientID: reg.clientID,
		objectID: reg.objectID,
		method:   authCertificate,
		target:   tgt,
		issued:   now.Unix(),
		expires:  now.Add(lifetime).Unix(),
	}), lifetime, nil
}

func isExchangeAudience(aud string) bool {
	return slices.ContainsFunc([]cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China},
		func(c cloud.Cloud) bool { return c.ExchangeAudience() == aud })
}

// entraIssuer tells whether a token says that this emulator issued it, and the
// tenant and the version (1 or 2) of its issuer; version is 0 if it does not.
func (s *Server) entraIssuer(base, iss string) (tenant string, version int) {
	if tenant, ok := strings.CutPrefix(iss, v1Issuer); ok {
		return strings.TrimSuffix(tenant, "/"), 1
	}
	for _, own := range []string{base, s.Cloud().Authority()} {
		if tenant, ok := strings.CutPrefix(iss, own+"/"); ok {
			return strings.TrimSuffix(tenant, "/v2.0"), 2
		}
	}
	return "", 0
}

// checkIdentity judges an assertion that Entra issued itself. It has to be the
// token of a managed identity in the tenant that the app is registered in
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
func (x *exchange) checkIdentity(reg registration, trusted []federatedCredential, a *assertion, tenant string, version int) *refusal {
	switch {
	case len(trusted) == 0:
		return refuse(700222, a.iss)
	case version == 1:
		return refuse(700227, a.aud)
	case tenant != reg.home:
		return refuse(700236, a.iss)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256")
	}
	if wrong := checkSignature(a, x.s.publishedKeys()); wrong != "" {
		return refuse(7000272, wrong, a.kid)
	}
	if f := a.checkTimes(x.now); f != nil {
		return f
	}
	if !x.s.isIdentity(tenant, a.sub) {
		return refuse(700226)
	}
	trusted = x.forAudience(trusted, a)
	switch {
	case len(trusted) > 0:
		return checkSubject(trusted, a.sub)
	case isExchangeAudience(a.aud):
		return refuse(70022204, a.aud)
	}
	return refuse(7002121, a.aud)
}

// forAudience returns the credentials that have the assertion's audience. Entra,
// and nobody else, writes the app behind the exchange audience in its place; its
// real clouds do, too, for Azure Pipelines.
func (x *exchange) forAudience(trusted []federatedCredential, a *assertion) []federatedCredential {
	aud := a.aud
	if aud == exchangeApp {
		_, version := x.s.entraIssuer(x.base, a.iss)
		host, _, _ := strings.Cut(strings.TrimPrefix(a.iss, "https://"), "/")
		if _, err := cloud.FromAuthority(host); version > 0 || err == nil {
			aud = x.s.Cloud().ExchangeAudience()
		}
	}
	return slices.DeleteFunc(trusted, func(fc federatedCredential) bool { return fc.Audience != aud })
}

// isIdentity tells whether an object of a tenant is a managed identity.
func (s *Server) isIdentity(tenant, objectID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tenants[tenant]
	return t != nil && slices.ContainsFunc(t.principals.list, func(p principal) bool {
		app := s.apps[p.appID]
		return app != nil && app.identity && p.objectID.String() == objectID
	})
}
