// SPDX-License-Identifier: MIT

package cloud_test

import (
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
