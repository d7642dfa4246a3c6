// SPDX-License-Identifier: MIT

package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/inside"
	"github.com/apponly/apponly/internal/netfault"
)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	client = "22222222-2222-4222-8222-222222222222"
	api    = "33333333-3333-4333-8333-333333333333"
)

var now = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

// TestJudgements are what nothing on a loopback interface can be made to do, and the
// edges of what it can.
func TestJudgements(t *testing.T) {
	at := func(skew time.Duration) *answer {
		return &answer{host: "login.test", date: now.Add(skew).Format(http.TimeFormat), way: way{sent: now}}
	}
	shown := func(issuer pkix.Name) *answer {
		leaf := &x509.Certificate{Issuer: issuer, NotAfter: now}
		return &answer{host: "login.microsoftonline.com", way: way{secure: true, tls: tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{leaf}}}}
	}
	certificate := func(from, until time.Duration) []inside.Certificate {
		return []inside.Certificate{{Certificate: &x509.Certificate{NotBefore: now.Add(from), NotAfter: now.Add(until)}}}
	}
	assertion := inside.Assertion{Issuer: "https://i", Subject: "s", Audience: "api://AzureADTokenExchange", WantAudience: "api://AzureADTokenExchange", Algorithm: "RS256", Expires: now.Add(time.Hour)}
	changed := func(change func(*inside.Assertion)) inside.Assertion { a := assertion; change(&a); return a }
	app := inside.Environment{Credential: "secret", TenantID: tenant, ClientID: client}
	good := inside.Token{Audience: api, TenantID: tenant, ClientID: client, AppOnly: true, Roles: []string{"A"}}
	token := func(change func(*inside.Token)) inside.Token { c := good; change(&c); return c }
	proxy := &url.URL{Scheme: "http", Host: "proxy:3128"}

	for name, tt := range map[string]struct {
		got    finding
		status Status
		text   string
	}{
		"clock, a minute":        {judgeClock(at(59 * time.Second)), OK, "but for 59.5 s"},
		"clock, over a minute":   {judgeClock(at(61 * time.Second)), Warning, "behind"},
		"clock, five minutes":    {judgeClock(at(-299 * time.Second)), Warning, "ahead of"},
		"clock, over five":       {judgeClock(at(-301 * time.Second)), Fault, "5 min 0 s ahead of"},
		"clock, to the second":   {judgeClock(at(0)), OK, "to the second"},
		"clock, no answer":       {judgeClock(&answer{err: errors.New("secret"), way: way{secure: true}}), Warning, "not compared"},
		"TLS, Entra":             {judgeTLS(shown(pkix.Name{CommonName: "DigiCert TLS", Organization: []string{"DigiCert Inc"}}), true), OK, "DigiCert"},
		"TLS, inspected":         {judgeTLS(shown(pkix.Name{CommonName: "Zscaler Intermediate", Organization: []string{"Zscaler Inc."}}), true), Warning, `"Zscaler Intermediate, Zscaler Inc.", valid until 2031-05-01 12:00 UTC: a proxy inspects`},
		"TLS, a private cloud":   {judgeTLS(shown(pkix.Name{CommonName: "Corp CA"}), false), OK, "Corp CA"},
		"proxy, 504":             {judgeProxy(&answer{host: "login.test", proxy: proxy, err: netfault.ProxyStatus(504)}, "https_proxy"), Fault, "504 Gateway Timeout"},
		"DNS":                    {judgeDNS("h", []string{"192.0.2.1", "192.0.2.2"}, nil, time.Millisecond), OK, "192.0.2.1 and 1 more, in 1 ms"},
		"certificate":            {judgeCertificates(certificate(-time.Hour, 31*24*time.Hour), now), OK, "valid until"},
		"certificate, ends soon": {judgeCertificates(certificate(-time.Hour, 29*24*time.Hour), now), Warning, "expires in 29 days"},
		"certificate, ended":     {judgeCertificates(certificate(-time.Hour, -time.Second), now), Fault, "expired on"},
		"certificate, begins":    {judgeCertificates(certificate(time.Second, time.Hour), now), Fault, "not valid before"},
		"assertion":              {judgeAssertion(assertion, now), OK, "good for 1 h 0 min"},
		"assertion, by app ID":   {judgeAssertion(changed(func(a *inside.Assertion) { a.Audience = "FB60F99C-7A34-4190-8149-302F77469936" }), now), OK, ""},
		"assertion, audience":    {judgeAssertion(changed(func(a *inside.Assertion) { a.Audience = "x" }), now), Warning, "usually api://AzureADTokenExchange"},
		"assertion, ES256":       {judgeAssertion(changed(func(a *inside.Assertion) { a.Algorithm = "ES256" }), now), Warning, "ES256"},
		"assertion, no audience": {judgeAssertion(changed(func(a *inside.Assertion) { a.Audience = "" }), now), Fault, "no aud"},
		"secret, a path":         {judgeSecret(inside.Proof{Secret: true, Resemblance: "what was sent is a path, it seems"}), Warning, "the secret is a path"},
		"same IDs":               {judgeIdentifiers(inside.Environment{TenantID: tenant, ClientID: tenant}, "api://x/.default"), Warning, "the same ID"},
		"environment":            {judgeEnvironment(inside.Environment{Credential: "federated", Reason: "AZURE_FEDERATED_TOKEN_FILE is set", Cloud: cloud.China}, nil), OK, "at https://login.partner.microsoftonline.cn"},
		"environment, a binding": {judgeEnvironment(inside.Environment{Credential: "federated", Warning: "APPONLY_IDENTITY_BINDING is not set"}, nil), Warning, "APPONLY_IDENTITY_BINDING"},
		"token, in time":         {judgeToken(apponly.Token{}, errors.New("x"), "s", 20*time.Second), Fault, "no answer within 20.0 s"},
		"version 1":              {judgePermissions(token(func(c *inside.Token) { c.Audience = "https://api/" }), app, "https://api/.default"), OK, "https://api/: A"},
		"version 1, another":     {judgePermissions(token(func(c *inside.Token) { c.Audience = "https://other" }), app, "https://api/.default"), Fault, `for "https://other"`},
		"Graph by its ID":        {judgePermissions(token(func(c *inside.Token) { c.Audience = "https://graph.microsoft.com" }), app, graphScope(cloud.Custom("https://login.test"))), OK, ""},
		"domain for a tenant":    {judgePermissions(good, inside.Environment{TenantID: "contoso.com", ClientID: client}, "api://"+api+"/.default"), OK, ""},
		"no roles":               {judgePermissions(token(func(c *inside.Token) { c.Roles = nil }), app, "api://"+api+"/.default"), Warning, "no roles"},
		"a user's":               {judgePermissions(token(func(c *inside.Token) { c.AppOnly, c.Because = false, "it has scp" }), app, "api://"+api+"/.default"), Fault, "not app-only: it has scp"},
		"Graph by its name":      {judgePermissions(token(func(c *inside.Token) { c.Audience = "https://graph.microsoft.us" }), app, graphScope(cloud.USGovernment)), OK, ""},
		"Graph, another cloud's": {judgePermissions(token(func(c *inside.Token) { c.Audience = "https://graph.microsoft.com" }), app, graphScope(cloud.China)), Fault, "not for"},
		"many roles":             {judgePermissions(token(func(c *inside.Token) { c.Roles = strings.Split("ABCDEFGHI", "") }), app, "api://"+api+"/.default"), OK, "A, B, C, D, E, F, and 3 more"},
	} {
		if tt.got.status != tt.status || !strings.Contains(tt.got.text, tt.text) {
			t.Errorf("%s: %+v, want %s with %q", name, tt.got, tt.status, tt.text)
		}
		if tt.got.status == Fault && tt.got.remedy == "" {
			t.Errorf("%s: %+v, want a remedy", name, tt.got)
		}
	}
}
