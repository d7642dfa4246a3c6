// SPDX-License-Identifier: MIT

package cloud_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apponly/apponly/cloud"
)

func TestZeroIsPublic(t *testing.T) {
	var zero cloud.Cloud
	if zero != cloud.Public {
		t.Error("zero Cloud is not Public")
	}
	if got, want := zero.TokenEndpoint("contoso.com"), "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"; got != want {
		t.Errorf("TokenEndpoint = %q, want %q", got, want)
	}
}

func TestFromAuthority(t *testing.T) {
	for host, want := range map[string]cloud.Cloud{
		"login.microsoftonline.com":          cloud.Public,
		"https://login.microsoftonline.com/": cloud.Public,
		"https://LOGIN.windows.net":          cloud.Public,
		"login.microsoft.com":                cloud.Public,
		"sts.windows.net":                    cloud.Public,
		"login.microsoftonline.us":           cloud.USGovernment,
		"login.usgovcloudapi.net":            cloud.USGovernment,
		"login.partner.microsoftonline.cn":   cloud.China,
		"https://login.chinacloudapi.cn":     cloud.China,
		"login.sovcloud-identity.fr":         cloud.Bleu,
		"login.sovcloud-identity.de":         cloud.Delos,
		"login.sovcloud-identity.sg:443":     cloud.GovSG,
	} {
		got, err := cloud.FromAuthority(host)
		if err != nil || got != want {
			t.Errorf("FromAuthority(%q) = %v, %v; want %v", host, got, err, want)
		}
		if !got.Known() {
			t.Errorf("FromAuthority(%q).Known() = false", host)
		}
	}
	for _, host := range []string{
		"", "login.microsoftonline.de", "http://login.microsoftonline.com", "login.microsoftonline.com.evil.test",
		"evil.test/login.microsoftonline.com", "login.microsoftonline.com@evil.test", "login.microsoftonline.com:8443",
	} {
		if c, err := cloud.FromAuthority(host); err == nil {
			t.Errorf("FromAuthority(%q) = %v, want an error", host, c)
		}
	}
}

func TestCustom(t *testing.T) {
	for authority, want := range map[string]string{
		"https://sts.corp.example":       "https://sts.corp.example",
		"https://STS.corp.example/":      "https://sts.corp.example",
		"https://127.0.0.1:8443":         "https://127.0.0.1:8443",
		"https://[::1]:8443":             "https://[::1]:8443",
		"https://sts.corp.example:443":   "https://sts.corp.example",
		"https://login.windows.net":      "https://login.microsoftonline.com",
		"https://login.chinacloudapi.cn": "https://login.partner.microsoftonline.cn",
	} {
		c := cloud.Custom(authority)
		if err := c.Validate(); err != nil {
			t.Errorf("Custom(%q).Validate() = %v", authority, err)
		}
		if got := c.Authority(); got != want {
			t.Errorf("Custom(%q).Authority() = %q, want %q", authority, got, want)
		}
	}
	for authority, want := range map[string]string{
		"":                              "https",
		"sts.corp.example":              "https",
		"http://sts.corp.example":       "https",
		"https://":                      "host",
		"https://user:pw@sts.corp":      "user information",
		"https://sts.corp/tenant":       "nothing behind",
		"https://sts.corp?x=1":          "nothing behind",
		"https://sts.corp#x":            "nothing behind",
		"https://sts.corp.":             "plain host",
		"https://sts.corp:":             "port",
		"https://stſ.corp":              "no URL has",
		"https://sts.corp%2eevil.test/": "plain host",
	} {
		c := cloud.Custom(authority)
		err := c.Validate()
		if err == nil {
			t.Errorf("Custom(%q).Validate() = nil", authority)
			continue
		}
		if !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "not a URL") {
			t.Errorf("Custom(%q).Validate() = %q, want something about %q", authority, err, want)
		}
		if strings.Contains(err.Error(), "pw") {
			t.Errorf("Custom(%q).Validate() shows a password: %v", authority, err)
		}
		if c == cloud.Public {
			t.Errorf("Custom(%q) is Public", authority)
		}
	}
}

func TestExchangeAudience(t *testing.T) {
	for c, want := range map[cloud.Cloud]string{
		cloud.Public:                             "api://AzureADTokenExchange",
		cloud.USGovernment:                       "api://AzureADTokenExchangeUSGov",
		cloud.China:                              "api://AzureADTokenExchangeChina",
		cloud.Custom("https://sts.corp.example"): "api://AzureADTokenExchange",
	} {
		if got := c.ExchangeAudience(); got != want {
			t.Errorf("%v.ExchangeAudience() = %q, want %q", c, got, want)
		}
	}
}

// The first fault is named, and following the advice leads on.
func TestFromEnv(t *testing.T) {
	const tenant = "11111111-2222-3333-4444-555555555555"
	for _, test := range []struct {
		host, trust string
		want        cloud.Cloud
		says        []string // the error; none: no error
		not         string   // what it must not say
	}{
		{host: "", want: cloud.Public},
		{host: " \n", want: cloud.Public},
		{host: "https://login.microsoftonline.us/", want: cloud.USGovernment},
		{host: "login.windows.net\n", want: cloud.Public},
		{host: "\ufeffhttps://login.microsoftonline.us", want: cloud.USGovernment},
		{host: "\u200bhttps://login.microsoftonline.us", says: []string{"cannot be seen"}, not: "scheme"},
		{host: "https://log\u00adin.microsoftonline.us", says: []string{"cannot be seen"}, not: "TRUST"},
		{host: "https://login microsoftonline us", says: []string{"characters in it that no URL has"}, not: "TRUST"},
		{host: "https:/login.microsoftonline.us", says: []string{"host is missing"}, not: "tenant"},
		{host: "https://sts.corp.example:", trust: "1", says: []string{"or its port"}},
		{host: "https://login.partner.microsoftonline.cn", trust: "0", want: cloud.China},
		{host: "https://sts.corp.example:8443", trust: "1", want: cloud.Custom("https://sts.corp.example:8443")},
		{host: "sts.corp.example", trust: "true", want: cloud.Custom("https://sts.corp.example")},
		{host: "https://sts.corp.example", says: []string{`AZURE_AUTHORITY_HOST "sts.corp.example"`, "APPONLY_TRUST_AUTHORITY_HOST=1"}},
		{host: "https://sts.corp.example", trust: "false", says: []string{"APPONLY_TRUST_AUTHORITY_HOST=1"}},
		{host: "https://sts.corp.example", trust: "yes", says: []string{"APPONLY_TRUST_AUTHORITY_HOST is neither"}, not: "=1"},
		// Trust would not help.
		{host: "http://sts.corp.example", says: []string{"scheme must be https"}, not: "TRUST"},
		{host: "http://sts.corp.example/x", trust: "1", says: []string{"scheme must be https"}, not: "TRUST"},
		{host: "https://login.microsoftonline.com/" + tenant, says: []string{"login.microsoftonline.com", "nothing behind it", "AZURE_TENANT_ID"}, not: "TRUST"},
		{host: "https://login.microsoftonline.com/common/oauth2/v2.0/token", trust: "1", says: []string{"nothing behind it"}, not: "TRUST"},
		{host: "login.microsoftonline.us/" + tenant + "/v2.0", says: []string{"nothing behind it"}, not: "TRUST"},
		{host: "AzureUSGovernment", says: []string{"AzureUSGovernment", "names a cloud", "login.microsoftonline.us"}, not: "TRUST"},
		{host: `"https://login.microsoftonline.com"`, says: []string{"quotes"}, not: "TRUST"},
		{host: "https://user:pass@sts.corp.example", trust: "1", says: []string{"user information"}, not: "pass"},
		// A secret in the wrong variable.
		{host: "abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345", says: []string{"AZURE_AUTHORITY_HOST"}, not: "abc8"},
		{host: "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5", says: []string{"AZURE_AUTHORITY_HOST"}, not: "b3de"},
		{host: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", says: []string{"AZURE_AUTHORITY_HOST"}, not: "eyj"},
		{host: "-----BEGIN PRIVATE KEY-----\nMIIE", says: []string{"AZURE_AUTHORITY_HOST"}, not: "MIIE"},
	} {
		t.Setenv("AZURE_AUTHORITY_HOST", test.host)
		t.Setenv("APPONLY_TRUST_AUTHORITY_HOST", test.trust)
		c, err := cloud.FromEnv()
		if (err == nil) != (test.says == nil) || c != test.want {
			t.Errorf("%q, trust %q: %v, %v; want %v", test.host, test.trust, c, err, test.want)
		}
		for _, part := range test.says {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%q, trust %q: %v, does not say %q", test.host, test.trust, err, part)
			}
		}
		if err != nil && test.not != "" && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(test.not)) {
			t.Errorf("%q, trust %q: %v, says %q", test.host, test.trust, err, test.not)
		}
	}
}

// A secret in the place of an authority is printed neither by the error nor by the
// cloud.
func TestCustomHoldsNoSecret(t *testing.T) {
	for _, secret := range []string{"abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "-----BEGIN KEY-----\nMIIE"} {
		for _, authority := range []string{secret, "https://x.test/" + secret, "http://" + secret} {
			c := cloud.Custom(authority)
			text := fmt.Sprintf("%+v %#v %v %v", c, c, struct{ c cloud.Cloud }{c}, c.Validate())
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret[5:14])) || c.Validate() == nil {
				t.Errorf("%q: %s", authority, text)
			}
		}
	}
}
