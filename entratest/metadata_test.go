// SPDX-License-Identifier: MIT

package entratest_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

func TestConfiguration(t *testing.T) {
	s := entratest.New(t)
	s.AddTenant("contoso.example")
	a, id := s.Cloud().Authority(), s.Tenant().ID()
	for path, want := range map[string]map[string]any{
		"/" + id + "/v2.0/": {
			"issuer":         a + "/" + id + "/v2.0",
			"token_endpoint": s.Cloud().TokenEndpoint(id),
			"jwks_uri":       a + "/" + id + "/discovery/v2.0/keys",
		},
		"/" + id + "/": {
			"issuer":                 a + "/" + id + "/",
			"token_endpoint":         a + "/" + id + "/oauth2/token",
			"authorization_endpoint": a + "/" + id + "/oauth2/authorize",
			"jwks_uri":               a + "/" + id + "/discovery/keys",
			"tenant_region_scope":    "WW",
			"cloud_instance_name":    "entra.test",
			"cloud_graph_host_name":  "graph.windows.net",
			"msgraph_host":           "graph.microsoft.com",
			"rbac_url":               "https://pas.windows.net",
		},
		"/common/v2.0/": {
			"issuer":         a + "/{tenantid}/v2.0",
			"token_endpoint": a + "/common/oauth2/v2.0/token",
			"jwks_uri":       a + "/common/discovery/v2.0/keys",
			// As a live document has them.
			"tenant_region_scope":   nil,
			"cloud_instance_name":   "entra.test",
			"cloud_graph_host_name": "graph.windows.net",
			"msgraph_host":          "graph.microsoft.com",
			"rbac_url":              "https://pas.windows.net",
		},
		"/common/": {"issuer": a + "/{tenantid}/"},
	} {
		var got map[string]any
		getJSON(t, s.HTTPClient(), a+path+".well-known/openid-configuration", &got)
		for k, v := range want {
			if there, ok := got[k]; !ok || there != v {
				t.Errorf("%s: %s = %v, want %v", path, k, got[k], v)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	s := entratest.New(t)
	a, id := s.Cloud().Authority(), s.Tenant().ID()
	for path, issuer := range map[string]string{
		"/" + id + "/discovery/v2.0/keys": a + "/" + id + "/v2.0",
		"/common/discovery/v2.0/keys":     a + "/{tenantid}/v2.0",
		"/" + id + "/discovery/keys":      "",
		"/common/discovery/keys":          "",
	} {
		var set struct {
			Keys []struct {
				Kid, X5T, Issuer string
				X5C              []string
			}
		}
		getJSON(t, s.HTTPClient(), a+path, &set)
		if len(set.Keys) != 1 {
			t.Fatalf("%s: %d keys", path, len(set.Keys))
		}
		key := set.Keys[0]
		if key.Issuer != issuer || key.Kid == "" || key.X5T != key.Kid {
			t.Errorf("%s: key %+v, want issuer %q", path, key, issuer)
		}
		der, err := base64.StdEncoding.DecodeString(key.X5C[0])
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		public := fetchKeys(t, s.HTTPClient(), a+path)[key.Kid]
		if !public.Equal(cert.PublicKey.(*rsa.PublicKey)) {
			t.Errorf("%s: x5c holds another key", path)
		}
	}
}

func TestInstanceDiscovery(t *testing.T) {
	s := entratest.New(t)
	a, id := s.Cloud().Authority(), s.Tenant().ID()
	var got struct {
		Endpoint string `json:"tenant_discovery_endpoint"`
		Metadata []struct {
			Network string `json:"preferred_network"`
			Cache   string `json:"preferred_cache"`
			Aliases []string
		}
	}
	getJSON(t, s.HTTPClient(), a+"/common/discovery/instance?api-version=1.1&authorization_endpoint="+
		url.QueryEscape(a+"/"+id+"/oauth2/v2.0/authorize"), &got)
	if want := a + "/" + id + "/v2.0/.well-known/openid-configuration"; got.Endpoint != want {
		t.Errorf("tenant_discovery_endpoint %s, want %s", got.Endpoint, want)
	}
	getJSON(t, s.HTTPClient(), a+"/common/discovery/instance?authorization_endpoint="+url.QueryEscape(a), &got)
	if want := a + "/common/v2.0/.well-known/openid-configuration"; got.Endpoint != want {
		t.Errorf("no tenant asked for: tenant_discovery_endpoint %s, want %s", got.Endpoint, want)
	}
	host := a[len("https://"):]
	if len(got.Metadata) != 1 || got.Metadata[0].Network != host || got.Metadata[0].Cache != host || !slices.Equal(got.Metadata[0].Aliases, []string{host}) {
		t.Errorf("metadata %+v, want %s alone", got.Metadata, host)
	}
}

// TestInstanceDiscoveryByOtherNames reaches the emulator by a name that is led to it, and
// asks for the authority that it listens at: MSAL does so for every authority that it does
// not know, at one that it does.
func TestInstanceDiscoveryByOtherNames(t *testing.T) {
	s := entratest.New(t)
	own := s.Cloud().Authority()
	for _, tt := range []struct {
		host, asked string
		preferred   string // "" if it is unknown
	}{
		{"login.microsoftonline.com", own, "login.entra.test"},
		{"sts.corp.test", own, "login.entra.test"},
		{"sts.corp.test:443", "https://sts.corp.test", "sts.corp.test"},
		{"sts.corp.test", "https://login.microsoftonline.com", ""},
		{"sts.corp.test", "https://other.corp.test", ""},
		{"login.microsoftonline.com", "https://sts.corp.test", ""},
		{"login.microsoftonline.com", "https://LOGIN.windows.net", "login.microsoftonline.com"},
		{"login.microsoftonline.com", "https://login.microsoftonline.us", "login.microsoftonline.us"},
		{"login.entra.test", "https://login.microsoftonline.com", ""},
	} {
		req := httptest.NewRequest(http.MethodGet, "/common/discovery/instance?authorization_endpoint="+url.QueryEscape(tt.asked+"/t/oauth2/v2.0/authorize"), nil)
		req.Host = tt.host
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		var got struct {
			Endpoint string `json:"tenant_discovery_endpoint"`
			Codes    []int  `json:"error_codes"`
			Metadata []struct {
				Network string `json:"preferred_network"`
				Aliases []string
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if tt.preferred == "" {
			if !slices.Equal(got.Codes, []int{50049}) {
				t.Errorf("%s at %s: %s, want 50049", tt.asked, tt.host, rec.Body)
			}
			continue
		}
		asked := strings.ToLower(tt.asked)
		if got.Endpoint != asked+"/t/v2.0/.well-known/openid-configuration" || len(got.Metadata) != 1 || got.Metadata[0].Network != tt.preferred || !slices.Contains(got.Metadata[0].Aliases, asked[len("https://"):]) {
			t.Errorf("%s at %s: %s, want %s preferred", tt.asked, tt.host, rec.Body, tt.preferred)
		}
	}
}

func TestOtherPaths(t *testing.T) {
	s := entratest.New(t)
	a, id := s.Cloud().Authority(), s.Tenant().ID()
	instance := "/common/discovery/instance?api-version=1.1&authorization_endpoint="
	for _, tt := range []struct {
		method, path string
		status, code int
		error        string
	}{
		{"GET", "/", 404, 0, ""},
		{"GET", "/" + id, 404, 0, ""},
		{"POST", "/" + id + "/oauth2/v1.0/token", 404, 0, ""},
		{"POST", "/" + id + "/oauth2/v2.0/token/", 404, 0, ""},
		{"POST", "/" + id + "/discovery/keys", 405, 0, ""},
		{"HEAD", "/" + id + "/discovery/keys", 200, 0, ""},
		{"GET", "/nobody.example/v2.0/.well-known/openid-configuration", 400, 90002, "invalid_tenant"},
		{"GET", "/nobody/discovery/keys", 400, 900023, "invalid_tenant"},
		{"GET", instance + url.QueryEscape(a+"/"+id+"/oauth2/v2.0/authorize"), 200, 0, ""},
		{"GET", instance + url.QueryEscape("https://evil.test/x"), 400, 50049, "invalid_instance"},
		{"GET", instance, 400, 50049, "invalid_instance"},
		{"GET", instance + url.QueryEscape("http://login.entra.test/"+id+"/oauth2/v2.0/authorize"), 400, 50049, "invalid_instance"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, a+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := do(t, s.HTTPClient(), req)
			code := 0
			if len(got.Codes) > 0 {
				code = got.Codes[0]
			}
			if got.Status != tt.status || code != tt.code || got.Error != tt.error {
				t.Errorf("got %d %d %q, want %d %d %q", got.Status, code, got.Error, tt.status, tt.code, tt.error)
			}
		})
	}
}

func TestCertificateForms(t *testing.T) {
	s := entratest.New(t)
	c := s.Certificate()
	if !bytes.Equal(c.PEM(), append(c.CertPEM(), c.KeyPEM()...)) {
		t.Error("PEM is not certificate and key")
	}
	if pair := c.TLS(); !pair.Leaf.Equal(c.Leaf) || pair.PrivateKey != any(c.Key) {
		t.Error("TLS is another pair")
	}
	next := s.App().NewCertificate(c.Leaf.NotBefore, c.Leaf.NotAfter)
	if next.Key.Equal(c.Key) || next.Leaf.Equal(c.Leaf) {
		t.Error("two certificates in a row are the same or share a key")
	}
}
