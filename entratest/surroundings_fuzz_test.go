// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// FuzzPaths throws any path, query and host at everything that is served.
func FuzzPaths(f *testing.F) {
	s := entratest.New(f)
	s.Tenant().NewManagedIdentity()
	job, pipe := s.NewGitHubJob("repo:o/r:x"), s.NewPipelineJob("sc://o/p/c")
	s.NewGoogleVM()
	id := s.Tenant().ID()
	f.Add("GET", "/common/discovery/instance", "authorization_endpoint=https://login.entra.test/x", "login.entra.test", false)
	f.Add("GET", "/"+id+"/v2.0/.well-known/openid-configuration", "", "h", false)
	f.Add("GET", "/common/discovery/v2.0/keys", "", "h:443", false)
	f.Add("GET", "/metadata/identity/oauth2/token", "api-version=2018-02-01&resource="+url.QueryEscape(s.API().URI()), "h", true)
	f.Add("GET", "/msi/token", "api-version=2019-08-01&resource=x", "h", true)
	f.Add("GET", "/computeMetadata/v1/instance/service-accounts/default/identity", "audience=x&format=full", "h", true)
	f.Add("GET", strings.TrimPrefix(strings.SplitN(job.Env()["ACTIONS_ID_TOKEN_REQUEST_URL"], "?", 2)[0], s.Cloud().Authority()), "api-version=2.0&audience=x", "h", false)
	f.Add("POST", strings.TrimPrefix(pipe.Env()["SYSTEM_OIDCREQUESTURI"], s.Cloud().Authority()), "api-version=7.1", "h", false)
	jt, pt := job.Env()["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], pipe.Env()["SYSTEM_ACCESSTOKEN"]
	f.Fuzz(func(t *testing.T, method, path, query, host string, plain bool) {
		for _, bearer := range []string{jt, pt} {
			req := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: host, Body: http.NoBody,
				Header: http.Header{"Metadata": {"true"}, "Metadata-Flavor": {"Google"}, "Authorization": {"Bearer " + bearer}}}
			rec := httptest.NewRecorder()
			if plain {
				s.ServePlain(rec, req)
			} else {
				s.ServeHTTP(rec, req)
			}
			if rec.Code >= 500 {
				t.Errorf("status %d", rec.Code)
			}
		}
	})
}

// FuzzJWKS reads any key set, and verifies with what it read.
func FuzzJWKS(f *testing.F) {
	s := entratest.New(f)
	f.Add([]byte(s.Issuer().JWKS()))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AA","e":"AA"}]}`))
	f.Fuzz(func(t *testing.T, jwks []byte) {
		i, err := s.AddIssuer("https://fuzz.test/x", jwks)
		if err != nil {
			return
		}
		app := s.App()
		app.AddFederatedCredential(entratest.FederatedCredential{Issuer: i.URL(), Subject: "s", Audience: "a"})
		raw := b64(`{"alg":"RS256"}`) + "." + b64(`{"iss":"https://fuzz.test/x","sub":"s","aud":"a","exp":9999999999}`) + "." + b64(strings.Repeat("x", 256))
		req := httptest.NewRequest("POST", s.Cloud().TokenEndpoint(s.Tenant().ID()), strings.NewReader(assertionForm(s, raw).Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if rec.Code == 200 {
			t.Errorf("accepted with %s", jwks)
		}
	})
}
