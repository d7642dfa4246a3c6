// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// eid1 begins the subjects that Microsoft's own services give.
const eid1 = "/eid1/"

// checkFederated judges an assertion that the app did not sign itself. The
// issuer comes first: the keys of one that no credential trusts are nobody's
// business.
func (c *call) checkFederated(client clientView, a *assertion) *refusal {
	if client.noFederation {
		return refuse(700223, client.app.appID)
	}
	trusted := slices.DeleteFunc(slices.Clone(client.federated), func(fc federatedCredential) bool { return fc.Issuer != a.iss })
	if tenant, version := c.s.entraIssuer(c.base, a.iss); version > 0 {
		return c.checkIdentity(client, trusted, a, tenant, version)
	}
	switch {
	case ofRealCloud(a.iss) && !strings.HasPrefix(a.sub, eid1):
		// Of the tokens of a real cloud Entra takes those that one of its
		// services issues for others, such as Azure DevOps.
		return refuse(700222, a.iss)
	case len(client.federated) == 0:
		return refuse(70025, client.app.appID)
	case len(trusted) == 0:
		return refuse(700211, a.iss)
	case len(client.issuers) > 0 && !slices.Contains(client.issuers, a.iss):
		return refuse(700238, a.iss)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256")
	}
	keys, f := c.s.fetchIssuerKeys(a.iss)
	if f != nil {
		return f
	}
	if wrong := checkSignature(a, keys); wrong != "" {
		return refuse(7000272, wrong, a.kid)
	}
	if f := a.checkTimes(c.now); f != nil {
		return f
	}

	if trusted = c.forAudience(trusted, a); len(trusted) == 0 {
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
