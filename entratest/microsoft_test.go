// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// askedAt sends a scope to an authority that leads to the emulator.
func askedAt(t *testing.T, s *entratest.Server, authority, tenant, scope string) *httptest.ResponseRecorder {
	t.Helper()
	form := secretForm(s)
	form.Set("scope", scope)
	req := httptest.NewRequest(http.MethodPost, "https://"+authority+"/"+tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

// A tenant that nobody has done anything to knows Microsoft's APIs, by the scopes that
// programs send: those of kubelogin, Terraform, az, Prometheus and the SDKs among them.
func TestMicrosoft(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenant()
	tenant.Install(s.App())
	for scope, aud := range map[string]string{
		"https://graph.microsoft.com/.default":                "https://graph.microsoft.com",
		"00000003-0000-0000-c000-000000000000/.default":       "00000003-0000-0000-c000-000000000000",
		"https://management.azure.com/.default":               "https://management.azure.com",
		"https://management.azure.com//.default":              "https://management.azure.com/",
		"https://management.core.windows.net/.default":        "https://management.core.windows.net",
		"https://management.core.windows.net//.default":       "https://management.core.windows.net/",
		"https://vault.azure.net/.default":                    "https://vault.azure.net",
		"https://storage.azure.com/.default":                  "https://storage.azure.com",
		"https://account.blob.core.windows.net/.default":      "https://account.blob.core.windows.net",
		"https://database.windows.net//.default":              "https://database.windows.net/",
		"https://monitor.azure.com//.default":                 "https://monitor.azure.com/",
		"6dae42f8-4368-4678-94ff-3960e28e3630/.default":       "6dae42f8-4368-4678-94ff-3960e28e3630",
		"499B84AC-1321-427f-aa17-267ca6975798/.default":       "499B84AC-1321-427f-aa17-267ca6975798",
		"https://management.usgovcloudapi.net/.default":       "https://management.usgovcloudapi.net", // the emulator is no cloud in particular
		"https://account.blob.core.windows.net.evil/.default": "",
		"https://evil.core.windows.net/.default":              "",
		"https://.blob.core.windows.net/.default":             "",
		"http://account.blob.core.windows.net/.default":       "",
		"https://graph.microsoft.com/v1.0/.default":           "",
		"https://management.azure.com///.default":             "",
		"https://graph.microsoft.example/.default":            "",
	} {
		form := secretForm(s)
		form.Set("scope", scope)
		got := postForm(t, s, tenant.ID(), form)
		if aud == "" {
			if len(got.Codes) != 1 || got.Codes[0] != 500011 {
				t.Errorf("%s: got %d %s, want 500011", scope, got.Status, got.Description)
			}
			continue
		}
		if got.Status != http.StatusOK {
			t.Errorf("%s: got %d %s", scope, got.Status, got.Description)
			continue
		}
		if claims := claimsOf(t, got.AccessToken); claims["aud"] != aud || claims["ver"] != "1.0" || claims["roles"] != nil {
			t.Errorf("%s: claims %v, want aud %s", scope, claims, aud)
		}
	}
}

// Each cloud has URIs of its own, and does not know those of another.
func TestMicrosoftClouds(t *testing.T) {
	s := entratest.New(t)
	for authority, want := range map[string][]string{ // that are known, and that are not
		"login.microsoftonline.com":        {"https://management.azure.com https://vault.azure.net 00000003-0000-0000-c000-000000000000", "https://management.usgovcloudapi.net https://graph.microsoft.us"},
		"login.windows.net":                {"https://graph.microsoft.com", "https://graph.microsoft.us"},
		"login.microsoftonline.us":         {"https://management.usgovcloudapi.net https://graph.microsoft.us https://a.blob.core.usgovcloudapi.net 00000003-0000-0000-c000-000000000000", "https://management.azure.com https://graph.microsoft.com https://a.blob.core.windows.net"},
		"login.partner.microsoftonline.cn": {"https://management.chinacloudapi.cn https://microsoftgraph.chinacloudapi.cn https://storage.azure.com", "https://management.azure.com"},
	} {
		for i, status := range []int{200, 400} {
			for resource := range strings.FieldsSeq(want[i]) {
				if got := askedAt(t, s, authority, s.Tenant().ID(), resource+"/.default"); got.Code != status || status == 400 && !strings.Contains(got.Body.String(), "[500011]") {
					t.Errorf("%s at %s: %d %s, want %d", resource, authority, got.Code, got.Body, status)
				}
			}
		}
	}
}

// The version 1 endpoint without a resource gives a token for Graph, which surprises people.
func TestVersion1WithoutResource(t *testing.T) {
	s := entratest.New(t)
	form := formV1(s)
	form.Del("resource")
	if rec := postV1(s, form, ""); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"resource":"00000002-0000-0000-c000-000000000000"`) {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

// What is special about one of these APIs in a tenant is so there alone.
func TestMicrosoftInOneTenant(t *testing.T) {
	s := entratest.New(t)
	graph := s.Microsoft("https://graph.microsoft.com/")
	other := s.AddTenant()
	other.Install(s.App())
	roles := func(tenant *entratest.Tenant) string {
		form := secretForm(s)
		form.Set("scope", graph.Scope())
		got := postForm(t, s, tenant.ID(), form)
		if got.Status != http.StatusOK {
			return fmt.Sprint(got.Codes)
		}
		if callAPI(graph.Protect(served, ""), got.AccessToken).StatusCode != http.StatusOK {
			t.Errorf("the API refuses a token of its own")
		}
		return fmt.Sprint(claimsOf(t, got.AccessToken)["roles"])
	}
	graph.AddRoles("User.Read.All")
	graph.Grant(s.Tenant(), s.App(), "User.Read.All")
	s.App().Require(graph, "User.Read.All")
	if here, there := roles(s.Tenant()), roles(other); here != "[User.Read.All]" || there != "<nil>" {
		t.Errorf("roles %s and %s, want those that were granted in one tenant", here, there)
	}
	other.SetResourceDisabled(graph, true)
	if here, there := roles(s.Tenant()), roles(other); here != "[User.Read.All]" || there != "[500014]" {
		t.Errorf("roles %s and %s, want it disabled in one tenant", here, there)
	}
	// Who registers it himself, as had to be, means that.
	mine := other.NewResourceID(graph.AppID(), "https://graph.microsoft.com", "Mine")
	mine.Grant(other, s.App(), "Mine")
	if here, there := roles(s.Tenant()), roles(other); here != "[User.Read.All]" || there != "[Mine]" {
		t.Errorf("roles %s and %s, want those of the one that is registered", here, there)
	}
	mine.Remove()
	graph.Remove()
	if here := roles(s.Tenant()); here != "[500011]" {
		t.Errorf("removed: %s", here)
	}
}
