// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertion is a JWT taken apart, nothing of it verified yet.
type assertion struct {
	signed    string // what the signature is over
	signature []byte

	alg, typ, kid string
	x5t           string // SHA-1 of the certificate
	x5tHeader     string // where it stands: x5t, or kid
	x5tS256       string
	x5c           chain

	iss, sub string
	aud      audience
	nbf, exp date // zero if missing
}

// parseAssertion takes a JWT apart. It is not left to the parser of golang-jwt,
// because that one verifies while it reads, while here each fault has a number
// of its own, and because dates may be strings here.
func parseAssertion(raw string) (*assertion, *refusal) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, refuse(50027, "it does not have three parts")
	}
	a := &assertion{signed: parts[0] + "." + parts[1]}
	header := decodePart(parts[0])
	if header == nil ||
		header.read("alg", &a.alg) != nil || header.read("typ", &a.typ) != nil || header.read("kid", &a.kid) != nil ||
		header.read("x5t", &a.x5t) != nil || header.read("x5t#S256", &a.x5tS256) != nil || header.read("x5c", &a.x5c) != nil {
		return nil, refuse(50027, "its header cannot be read")
	}
	claims := decodePart(parts[1])
	if claims == nil ||
		claims.read("iss", &a.iss) != nil || claims.read("sub", &a.sub) != nil || claims.read("aud", &a.aud) != nil ||
		claims.read("nbf", &a.nbf) != nil || claims.read("exp", &a.exp) != nil {
		return nil, refuse(50027, "its claims cannot be read")
	}
	a.x5tHeader = "x5t"
	if a.x5t == "" && a.x5tS256 == "" && isSHA1(a.kid) {
		a.x5t, a.x5tHeader = a.kid, "kid"
	}
	var err error
	if a.signature, err = decodeBase64URL(parts[2]); err != nil {
		return nil, refuse(50027, "its signature cannot be read")
	}
	return a, nil
}

// verify checks the signature with a public key.
func (a *assertion) verify(key any) bool {
	method := jwt.GetSigningMethod(a.alg)
	return method != nil && method.Verify(a.signed, a.signature, key) == nil
}

// chain is the certificates of a header, the leaf first: standard base64 of
// their DER (RFC 7515), in an array or, as MSAL .NET sends the leaf, in a string.
type chain []*x509.Certificate

// UnmarshalJSON implements json.Unmarshaler.
func (c *chain) UnmarshalJSON(data []byte) error {
	var list [][]byte // which encoding/json reads from standard base64
	if json.Unmarshal(data, &list) != nil {
		list = make([][]byte, 1)
		if err := json.Unmarshal(data, &list[0]); err != nil {
			return err
		}
	}
	for _, der := range list {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		*c = append(*c, cert)
	}
	return nil
}

// audience is a string or, as Kubernetes writes it, an array of one. A longer
// array matches nothing: whether Entra takes it is not documented. In an app's own
// assertion it was reported to be refused as malformed (panva/openid-client#348).
type audience string

// several reports whether it was a longer array: no audience has a blank in it.
func (a audience) several() bool { return strings.Contains(string(a), " ") }

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*a = audience(strings.Join(list, " "))
		return nil
	}
	return json.Unmarshal(data, (*string)(a))
}

// leeway is how far the clock of the signer of an assertion may be off. What Entra
// tolerates is not documented; Microsoft's own token libraries allow five minutes.
const leeway = 5 * time.Minute

// fromOutside tells the two kinds of assertion apart. An OIDC issuer is a URL,
// because its keys have to be found; everything else claims to be the app itself.
func (a *assertion) fromOutside() bool { return strings.Contains(a.iss, "://") }

// checkTimes demands an exp, and a time between nbf and exp, give or take the
// leeway.
func (a *assertion) checkTimes(now time.Time) *refusal {
	if !a.exp.IsZero() && now.Before(a.exp.Add(leeway)) && !now.Before(a.nbf.Add(-leeway)) {
		return nil
	}
	return refuse(700024, instant(now), instant(a.nbf.Time), instant(a.exp.Time)).
		beside("lifetime", span(a.nbf.Time, a.exp.Time), instant(now)+", the time here, give or take "+leeway.String())
}

// checkSelfSigned judges an assertion that an app signs with its certificate
// (RFC 7523; Entra's "certificate credentials").
func (c *call) checkSelfSigned(t *Tenant, tenantName string, client clientView, a *assertion) *refusal {
	switch {
	case a.alg != "RS256" && a.alg != "PS256":
		return refuse(5002738, a.alg, "RS256, PS256").beside("alg", a.alg, "RS256", "PS256")
	case a.typ != "" && !strings.EqualFold(a.typ, "JWT"):
		return refuse(5002727, a.typ).beside("typ", a.typ, "JWT")
	case !strings.EqualFold(a.iss, client.app.appID):
		return refuse(700021, client.app.appID).beside("iss", a.iss, client.app.appID)
	case !strings.EqualFold(a.sub, a.iss):
		return refuse(50048, a.sub).beside("sub", a.sub, a.iss)
	case a.x5t == "" && a.x5tS256 == "":
		return refuse(5002723).beside("x5t#S256", "", client.thumbprints(sha256Thumbprint)...)
	}
	if len(a.x5c) > 0 && !slices.ContainsFunc(client.certificates, func(c appCertificate) bool { return c.cert.Equal(a.x5c[0]) }) {
		// A client that sends a chain wants to be accepted by the name of its leaf,
		// which Entra does for Microsoft's own apps only.
		return refuse(700030, a.x5c[0].Subject.String()).beside("x5c", sha256Thumbprint(a.x5c[0]), client.thumbprints(sha256Thumbprint)...)
	}
	i := slices.IndexFunc(client.certificates, a.names)
	if i < 0 {
		return a.besideThumbprints(refuse(700027, "the key was not found", client.app.appID), client)
	}
	cert := client.certificates[i].cert
	if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !a.verify(key) {
		return refuse(700027, "it was not made with the key of the certificate", client.app.appID).beside("signature", "by another key", "by that of "+client.certificateLabel(i))
	}
	if c.now.Before(cert.NotBefore) || c.now.After(cert.NotAfter) {
		return refuse(1000502, instant(cert.NotBefore), instant(cert.NotAfter)).beside("lifetime", instant(c.now), client.certificateLabel(i))
	}
	if client.certificates[i].revoked {
		return refuse(7000214).beside("certificate", "revoked", client.certificateLabel(i))
	}
	// The audience has the host that was asked; an alias of it is another audience.
	// Which of the two endpoints it names, for which name of the tenant, does not matter,
	// and neither does what ADAL writes behind it, as it asks there.
	if a.aud.several() {
		return refuse(50027, "its aud is an array of several")
	}
	want := c.tokenEndpoints(t.id, tenantName)
	if aud := string(a.aud); !slices.Contains(want, strings.TrimSuffix(aud, "?api-version=1.0")) {
		return refuse(700023, aud, want[0]).beside("aud", aud, slices.Compact(want)...)
	}
	if f := a.checkTimes(c.now); f != nil {
		return f
	}
	c.matched("certificate", sha256Thumbprint(cert), client.certificateLabel(i))
	return nil
}

// certificateLabel names a certificate, for the record.
func (v clientView) certificateLabel(i int) string {
	c := v.certificates[i].cert
	return fmt.Sprintf("certificate %d of %d, %s, %s", i+1, len(v.certificates), c.Subject, span(c.NotBefore, c.NotAfter))
}

// thumbprints are those of the client's certificates.
func (v clientView) thumbprints(of func(*x509.Certificate) string) []string {
	if len(v.certificates) == 0 {
		return []string{"the app has no certificate"}
	}
	list := make([]string, len(v.certificates))
	for i, c := range v.certificates {
		list[i] = of(c.cert)
	}
	return list
}

func sha256Thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// besideThumbprints compares what the header names with the client's certificates.
func (a *assertion) besideThumbprints(f *refusal, client clientView) *refusal {
	if a.x5t != "" {
		f.beside(a.x5tHeader, a.x5t, client.thumbprints(func(c *x509.Certificate) string {
			sum := sha1Thumbprint(c.Raw)
			return base64.RawURLEncoding.EncodeToString(sum[:])
		})...)
	}
	if a.x5tS256 != "" {
		f.beside("x5t#S256", a.x5tS256, client.thumbprints(sha256Thumbprint)...)
	}
	return f
}

// isSHA1 reports whether a kid is a certificate's base64url SHA-1, with or without
// padding. As the only name of the certificate HashiCorp's SDK sends that, and Microsoft's
// own page and MSAL .NET before 4.10 did; in hexadecimal nobody was seen to be accepted.
func isSHA1(kid string) bool {
	sum, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(kid, "="))
	return err == nil && len(sum) == sha1.Size
}

// names reports whether the header names a certificate. If there are both
// thumbprints, or a chain, all have to fit.
func (a *assertion) names(c appCertificate) bool {
	sha1Sum, sha256Sum := sha1Thumbprint(c.cert.Raw), sha256.Sum256(c.cert.Raw)
	return (a.x5t == "" || isThumbprint(a.x5t, sha1Sum[:])) &&
		(a.x5tS256 == "" || isThumbprint(a.x5tS256, sha256Sum[:])) &&
		(len(a.x5c) == 0 || c.cert.Equal(a.x5c[0]))
}

// isThumbprint accepts base64url without padding, as RFC 7515 has it, and what else
// Entra takes: padded base64url from MSAL for Python, and padded standard base64
// from MSAL for Go.
func isThumbprint(text string, sum []byte) bool {
	return text == base64.RawURLEncoding.EncodeToString(sum) ||
		text == base64.URLEncoding.EncodeToString(sum) || text == base64.StdEncoding.EncodeToString(sum)
}

// eid1 is the prefix of subjects that Microsoft's own services use.
const eid1 = "/eid1/"

// checkFederated judges an assertion that the app did not sign itself. The issuer
// comes first: keys are fetched only of those that a credential trusts.
func (c *call) checkFederated(client clientView, a *assertion) *refusal {
	if client.noFederation {
		return refuse(700223, client.app.appID)
	}
	tenant, version := c.entraIssuer(a.iss)
	trusted := slices.DeleteFunc(slices.Clone(client.federated), func(fc federatedCredential) bool {
		// Entra has several names here, one of them real.
		t, v := c.entraIssuer(fc.Issuer)
		return fc.Issuer != a.iss && (version == 0 || t != tenant || v != version)
	})
	if version > 0 {
		return c.checkIdentity(client, trusted, a, tenant, version)
	}
	switch {
	case ofRealCloud(a.iss) && !strings.HasPrefix(a.sub, eid1):
		// Of the tokens of a real cloud, Entra takes those that one of its services,
		// such as Azure DevOps, issues for others.
		return refuse(700222, a.iss).beside("iss", a.iss, "an issuer outside Entra")
	case len(client.federated) == 0:
		return refuse(70025, client.app.appID)
	case len(trusted) == 0:
		return refuse(700211, a.iss)
	case len(client.issuers) > 0 && !slices.Contains(client.issuers, a.iss):
		return refuse(700238, a.iss).beside("iss", a.iss, client.issuers...)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256").beside("alg", a.alg, "RS256")
	}
	keys, f := c.s.fetchIssuerKeys(a.iss)
	if f != nil {
		return f
	}
	if f := a.checkSignature(keys); f != nil {
		return f
	}
	if f := a.checkTimes(c.now); f != nil {
		return f
	}

	if trusted = c.forAudience(trusted, a); len(trusted) == 0 {
		return refuse(700212, string(a.aud))
	}
	return checkSubject(trusted, a.sub)
}

// checkSubject compares with the credentials that match in all else.
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

// exchangeApp is the app behind the exchange audience, which Entra writes into the
// aud of a token for that audience.
const exchangeApp = "fb60f99c-7a34-4190-8149-302f77469936"

// checkIdentity judges an assertion that Entra issued itself. It has to be the
// token of a managed identity in the tenant that the app is registered in
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
func (c *call) checkIdentity(client clientView, trusted []federatedCredential, a *assertion, tenant string, version int) *refusal {
	switch {
	case len(trusted) == 0:
		return refuse(700222, a.iss)
	case version == 1:
		return refuse(700227, string(a.aud)).beside("ver", "1.0", "2.0")
	case tenant != client.app.home.id:
		return refuse(700236, a.iss).beside("tenant", tenant, client.app.home.id)
	case a.alg != "RS256":
		return refuse(5002738, a.alg, "RS256").beside("alg", a.alg, "RS256")
	}
	if f := a.checkSignature(c.s.publishedKeys()); f != nil {
		return f
	}
	if f := a.checkTimes(c.now); f != nil {
		return f
	}
	if !c.s.isIdentity(tenant, a.sub) {
		return refuse(700226).beside("sub", a.sub, "the object ID of a managed identity")
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

// audienceOf returns the assertion's audience as it is in credentials. Entra alone writes
// the app behind the exchange audience in its place; its real clouds do so for Azure
// Pipelines, too.
func (c *call) audienceOf(a *assertion) string {
	if a.aud == exchangeApp {
		_, version := c.entraIssuer(a.iss)
		if version > 0 || ofRealCloud(a.iss) {
			return c.s.Cloud().ExchangeAudience()
		}
	}
	return string(a.aud)
}

// forAudience returns the credentials that have the assertion's audience.
func (c *call) forAudience(trusted []federatedCredential, a *assertion) []federatedCredential {
	aud := c.audienceOf(a)
	return slices.DeleteFunc(trusted, func(fc federatedCredential) bool { return fc.Audience != aud })
}

// isIdentity reports whether an object ID is that of a managed identity in a tenant
// that exists.
func (s *Server) isIdentity(tenant, objectID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.sources.identities, func(m *ManagedIdentity) bool {
		return m.app.homeObjectID == objectID && m.t == s.tenants[tenant] && m.t.principals[m.app.registration] != nil
	})
}
