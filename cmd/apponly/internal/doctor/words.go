// SPDX-License-Identifier: MIT

package doctor

import (
	"cmp"
	"crypto/x509/pkix"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// quote shows text from outside.
func quote(s string) string { return strconv.Quote(ident.OneLine(s, 200)) }

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span is a duration as people say it.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return cmp.Or(strings.TrimPrefix(fmt.Sprintf("%d ms", d.Milliseconds()), "0 ms"), "less than 1 ms")
}

// nameOf is what a certificate's owner is called.
func nameOf(n pkix.Name) string {
	organization := strings.Join(n.Organization, ", ")
	if organization == "" || organization == n.CommonName || n.CommonName == "" {
		return cmp.Or(n.CommonName, organization, n.String())
	}
	return n.CommonName + ", " + organization
}
