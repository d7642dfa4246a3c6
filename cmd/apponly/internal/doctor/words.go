// SPDX-License-Identifier: MIT

package doctor

import (
	"cmp"
	"crypto/x509/pkix"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// quote shows text from outside.
func quote(s string) string { return strconv.Quote(ident.OneLine(s, 200)) }

// nameOf is what a certificate's owner is called.
func nameOf(n pkix.Name) string {
	organization := strings.Join(n.Organization, ", ")
	if organization == "" || organization == n.CommonName || n.CommonName == "" {
		return cmp.Or(n.CommonName, organization, n.String())
	}
	return n.CommonName + ", " + organization
}
