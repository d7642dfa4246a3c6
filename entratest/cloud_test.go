// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// TestSetCloud has the emulator be each of the clouds: an API that is told of the cloud
// alone finds what it expects.
func TestSetCloud(t *testing.T) {
	for c, instance := range map[cloud.Cloud]string{
		cloud.Public:                              "microsoftonline.com",
		cloud.USGovernment:                        "microsoftonline.us",
		cloud.China:                               "partner.microsoftonline.cn",
		cloud.Custom("https://login.corp.test"):   "corp.test",
		cloud.Custom("https://sts.corp.test:444"): "sts.corp.test",
	} {
		t.Run(c.String(), func(t *testing.T) {
			s := entratest.New(t)
			s.SetCloud(c)
			id := s.Tenant().ID()
			if s.Cloud() != c {
				t.Fatalf("cloud %s", s.Cloud())
			}
			api := s.API().Protect(served, role)
			for version, path := range map[int]string{1: "/" + id + "/", 2: "/" + id + "/v2.0/"} {
				s.API().SetTokenVersion(version)
				token := tokenOf(s)
				want, _ := c.Issuer(version, id)
				if got := claimsOf(t, token)["iss"]; got != want {
					t.Errorf("version %d: iss %v, want %s", version, got, want)
				}
				var config struct{ Issuer string }
				getJSON(t, s.HTTPClient(), c.Authority()+path+".well-known/openid-configuration", &config)
				if config.Issuer != want {
					t.Errorf("version %d: issuer %s in the configuration, want %s", version, config.Issuer, want)
				}
				if got := callAPI(api, token).StatusCode; got != http.StatusOK {
					t.Errorf("version %d: the API answers %d", version, got)
				}
			}
			entry := entries(t, s, "/"+id+"/discovery/v2.0/keys")[s.SigningKey().ID()]
			if want, _ := c.Issuer(2, id); entry["issuer"] != want || entry["cloud_instance_name"] != instance {
				t.Errorf("key of %v in %v, want %s in %s", entry["issuer"], entry["cloud_instance_name"], want, instance)
			}
			// Assertions have the exchange audience of the cloud, and its issuers.
			if got := postForm(t, s, id, assertionForm(s, s.FederatedToken())); got.Status != http.StatusOK {
				t.Errorf("federated token: %d %s", got.Status, got.Description)
			}
			identity := s.Tenant().NewManagedIdentity()
			s.App().AddFederatedCredential(identity.FederatedCredential())
			token, _, _ := s.IdentityToken(s.Tenant(), identity.App().ClientID(), c.ExchangeAudience())
			if got := postForm(t, s, id, assertionForm(s, token)); got.Status != http.StatusOK {
				t.Errorf("managed identity: %d %s", got.Status, got.Description)
			}
		})
	}
}

// What listens is a cloud of its own again.
func TestSetCloudAndListen(t *testing.T) {
	s := entratest.New(t)
	s.SetCloud(cloud.China)
	authority, _ := s.StartTLS()
	want, _ := cloud.Custom(authority).Issuer(2, s.Tenant().ID())
	if got := claimsOf(t, tokenOf(s))["iss"]; got != want || s.Cloud().Authority() != authority {
		t.Errorf("iss %v at %s, want %s", got, s.Cloud(), want)
	}
	defer func() {
		if recover() == nil || s.Cloud().Authority() != authority {
			t.Errorf("SetCloud of what listens: no panic, or it is %s now", s.Cloud())
		}
	}()
	s.SetCloud(cloud.Public)
}

// The host that was asked makes the issuer and the name in the keys, unless it cannot
// be a cloud's or is a region's.
func TestIssuerFollowsHost(t *testing.T) {
	s := entratest.New(t)
	id := s.Tenant().ID()
	own := s.Cloud().Authority()
	for host, want := range map[string]struct{ authority, instance string }{
		"elsewhere.test:8443":         {"https://elsewhere.test:8443", "elsewhere.test"},
		"LOGIN.windows.net":           {"https://login.microsoftonline.com", "microsoftonline.com"},
		"127.0.0.1:8443":              {"https://127.0.0.1:8443", "127.0.0.1"},
		"westeurope.login.entra.test": {own, "entra.test"},
		"login.entra.test.":           {own, "entra.test"},
		"":                            {own, "entra.test"},
	} {
		var config struct{ Issuer string }
		var set struct {
			Keys []struct {
				Issuer   string
				Instance string `json:"cloud_instance_name"`
			}
		}
		for path, v := range map[string]any{"/v2.0/.well-known/openid-configuration": &config, "/discovery/v2.0/keys": &set} {
			req := httptest.NewRequest(http.MethodGet, "/"+id+path, nil)
			req.Host = host
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, req)
			if err := json.Unmarshal(rec.Body.Bytes(), v); err != nil {
				t.Fatalf("host %q: %v in %s", host, err, rec.Body)
			}
		}
		issuer := want.authority + "/" + id + "/v2.0"
		if config.Issuer != issuer || len(set.Keys) != 1 || set.Keys[0].Issuer != issuer || set.Keys[0].Instance != want.instance {
			t.Errorf("host %q: issuer %s, keys %+v; want %s in %s", host, config.Issuer, set.Keys, issuer, want.instance)
		}
	}
}
