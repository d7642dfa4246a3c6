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
func (f issuerForm) matches(issuer, tenant string) bool {
	return f.before != "" && len(issuer) == len(f.before)+len(tenant)+len(f.behind) &&
		strings.HasPrefix(issuer, f.before) && strings.HasSuffix(issuer, f.behind) && issuer[len(f.before):len(f.before)+len(tenant)] == tenant
}
