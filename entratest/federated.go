// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// checkFederated judges an assertion of an outside issuer. The issuer comes
// first: the keys of one that no credential trusts are nobody's business.
func (x *exchange) checkFederated(reg registration, a *assertion) *refusal {
	if strings.HasPrefix(a.iss, v1Issuer) || strings.HasPrefix(a.iss, x.base+"/") {
		return refuse(700222, a.iss)
	}
	if len(reg.federated) == 0 {
		return refuse(70025, reg.clientID)
	}
	trusted := slices.DeleteFunc(slices.Clone(reg.federated), func(fc FederatedCredential) bool { return fc.Issuer != a.iss })
	if len(trusted) == 0 {
		return refuse(700211, a.iss)
	}
	if f := x.checkOutsideSignature(a); f != nil {
		return f
	}
	if f := a.checkTimes(x.now); f != nil {
		return f
	}

	trusted = slices.DeleteFunc(trusted, func(fc FederatedCredential) bool { return fc.Audience != a.aud })
	if len(trusted) == 0 {
		return refuse(700212, a.aud)
	}
	if slices.ContainsFunc(trusted, func(fc FederatedCredential) bool { return fc.Subject == a.sub }) {
		return nil
	}
	if slices.ContainsFunc(trusted, func(fc FederatedCredential) bool { return strings.EqualFold(fc.Subject, a.sub) }) {
		return refuse(7002138, a.sub)
	}
	return refuse(700213, a.sub)
}

func (x *exchange) checkOutsideSignature(a *assertion) *refusal {
	if a.alg != "RS256" {
		return refuse(5002738, a.alg, "RS256")
	}
	issuer := x.s.findIssuer(a.iss)
	switch {
	case issuer == nil:
		return refuse(90061, a.iss)
	case a.kid != issuer.kid:
		return refuse(7000272, "there is none with this identifier", a.kid)
	case !a.verify(&issuer.key.PublicKey):
		return refuse(7000272, "the signature does not verify", a.kid)
	}
	return nil
}
