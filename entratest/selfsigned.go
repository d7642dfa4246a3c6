// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"crypto/sha1" // #nosec -- the older form of the thumbprint, still sent and accepted
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// checkSelfSigned judges an assertion that an app signs with its certificate
// (RFC 7523; Entra's "certificate credentials").
func (c *call) checkSelfSigned(t *Tenant, tenantName string, client clientView, a *assertion) *refusal {
	switch {
	case a.alg != "RS256" && a.alg != "PS256":
		return refuse(5002738, a.alg, "RS256, PS256")
	case a.typ != "" && !strings.EqualFold(a.typ, "JWT"):
		return refuse(5002727, a.typ)
	case !strings.EqualFold(a.iss, client.app.appID):
		return refuse(700021, client.app.appID)
	case !strings.EqualFold(a.sub, a.iss):
		return refuse(50048, a.sub)
	case a.x5t == "" && a.x5tS256 == "":
		return refuse(5002723)
	}
	if len(a.x5c) > 0 && !slices.ContainsFunc(client.certificates, func(c appCertificate) bool { return c.cert.Equal(a.x5c[0]) }) {
		// A chain asks to be accepted by the name of its leaf, which Entra
		// grants to Microsoft's own apps.
		return refuse(700030, a.x5c[0].Subject.String())
	}
	i := slices.IndexFunc(client.certificates, a.names)
	if i < 0 {
		return refuse(700027, "the key was not found", client.app.appID)
	}
	cert := client.certificates[i].cert
	if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !a.verify(key) {
		return refuse(700027, "it was not made with the key of the certificate", client.app.appID)
	}
	if c.now.Before(cert.NotBefore) || c.now.After(cert.NotAfter) {
		return refuse(1000502, cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if client.certificates[i].revoked {
		return refuse(7000214)
	}
	// The host it was asked at: an alias of it is another audience.
	want := c.tokenEndpoint(t.id)
	if aud := string(a.aud); aud != want && aud != c.tokenEndpoint(tenantName) {
		return refuse(700023, aud, want)
	}
	return a.checkTimes(c.now)
}

// names tells whether the header names a certificate. If both thumbprints are
// there, both have to fit, and so has the leaf of a chain.
func (a *assertion) names(c appCertificate) bool {
	sha1Sum, sha256Sum := sha1.Sum(c.cert.Raw), sha256.Sum256(c.cert.Raw)
	return (a.x5t == "" || isThumbprint(a.x5t, sha1Sum[:])) &&
		(a.x5tS256 == "" || isThumbprint(a.x5tS256, sha256Sum[:])) &&
		(len(a.x5c) == 0 || c.cert.Equal(a.x5c[0]))
}

// isThumbprint accepts base64url without padding, which RFC 7515 asks for, and
// what else Entra takes: base64url with it, from MSAL for Python, and padded
// standard base64, from MSAL for Go.
func isThumbprint(text string, sum []byte) bool {
	return text == base64.RawURLEncoding.EncodeToString(sum) ||
		text == base64.URLEncoding.EncodeToString(sum) || text == base64.StdEncoding.EncodeToString(sum)
}
