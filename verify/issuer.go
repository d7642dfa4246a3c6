// SPDX-License-Identifier: MIT

package verify

import (
	"strings"

	"github.com/apponly/apponly/cloud"
)

// An issuerForm is what an issuer is but for the tenant in it. The zero value
// matches nothing.
type issuerForm struct{ before, behind string }

// anyTenant stands for one where an issuer is taken apart.
const anyTenant = "00000000-0000-0000-0000-000000000000"

func issuerOf(c cloud.Cloud, version int) issuerForm {
	issuer, ok := c.Issuer(version, anyTenant)
	if !ok {
		return issuerForm{}
	}
	before, behind, _ := strings.Cut(issuer, anyTenant)
	return issuerForm{before, behind}
}

// matches reports whether issuer is that of a tenant.
func (f issuerForm) matches(issuer []byte, tenant string) bool {
	from, to := len(f.before), len(f.before)+len(tenant)
	return f.before != "" && len(issuer) == to+len(f.behind) &&
		string(issuer[:from]) == f.before && string(issuer[from:to]) == tenant && string(issuer[to:]) == f.behind
}
