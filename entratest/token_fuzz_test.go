// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// FuzzTokenRequest sends the token endpoint anything: a form, or an assertion of
// any header and claims that nobody signed. The emulator must not panic, has to
// answer with a status of its own and with JSON, and gives nothing to who does
// not send the secret.
func FuzzTokenRequest(f *testing.F) {
	s := entratest.New(f)
	id := s.Tenant().ID()
	good := secretForm(s)
	f.Add("POST", id, good.Encode(), "", "application/x-www-form-urlencoded", "", "")
	f.Add("POST", "common", "grant_type=client_credentials", "Basic YTpi", "", "{}", "{}")
	f.Add("POST", id, "", "", "application/x-www-form-urlencoded", `{"alg":"PS256","typ":"JWT","x5t#S256":"AA","x5c":["AA"]}`, `{"iss":"x","aud":["a"],"exp":"1","nbf":1e9}`)
	f.Add("POST", id, "", "", "application/x-www-form-urlencoded", `{"alg":"RS256","kid":"k"}`, `{"iss":"`+s.Issuer().URL()+`","sub":"s","aud":"a"}`)
	f.Add("POST", id, "", "", "application/x-www-form-urlencoded", `{"alg":"RS256","kid":"k"}`, `{"iss":"https://login.entra.test/x/"}`)
	f.Add("POST", id, "claims=%7B%22access_token%22%3A%7B%22nbf%22%3A%7B%22value%22%3A%221%22%7D%7D%7D", "", "application/x-www-form-urlencoded", "", "")
	f.Fuzz(func(t *testing.T, method, tenant, body, authorization, contentType, header, claims string) {
		form, err := url.ParseQuery(body)
		if err == nil && (header != "" || claims != "") {
			whole := secretForm(s)
			whole.Del("client_secret")
			whole.Set("client_assertion_type", jwtBearer)
			whole.Set("client_assertion", b64(header)+"."+b64(claims)+"."+b64(body))
			maps.Copy(whole, form)
			whole.Del("client_secret")
			body = whole.Encode()
		}
		req := &http.Request{
			Method: method, URL: &url.URL{Path: "/" + tenant + "/oauth2/v2.0/token"}, Host: "login.entra.test",
			Header: http.Header{"Content-Type": {contentType}, "Authorization": {authorization}},
			Body:   http.NoBody,
		}
		if body != "" {
			req.Body = io.NopCloser(strings.NewReader(body))
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		switch rec.Code {
		case 200:
			if !strings.Contains(body, url.QueryEscape(s.Secret())) && !strings.Contains(body, s.Secret()) && authorization == "" {
				t.Errorf("a token for %s %q %q", method, tenant, body)
			}
		case 400, 401, 404, 405:
		default:
			t.Errorf("status %d", rec.Code)
		}
		if rec.Body.Len() > 0 && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("not JSON: %q", rec.Body)
		}
		if strings.Contains(rec.Body.String(), "%!") && !strings.Contains(body+tenant+method+header+claims+authorization, "%!") {
			t.Errorf("broken text: %s", rec.Body)
		}
	})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
