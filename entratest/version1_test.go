// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

// postV1 sends a form to the version 1 token endpoint, by whatever URL follows the tenant.
func postV1(s *entratest.Server, form url.Values, query string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, s.Cloud().Authority()+"/"+s.Tenant().ID()+"/oauth2/token"+query, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

// formV1 is secretForm for the version 1 endpoint.
func formV1(s *entratest.Server) url.Values {
	form := secretForm(s)
	form.Del("scope")
	form.Set("resource", s.API().URI())
	return form
}

// TestVersion1 has the answer in the form that ADAL, go-autorest and curl scripts read.
func TestVersion1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetTokenLifetime(time.Hour)
		s.SetRefreshIn(30 * time.Minute)
		for _, query := range []string{"", "?api-version=1.0"} {
			rec := postV1(s, formV1(s), query)
			var got map[string]string // all are strings
			if err := json.Unmarshal(rec.Body.Bytes(), &got); rec.Code != http.StatusOK || err != nil {
				t.Fatalf("got %d %s, %v", rec.Code, rec.Body, err)
			}
			claims := claimsOf(t, got["access_token"])
			if claims["aud"] != s.API().AppID() { // the resource decides about the version of the token
				t.Errorf("aud %v", claims["aud"])
			}
			delete(got, "access_token")
			now := time.Now()
			for name, want := range map[string]string{
				"token_type":     "Bearer",
				"expires_in":     "3600",
				"ext_expires_in": "3600",
				"refresh_in":     "1800",
				"expires_on":     strconv.FormatInt(now.Add(time.Hour).Unix(), 10),
				"not_before":     strconv.FormatInt(now.Unix(), 10),
				"resource":       s.API().URI(),
			} {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
				delete(got, name)
			}
			if len(got) != 0 {
				t.Errorf("besides there is %v", got)
			}
		}
		log := s.Requests()
		if got := log[len(log)-1].Scope; got != s.API().Scope() {
			t.Errorf("recorded for %q, want %q", got, s.API().Scope())
		}
	})
}

// A resource is the audience of version 1 tokens as it is spelled.
func TestVersion1Audience(t *testing.T) {
	s := entratest.New(t)
	s.API().SetTokenVersion(1)
	s.API().AddURI("https://api.example/")
	for _, resource := range []string{"https://api.example", "https://api.example/", s.API().AppID()} {
		form := formV1(s)
		form.Set("resource", resource)
		var got struct {
			Token    string `json:"access_token"`
			Resource string
		}
		rec := postV1(s, form, "")
		if err := json.Unmarshal(rec.Body.Bytes(), &got); rec.Code != http.StatusOK || err != nil {
			t.Fatalf("%s: got %d %s, %v", resource, rec.Code, rec.Body, err)
		}
		if claims := claimsOf(t, got.Token); claims["aud"] != resource || got.Resource != resource || claims["ver"] != "1.0" {
			t.Errorf("%s: resource %q, claims %v", resource, got.Resource, claims)
		}
	}
}

// TestAssertionAudiences has the audience of certificate assertions be either endpoint, at
// either of them.
func TestAssertionAudiences(t *testing.T) {
	s := entratest.New(t)
	s.Tenant().AddDomain("contoso.example")
	base := s.Cloud().Authority()
	for _, tenant := range []string{s.Tenant().ID(), "contoso.example"} {
		for _, path := range []string{"/oauth2/token", "/oauth2/v2.0/token", "/oauth2/token?api-version=1.0"} {
			form := assertionForm(s, selfSigned(s, func(_ *jwt.Token, c jwt.MapClaims) { c["aud"] = base + "/" + tenant + path }))
			if got := postForm(t, s, tenant, form); got.Status != http.StatusOK {
				t.Errorf("%s%s at version 2: %d %s", tenant, path, got.Status, got.Description)
			}
			form.Del("scope")
			form.Set("resource", s.API().URI())
			if tenant == "contoso.example" {
				continue
			}
			if got := postV1(s, form, ""); got.Code != http.StatusOK {
				t.Errorf("%s%s at version 1: %d %s", tenant, path, got.Code, got.Body)
			}
		}
	}
}

func TestVersion1Refusals(t *testing.T) {
	s := entratest.New(t)
	for name, tt := range map[string]struct {
		edit   func(url.Values)
		status int
		oauth  string
		code   int
	}{
		"resource of nobody":  {func(f url.Values) { f.Set("resource", "https://nobody.example") }, 400, "invalid_resource", 500011},
		"resource is a scope": {func(f url.Values) { f.Set("resource", s.API().Scope()) }, 400, "invalid_resource", 500011},
		"wrong secret":        {func(f url.Values) { f.Set("client_secret", "nope") }, 401, "invalid_client", 7000215},
		"no grant":            {func(f url.Values) { f.Del("grant_type") }, 400, "invalid_request", 900144},
		"password":            {func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type", 70003},
		"aud of another": {func(f url.Values) {
			f.Del("client_secret")
			f.Set("client_assertion_type", jwtBearer)
			f.Set("client_assertion", selfSigned(s, func(_ *jwt.Token, c jwt.MapClaims) { c["aud"] = s.Cloud().Authority() }))
		}, 401, "invalid_client", 700023},
	} {
		form := formV1(s)
		tt.edit(form)
		var got struct {
			Error string
			Codes []int `json:"error_codes"`
		}
		rec := postV1(s, form, "")
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != tt.status || got.Error != tt.oauth || len(got.Codes) != 1 || got.Codes[0] != tt.code {
			t.Errorf("%s: %d %s, %v; want %d %s %d", name, rec.Code, rec.Body, err, tt.status, tt.oauth, tt.code)
		}
	}
}
