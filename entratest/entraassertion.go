// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
)

// exchangeApp is the app behind the exchange audience: what Entra writes into
// the aud of a token that was asked for with it.
const exchangeApp = "fb60f99c-7a34-4190-8149-302f77469936"

func isExchangeAudience(aud string) bool {
	return slices.ContainsFunc([]cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China},
		func(c cloud.Cloud) bool { return c.ExchangeAudience() == aud })
}

// ofRealCloud tells whether an issuer is at the authority of one of the clouds
// that Microsoft operates: there, too, Entra is the issuer.
func ofRealCloud(iss string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(iss, "https://"), "/")
	_, err := cloud.FromAuthority(host)
	return err == nil
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
func (c *call) checkIdentity(client clientView, trusted []federatedCredential, a *assertion, tenant string, version int) *refusal {
	switch {
	case len(trusted) == 0:
		return refuse(700222, a.iss)
	case version == 1:
		return refuse(700227, string(a.aud))
	case tenant != client.app.home.id:
		return refuse(700236, a.iss)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256")
	}
	if wrong := checkSignature(a, c.s.publishedKeys()); wrong != "" {
		return refuse(7000272, wrong, a.kid)
	}
	if f := a.checkTimes(c.now); f != nil {
		return f
	}
	if !c.s.isIdentity(tenant, a.sub) {
		return refuse(700226)
	}
	trusted = c.forAudience(trusted, a)
	switch {
	case len(trusted) > 0:
		return checkSubject(trusted, a.sub)
	case isExchangeAudience(string(a.aud)):
		return refuse(70022204, string(a.aud))
	}
	return refuse(7002121, string(a.aud))
}

// forAudience returns the credentials that have the assertion's audience. Entra,
// and nobody else, writes the app behind the exchange audience in its place; its
// real clouds do, too, for Azure Pipelines.
func (c *call) forAudience(trusted []federatedCredential, a *assertion) []federatedCredential {
	aud := string(a.aud)
	if aud == exchangeApp {
		_, version := c.s.entraIssuer(c.base, a.iss)
		if version > 0 || ofRealCloud(a.iss) {
			aud = c.s.Cloud().ExchangeAudience()
		}
	}
	return slices.DeleteFunc(trusted, func(fc federatedCredential) bool { return fc.Audience != aud })
}

// isIdentity reports whether an object of a tenant that exists is a managed
// identity.
func (s *Server) isIdentity(tenant, objectID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.sources.identities, func(m *ManagedIdentity) bool {
		return m.app.homeObjectID == objectID && m.t == s.tenants[tenant] && m.t.principals[&m.app.registration] != nil
	})
}
