// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

func TestTokenShapes(t *testing.T) {
	s := entratest.New(t)
	tid, app := s.Tenant().ID(), s.App().ClientID()
	common := []string{"aio", "aud", "exp", "iat", "idtyp", "iss", "nbf", "oid", "rh", "roles", "sub", "tid", "uti", "ver"}

	for _, tt := range []struct {
		version int
		scope   string
		extra   []string
		want    map[string]string
	}{
		{2, s.API().Scope(), []string{"azp", "azpacr"}, map[string]string{
			"ver": "2.0", "iss": s.Cloud().Authority() + "/" + tid + "/v2.0", "aud": s.API().AppID(), "azp": app, "azpacr": "1",
		}},
		{2, s.API().AppID() + "/.default", []string{"azp", "azpacr"}, map[string]string{"aud": s.API().AppID()}},
		{1, s.API().Scope(), []string{"appid", "appidacr", "idp"}, map[string]string{
			"ver": "1.0", "iss": s.Cloud().Authority() + "/" + tid + "/", "idp": s.Cloud().Authority() + "/" + tid + "/",
			"aud": s.API().URI(), "appid": app, "appidacr": "1",
		}},
		{1, s.API().AppID() + "/.default", []string{"appid", "appidacr", "idp"}, map[string]string{"aud": s.API().AppID()}},
		{1, s.API().URI() + "//.default", []string{"appid", "appidacr", "idp"}, map[string]string{"aud": s.API().URI() + "/"}},
	} {
		t.Run(fmt.Sprintf("v%d %s", tt.version, tt.scope), func(t *testing.T) {
			s.API().SetTokenVersion(tt.version)
			form := secretForm(s)
			form.Set("scope", tt.scope)
			got := postForm(t, s, tid, form)
			if got.Status != http.StatusOK {
				t.Fatalf("got %d %s", got.Status, got.Description)
			}
			header, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), tid, got.AccessToken)
			if _, hasX5T := header["x5t"]; hasX5T != (tt.version == 1) {
				t.Errorf("header %v of a version %d token", header, tt.version)
			}
			names := slices.Sorted(maps.Keys(claims))
			if want := slices.Sorted(slices.Values(append(tt.extra, common...))); !slices.Equal(names, want) {
				t.Errorf("claims %v, want %v", names, want)
			}
			tt.want["tid"], tt.want["idtyp"] = tid, "app"
			for k, want := range tt.want {
				if claims[k] != want {
					t.Errorf("%s = %v, want %v", k, claims[k], want)
				}
			}
			if claims["oid"] != claims["sub"] || claims["oid"] == app {
				t.Errorf("oid = %v, sub = %v, want both the service principal", claims["oid"], claims["sub"])
			}
		})
	}
}

func TestRoles(t *testing.T) {
	s := entratest.New(t)
	customer := s.AddTenant()
	customer.Install(s.App())
	customer.Provide(s.API())
	roles := func(tenant *entratest.Tenant) string {
		t.Helper()
		got := postForm(t, s, tenant.ID(), secretForm(s))
		if got.Status != http.StatusOK {
			t.Fatalf("got %d %s", got.Status, got.Description)
		}
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), tenant.ID(), got.AccessToken)
		if claims["roles"] == nil {
			return "absent"
		}
		return fmt.Sprint(claims["roles"])
	}
	expect := func(tenant *entratest.Tenant, want string) {
		t.Helper()
		if got := roles(tenant); got != want {
			t.Errorf("roles = %s, want %s", got, want)
		}
	}

	expect(s.Tenant(), "[Data.Read.All]")
	expect(customer, "absent") // consent in one tenant is none in another
	s.API().Grant(customer, s.App(), "Data.Write.All")
	expect(customer, "[Data.Write.All]")
	s.API().Grant(s.Tenant(), s.App(), "Data.Write.All")
	expect(s.Tenant(), "[Data.Read.All Data.Write.All]")
	s.API().Revoke(s.Tenant(), s.App(), "Data.Read.All", "Data.Write.All", "never granted")
	expect(s.Tenant(), "absent")
	expect(customer, "[Data.Write.All]")
}

func TestCapabilities(t *testing.T) {
	s := entratest.New(t)
	for claims, want := range map[string]string{
		"": "<nil>",
		`{"access_token":{"xms_cc":{"values":["cp1"]}}}`:       "[cp1]",
		`{"access_token":{"xms_cc":{"values":["x","CP1"]}}}`:   "[cp1]",
		`{"access_token":{"xms_cc":{"values":["other"]}}}`:     "<nil>",
		`{"access_token":{"nbf":{"value":"1"}},"userinfo":{}}`: "<nil>",
		`{"access_token":{"XMS_CC":{"values":["cp1"]}}}`:       "<nil>",
		`{"access_token":{"xms_cc":null,"nbf":null}}`:          "<nil>",
	} {
		form := secretForm(s)
		form.Set("claims", claims)
		got := postForm(t, s, s.Tenant().ID(), form)
		if got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", claims, got.Status, got.Description)
		}
		_, token := verify(t, s.HTTPClient(), s.Cloud().Authority(), s.Tenant().ID(), got.AccessToken)
		if cc := fmt.Sprint(token["xms_cc"]); cc != want {
			t.Errorf("claims %s: xms_cc = %s, want %s", claims, cc, want)
		}
	}
}

func TestOptionalClaims(t *testing.T) {
	s := entratest.New(t)
	form := secretForm(s)
	form.Set("claims", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`)
	for _, version := range []int{1, 2} {
		s.API().SetTokenVersion(version)
		for _, asked := range [][]string{{}, {"idtyp"}, {"xms_cc"}, {"xms_cc", "idtyp"}} {
			s.API().SetOptionalClaims(asked...)
			token := postForm(t, s, s.Tenant().ID(), form).AccessToken
			claims := claimsOf(t, token)
			for _, name := range []string{"idtyp", "xms_cc"} {
				if (claims[name] != nil) != slices.Contains(asked, name) {
					t.Errorf("version %d, asked for %v: %s = %v", version, asked, name, claims[name])
				}
			}
			if got := callAPI(s.API().Protect(served, role), token).StatusCode; got != http.StatusOK {
				t.Errorf("version %d, asked for %v: the API answers %d", version, asked, got)
			}
			claims["sub"] = "a user" // whose idtyp is not said, or says that it is an app
			user := s.Sign(nil, claims, nil)
			want := http.StatusForbidden
			if slices.Contains(asked, "idtyp") {
				want = http.StatusOK
			}
			if got := callAPI(s.API().Protect(served, role), user).StatusCode; got != want {
				t.Errorf("version %d, asked for %v, another subject: the API answers %d, want %d", version, asked, got, want)
			}
		}
	}
}

// TestShortLifetimes has what is shorter than a second round up to one.
func TestShortLifetimes(t *testing.T) {
	s := entratest.New(t)
	for d, want := range map[time.Duration]int{
		time.Nanosecond: 1, 500 * time.Millisecond: 1, time.Second: 1, 1500 * time.Millisecond: 2,
	} {
		s.SetTokenLifetime(d)
		s.SetRefreshIn(d)
		got := postForm(t, s, s.Tenant().ID(), secretForm(s))
		if got.ExpiresIn != want || got.RefreshIn == nil || *got.RefreshIn != want {
			t.Errorf("%v: expires_in %d, refresh_in %v, want %d", d, got.ExpiresIn, got.RefreshIn, want)
		}
	}
}

func TestLifetimes(t *testing.T) {
	s := entratest.New(t)
	ask := func() tokenResponse {
		t.Helper()
		got := postForm(t, s, s.Tenant().ID(), secretForm(s))
		if got.Status != http.StatusOK || got.TokenType != "Bearer" || got.ExtExpiresIn != got.ExpiresIn {
			t.Fatalf("got %+v", got)
		}
		if cc := got.Header.Get("Cache-Control"); cc != "no-store" {
			t.Errorf("Cache-Control = %q", cc)
		}
		return got
	}
	got := ask()
	if got.ExpiresIn < 3600 || got.ExpiresIn > 5400 {
		t.Errorf("expires_in = %d, want 60 to 90 minutes", got.ExpiresIn)
	}
	if got.RefreshIn != nil {
		t.Errorf("refresh_in = %d, want none", *got.RefreshIn)
	}
	s.SetTokenLifetime(24 * time.Hour)
	s.SetRefreshIn(12 * time.Hour)
	got = ask()
	if got.ExpiresIn != 86400 || got.RefreshIn == nil || *got.RefreshIn != 43200 {
		t.Errorf("expires_in %d, refresh_in %v; want 86400 and 43200", got.ExpiresIn, got.RefreshIn)
	}
}
