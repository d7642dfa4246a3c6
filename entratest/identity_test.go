// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// TestIdentityIsTrusted exchanges the token of a managed identity for one of an
// app, in the app's tenant and in that of a customer.
func TestIdentityIsTrusted(t *testing.T) {
	s := entratest.New(t)
	tenant := customer(s)
	send := identity(home, exchange, entratest.FederatedCredential{})(s)
	for _, id := range []string{s.Tenant().ID(), tenant.ID()} {
		r := &wrongRequest{form: secretForm(s)}
		send(r)
		got := postForm(t, s, id, r.form)
		if got.Status != http.StatusOK {
			t.Fatalf("got %d %s", got.Status, got.Description)
		}
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), id, got.AccessToken)
		if claims["azp"] != s.App().ClientID() || claims["tid"] != id || claims["azpacr"] != "2" {
			t.Errorf("claims %v", claims)
		}
	}

	s.Rollover() // the key it is signed with is published still
	r := &wrongRequest{form: secretForm(s)}
	send(r)
	if got := postForm(t, s, s.Tenant().ID(), r.form); got.Status != http.StatusOK {
		t.Errorf("after a rollover: %d %s", got.Status, got.Description)
	}
}

func TestIdentityToken(t *testing.T) {
	s := entratest.New(t)
	clientID, objectID := s.RegisterIdentity(s.Tenant())
	base := s.Cloud().Authority()
	for resource, aud := range map[string]string{
		s.Cloud().ExchangeAudience():   "fb60f99c-7a34-4190-8149-302f77469936",
		cloud.China.ExchangeAudience(): cloud.China.ExchangeAudience(),
		s.API().URI():                  s.API().AppID(),
		"api://" + s.API().AppID():     s.API().AppID(),
	} {
		token, lifetime, code := s.IdentityToken(base, s.Tenant(), clientID, resource)
		if code != 0 || lifetime != 24*time.Hour {
			t.Fatalf("%s: AADSTS%d, lives for %v", resource, code, lifetime)
		}
		_, claims := verify(t, s.HTTPClient(), base, s.Tenant().ID(), token)
		if claims["aud"] != aud || claims["sub"] != objectID || claims["azp"] != clientID || claims["roles"] != nil {
			t.Errorf("%s: claims %v", resource, claims)
		}
	}
	s.SetTokenLifetime(time.Hour)
	if _, lifetime, _ := s.IdentityToken(base, s.Tenant(), clientID, s.API().URI()); lifetime != time.Hour {
		t.Errorf("lives for %v, want the hour that was set", lifetime)
	}

	for name, tt := range map[string]struct {
		tenant             *entratest.Tenant
		clientID, resource string
		code               int
	}{
		"resource unknown": {s.Tenant(), clientID, "https://nobody.test", 500011},
		"identity unknown": {s.Tenant(), "11111111-2222-4333-8444-555555555555", s.API().URI(), 700016},
		"other tenant":     {s.AddTenant(), clientID, s.API().URI(), 700016},
	} {
		if _, _, code := s.IdentityToken(base, tt.tenant, tt.clientID, tt.resource); code != tt.code {
			t.Errorf("%s: AADSTS%d, want %d", name, code, tt.code)
		}
	}
}
