// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// SetFederationAllowed says whether the apps registered in t may prove
// themselves with federated credentials at all, which they may by default. If
// not they are refused with AADSTS700223.
func (t *Tenant) SetFederationAllowed(allowed bool) {
	t.setPolicy(func(p *tenantPolicy) { p.noFederation = !allowed })
}

// AllowIssuers makes urls the only outside issuers that the apps registered in
// t may federate with; assertions of others are refused with AADSTS700238. No
// urls at all lift the policy, which is the default.
func (t *Tenant) AllowIssuers(urls ...string) {
	allowed := slices.Clone(urls)
	t.setPolicy(func(p *tenantPolicy) { p.issuers = allowed })
}

// eid1 begins the subjects that Microsoft's own services give.
const eid1 = "/eid1/"

// checkFederated judges an assertion that the app did not sign itself. The
// issuer comes first: the keys of one that no credential trusts are nobody's
// business.
func (x *exchange) checkFederated(reg registration, a *assertion) *refusal {
	if reg.noFederation {
		return refuse(700223, reg.clientID)
	}
	trusted := slices.DeleteFunc(slices.Clone(reg.federated), func(fc federatedCredential) bool { return fc.Issuer != a.iss })
	if tenant, version := x.s.entraIssuer(x.base, a.iss); version > 0 {
		return x.checkIdentity(reg, trusted, a, tenant, version)
	}
	switch {
	case ofRealCloud(a.iss) && !strings.HasPrefix(a.sub, eid1):
		// Of the tokens of a real cloud Entra takes those that one of its
		// services issues for others, such as Azure DevOps.
		return refuse(700222, a.iss)
	case len(reg.federated) == 0:
		return refuse(70025, reg.clientID)
	case len(trusted) == 0:
		return refuse(700211, a.iss)
	case len(reg.issuers) > 0 && !slices.Contains(reg.issuers, a.iss):
		return refuse(700238, a.iss)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256")
	}
	keys, f := x.s.fetchIssuerKeys(a.iss)
	if f != nil {
		return f
	}
	if wrong := checkSignature(a, keys); wrong != "" {
		return refuse(7000272, wrong, a.kid)
	}
	if f := a.checkTimes(x.now); f != nil {
		return f
	}

	if trusted = x.forAudience(trusted, a); len(trusted) == 0 {
		return refuse(700212, string(a.aud))
	}
	return checkSubject(trusted, a.sub)
}

// checkSubject compares with the credentials that match so far.
func checkSubject(trusted []federatedCredential, sub string) *refusal {
	switch {
	case slices.ContainsFunc(trusted, func(fc federatedCredential) bool { return fc.Subject == sub }):
		return nil
	case slices.ContainsFunc(trusted, func(fc federatedCredential) bool { return strings.EqualFold(fc.Subject, sub) }):
		return refuse(7002138, sub)
	case strings.HasPrefix(sub, eid1):
		return refuse(7002137, sub)
	}
	return refuse(700213, sub)
}
