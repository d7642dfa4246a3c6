// SPDX-License-Identifier: MIT

package cloud_test

import (
	"fmt"
	"testing"

	"github.com/apponly/apponly/cloud"
)

const tenant = "11111111-2222-3333-4444-55555555abcd"

func TestIssuer(t *testing.T) {
	for _, tt := range []struct {
		cloud  cloud.Cloud
		v1, v2 string // "": not known
	}{
		{cloud.Public, "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0"},
		{cloud.Cloud{}, "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0"},
		{cloud.USGovernment, "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.us/" + tenant + "/v2.0"},
		{cloud.China, "https://sts.chinacloudapi.cn/" + tenant + "/", "https://login.partner.microsoftonline.cn/" + tenant + "/v2.0"},
		{cloud.Bleu, "", "https://login.sovcloud-identity.fr/" + tenant + "/v2.0"},
		{cloud.Delos, "", "https://login.sovcloud-identity.de/" + tenant + "/v2.0"},
		{cloud.GovSG, "", "https://login.sovcloud-identity.sg/" + tenant + "/v2.0"},
		{cloud.Custom("https://sts.corp.example:8443/"), "https://sts.corp.example:8443/" + tenant + "/", "https://sts.corp.example:8443/" + tenant + "/v2.0"},
		{cloud.Custom("https://login.usgovcloudapi.net"), "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.us/" + tenant + "/v2.0"},
		{cloud.Custom("http://sts.corp.example"), "", ""},
		{cloud.Custom(""), "", ""},
	} {
		for version, want := range map[int]string{0: "", 1: tt.v1, 2: tt.v2, 3: "", -1: ""} {
			if got, ok := tt.cloud.Issuer(version, tenant); got != want || ok != (want != "") {
				t.Errorf("%v.Issuer(%d) = %q, %t; want %q", tt.cloud, version, got, ok, want)
			}
		}
	}
}

// What is no GUID does not get into an issuer, where it could make one of another tenant.
func TestIssuerTenant(t *testing.T) {
	const upper = "ABCDEF01-2345-6789-ABCD-EF0123456789"
	if got, ok := cloud.Public.Issuer(2, upper); got != "https://login.microsoftonline.com/"+upper+"/v2.0" || !ok {
		t.Errorf("upper case: %q, %t; want it as it is", got, ok)
	}
	for _, id := range []string{
		"", "common", "organizations", "consumers", "contoso.com", "{tenantid}",
		tenant[1:], tenant + "0", tenant[:35] + "g", tenant[:35] + "/", tenant[:35] + "\n",
		"111111111-222-3333-4444-55555555abcd", "11111111x2222-3333-4444-55555555abcd",
		"{" + tenant[1:35] + "}", tenant + "/../" + upper,
	} {
		for version := range 4 {
			if got, ok := cloud.Public.Issuer(version, id); got != "" || ok {
				t.Errorf("Issuer(%d, %q) = %q, %t; want none", version, id, got, ok)
			}
		}
	}
}

func TestInstanceName(t *testing.T) {
	for c, want := range map[cloud.Cloud]string{
		cloud.Public:                             "microsoftonline.com",
		cloud.USGovernment:                       "microsoftonline.us",
		cloud.China:                              "partner.microsoftonline.cn",
		cloud.Bleu:                               "",
		cloud.Delos:                              "",
		cloud.GovSG:                              "",
		cloud.Custom("https://login.entra.test"): "",
		cloud.Custom("https://login.windows.net"): "microsoftonline.com",
		cloud.Custom("no URL"):                    "",
	} {
		if got := c.InstanceName(); got != want {
			t.Errorf("%v.InstanceName() = %q, want %q", c, got, want)
		}
	}
}

// The version 1 issuers of two clouds are the same, the names in their keys are not.
func ExampleCloud_Issuer() {
	const tenant = "11111111-2222-3333-4444-555555555555"
	for _, c := range []cloud.Cloud{cloud.Public, cloud.USGovernment} {
		v1, _ := c.Issuer(1, tenant)
		v2, _ := c.Issuer(2, tenant)
		fmt.Println(v1, v2, c.InstanceName())
	}
	// Output:
	// https://sts.windows.net/11111111-2222-3333-4444-555555555555/ https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0 microsoftonline.com
	// https://sts.windows.net/11111111-2222-3333-4444-555555555555/ https://login.microsoftonline.us/11111111-2222-3333-4444-555555555555/v2.0 microsoftonline.us
}
