// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// armAnswer is the union of what Azure Resource Manager answers.
type armAnswer struct {
	Status         int
	Challenge      string
	SubscriptionID string
	Value          []struct{ TenantID, SubscriptionID, State string }
	Error          struct{ Code, Message string }
}

func askARM(t *testing.T, s *entratest.Server, method, url, token string) armAnswer {
	t.Helper()
	req := httptest.NewRequest(method, url, nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	got := armAnswer{Status: rec.Code, Challenge: rec.Header().Get("WWW-Authenticate")}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v\n%s", url, err, rec.Body)
		}
	}
	return got
}

// armToken is a token for a scope in a tenant.
func armToken(t *testing.T, s *entratest.Server, tenant *entratest.Tenant, scope string) string {
	t.Helper()
	form := secretForm(s)
	form.Set("scope", scope)
	got := postForm(t, s, tenant.ID(), form)
	if got.Status != http.StatusOK {
		t.Fatalf("got %d %s", got.Status, got.Description)
	}
	return got.AccessToken
}

const (
	armScope = "https://management.core.windows.net//.default" // as az asks
	armQuery = "?api-version=2022-12-01"
)

// TestResourceManager has the routes at each host, for each who calls.
func TestResourceManager(t *testing.T) {
	s := entratest.New(t)
	other := s.AddTenant("contoso.example")
	other.Install(s.App())
	for _, host := range []string{"https://management.azure.com", "https://management.usgovcloudapi.net", "https://management.azure.com:443", s.Cloud().Authority()} {
		s.SetResourceManager(false)
		if got := askARM(t, s, "GET", host+"/tenants"+armQuery, ""); got.Status != 404 || got.Error.Code != "" {
			t.Errorf("%s, off: %+v", host, got)
		}
		s.SetResourceManager(true)
		for _, tenant := range []*entratest.Tenant{s.Tenant(), other} {
			for _, scope := range []string{armScope, "https://management.azure.com/.default", "797f4846-ba00-4fd7-ba43-dac1f8f63013/.default"} {
				token := armToken(t, s, tenant, scope)
				if got := askARM(t, s, "GET", host+"/tenants"+armQuery, token); len(got.Value) != 1 || got.Value[0].TenantID != tenant.ID() {
					t.Errorf("%s: tenants %+v", host, got)
				}
				if got := askARM(t, s, "GET", host+"/subscriptions"+armQuery, token); len(got.Value) != 1 || got.Value[0].SubscriptionID != tenant.SubscriptionID() || got.Value[0].TenantID != tenant.ID() || got.Value[0].State != "Enabled" {
					t.Errorf("%s: subscriptions %+v", host, got)
				}
				if got := askARM(t, s, "GET", host+"/subscriptions/"+strings.ToUpper(tenant.SubscriptionID())+armQuery, token); got.SubscriptionID != tenant.SubscriptionID() {
					t.Errorf("%s: subscription %+v", host, got)
				}
				if got := askARM(t, s, "GET", host+"/subscriptions/"+tenant.SubscriptionID()+"/resourceGroups"+armQuery, token); got.Status != 200 || got.Value == nil || len(got.Value) > 0 {
					t.Errorf("%s: resource groups %+v", host, got)
				}
			}
		}
	}
	if s.Tenant().SubscriptionID() == s.Tenant().ID() || s.Tenant().SubscriptionID() == other.SubscriptionID() {
		t.Error("the subscription of a tenant is not its own")
	}
	if got := s.Counters().Endpoints["arm"]; got == 0 {
		t.Error("the requests are not counted")
	}
}

// What is wrong is refused in the words that clients of Azure Resource Manager know.
func TestResourceManagerRefusals(t *testing.T) {
	s := entratest.New(t)
	s.SetResourceManager(true)
	other := s.AddTenant()
	other.Install(s.App())
	const base = "https://management.azure.com"
	good, elsewhere := armToken(t, s, s.Tenant(), armScope), armToken(t, s, other, armScope)
	foreign := entratest.New(t)
	graph, forged := armToken(t, s, s.Tenant(), "https://graph.microsoft.com/.default"), armToken(t, foreign, foreign.Tenant(), armScope)
	id := s.Tenant().SubscriptionID()
	for name, tt := range map[string]struct {
		method, url, token string
		status             int
		code               string
	}{
		"no token":                {"GET", "/tenants" + armQuery, "", 401, "AuthenticationFailed"},
		"nonsense":                {"GET", "/tenants" + armQuery, "nonsense", 401, "InvalidAuthenticationToken"},
		"another issuer":          {"GET", "/tenants" + armQuery, forged, 401, "InvalidAuthenticationToken"},
		"token for Graph":         {"GET", "/tenants" + armQuery, graph, 401, "InvalidAuthenticationTokenAudience"},
		"token for the demo API":  {"GET", "/subscriptions" + armQuery, tokenOf(s), 401, "InvalidAuthenticationTokenAudience"},
		"no version":              {"GET", "/tenants", good, 400, "MissingApiVersionParameter"},
		"no such version":         {"GET", "/tenants?api-version=latest", good, 400, "InvalidApiVersionParameter"},
		"a preview":               {"GET", "/tenants?api-version=2022-12-01-preview", good, 200, ""},
		"subscription of another": {"GET", "/subscriptions/" + id + armQuery, elsewhere, 401, "InvalidAuthenticationTokenTenant"},
		"subscription of nobody":  {"GET", "/subscriptions/11111111-2222-4333-8444-555555555555" + armQuery, good, 404, "SubscriptionNotFound"},
		"subscription nonsense":   {"GET", "/subscriptions/x" + armQuery, good, 400, "InvalidSubscriptionId"},
		"below a subscription":    {"GET", "/subscriptions/" + id + "/providers/Microsoft.Compute/skus" + armQuery, good, 404, "NotFound"},
		"elsewhere":               {"GET", "/providers" + armQuery, good, 404, "NotFound"},
		"elsewhere, no token":     {"GET", "/providers" + armQuery, "", 401, "AuthenticationFailed"},
		"other method":            {"POST", "/tenants" + armQuery, good, 405, ""},
	} {
		got := askARM(t, s, tt.method, base+tt.url, tt.token)
		if got.Status != tt.status || got.Error.Code != tt.code {
			t.Errorf("%s: got %+v, want %d %s", name, got, tt.status, tt.code)
		}
		if (got.Challenge != "") != (got.Status == 401) || strings.Contains(got.Error.Message, "eyJ") {
			t.Errorf("%s: challenge %q, message %q", name, got.Challenge, got.Error.Message)
		}
	}
	// The challenge of a subscription says which tenant it is of: clients look it up by that.
	if got := askARM(t, s, "GET", base+"/subscriptions/"+id+armQuery, ""); !strings.Contains(got.Challenge, `authorization_uri="https://login.microsoftonline.com/`+s.Tenant().ID()+`"`) {
		t.Errorf("challenge %q", got.Challenge)
	}
}

func TestResourceManagerExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetResourceManager(true)
		s.SetTokenLifetime(time.Hour)
		token := armToken(t, s, s.Tenant(), armScope)
		time.Sleep(2 * time.Hour)
		if got := askARM(t, s, "GET", "https://management.azure.com/tenants"+armQuery, token); got.Status != 401 || got.Error.Code != "ExpiredAuthenticationToken" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestResourceManagerMetadata has each host name the services of its cloud, and the emulator
// itself; nobody needs a token for it.
func TestResourceManagerMetadata(t *testing.T) {
	s := entratest.New(t)
	const path = "/metadata/endpoints?api-version=2022-09-01"
	if got := askARM(t, s, http.MethodGet, "https://management.azure.com"+path, ""); got.Status != http.StatusNotFound {
		t.Errorf("before it is served: %d", got.Status)
	}
	s.SetResourceManager(true)
	if got := askARM(t, s, http.MethodGet, "https://management.azure.com/metadata/endpoints", ""); got.Error.Code != "MissingApiVersionParameter" {
		t.Errorf("without api-version: %+v", got)
	}
	own := s.Cloud().Authority()
	for host, want := range map[string][]string{
		"https://management.azure.com":         {"AzureCloud", "https://login.microsoftonline.com", "https://management.core.windows.net/", "https://graph.microsoft.com/", "vault.azure.net", "core.windows.net"},
		"https://management.usgovcloudapi.net": {"AzureUSGovernment", "https://login.microsoftonline.us", "https://management.core.usgovcloudapi.net/", "https://graph.microsoft.us/", "vault.usgovcloudapi.net", "core.usgovcloudapi.net"},
		"https://management.chinacloudapi.cn":  {"AzureChinaCloud", "https://login.partner.microsoftonline.cn", "https://management.core.chinacloudapi.cn/", "https://microsoftgraph.chinacloudapi.cn/", "vault.azure.cn", "core.chinacloudapi.cn"},
		own:                                    {"AzureCloud", own, "https://management.core.windows.net/", "https://graph.microsoft.com/", "vault.azure.net", "core.windows.net"},
	} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, host+path, nil))
		var got struct {
			Name, ResourceManager, MicrosoftGraphResourceID string
			Authentication                                  struct {
				LoginEndpoint string
				Audiences     []string
			}
			Suffixes struct{ KeyVaultDNS, Storage string }
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got.Authentication.Audiences) != 2 {
			t.Fatalf("%s: %d %s", host, rec.Code, rec.Body)
		}
		names := []string{got.Name, got.Authentication.LoginEndpoint, got.Authentication.Audiences[0], got.MicrosoftGraphResourceID, got.Suffixes.KeyVaultDNS, got.Suffixes.Storage}
		if !slices.Equal(names, want) || got.ResourceManager != host+"/" {
			t.Errorf("%s: %q at %s, want %q", host, names, got.ResourceManager, want)
		}
	}
}
