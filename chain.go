// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"slices"

	"github.com/apponly/apponly/internal/ident"
)

// newPair puts leaf in front of those of certs above it, without the root.
func newPair(leaf *x509.Certificate, certs []*x509.Certificate) pair {
	p := pair{chain: []*x509.Certificate{leaf}}
	for last := leaf; len(p.chain) < maxChain; last = p.chain[len(p.chain)-1] {
		next := issuerOf(last, certs)
		if next == nil || selfSigned(next) || slices.Contains(p.chain, next) { // cross-signed ones may go in a circle
			break
		}
		p.chain = append(p.chain, next)
	}
	for _, c := range certs {
		if !selfSigned(c) && !slices.Contains(p.chain, c) {
			p.leftOut = append(p.leftOut, ident.OneLine(cmp.Or(c.Subject.String(), "one without a name that Go reads"), 100))
		}
	}
	return p
}

// issuerOf finds the certificate that issued cert by name and key identifier
// (RFC 5280 sections 4.2.1.1 and 4.2.1.2). Whether Go, or Entra, accepts the link
// is not asked: a signature with SHA-1 or a CA that does not say it is one is for
// Entra to judge, and a chain that is cut short is refused for certain.
func issuerOf(cert *x509.Certificate, certs []*x509.Certificate) (issuer *x509.Certificate) {
	if selfSigned(cert) {
		return nil
	}
	best := 0
	for _, c := range certs {
		fit := fitsAsIssuer(c, cert)
		renewed := fit > 0 && fit == best && c.NotAfter.After(issuer.NotAfter)
		if fit > best || renewed {
			issuer, best = c, fit
		}
	}
	return issuer
}

// fitsAsIssuer returns how well a certificate fits as the issuer of another, 0 if
// it does not. Of two of the same name, only one may be the right one.
func fitsAsIssuer(c, cert *x509.Certificate) int {
	named := len(c.SubjectKeyId) > 0 && len(cert.AuthorityKeyId) > 0
	switch {
	case c == cert || !bytes.Equal(c.RawSubject, cert.RawIssuer):
		return 0
	case named && bytes.Equal(c.SubjectKeyId, cert.AuthorityKeyId):
		return 3
	case cert.CheckSignatureFrom(c) == nil:
		return 2
	case named:
		return 0
	}
	return 1
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }
