// SPDX-License-Identifier: MIT

package agent_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// Whatever the request line and the headers are, nobody gets a token without the secret,
// nobody gets one that is not listed, and nothing panics. Entra is asked for nothing but
// what is listed.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	target := "/msi/token?api-version=2019-08-01&resource=" + w.resource()
	imds := "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + w.resource()
	for _, line := range []string{
		"GET " + target, "GET /msi/token?api-version=2019-08-01&resource=https://vault.azure.net", "POST /v1/token", "GET /v1/authorization-header?scope=" + w.API().Scope(),
		"GET " + imds, "GET http://127.0.0.1" + target, "CONNECT 127.0.0.1:80", "OPTIONS *", "GET //msi/token", "GET " + target + "&client_id=" + w.App().ClientID(),
	} {
		for _, headers := range []string{
			"Host: 127.0.0.1", "Host: evil.example", "Host: localhost\r\nOrigin: null", "Host: [::1]\r\nVia: 1.1 x", "Host: 127.0.0.1\r\nMetadata: true",
			"Host: 127.0.0.1\r\nX-IDENTITY-HEADER: x", "Host: 127.0.0.1\r\nX-IDENTITY-HEADER:", "Host: 127.0.0.1\r\nAuthorization: Basic eDp4",
			"Host: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials",
		} {
			f.Add(line, headers)
		}
	}
	listed := w.API().Scope()
	handlers := map[string]http.Handler{"tokens": w.agent.Handler(), "imds": w.agent.IMDS()}
	f.Fuzz(func(t *testing.T, line, headers string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\n" + headers + "\r\n\r\n")))
		if err != nil {
			return // the server's business
		}
		for name, h := range handlers {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if known := []int{200, 400, 401, 403, 404, 405, 413, 415}; !slices.Contains(known, rec.Code) {
				t.Errorf("%s: status %d", name, rec.Code)
			}
			if rec.Code != 200 && !isToken(rec.Body.String()) {
				continue
			}
			// Only IMDS does without a secret, and then with its header and from the host.
			meta := len(r.Header["Metadata"]) == 1 && strings.EqualFold(r.Header.Get("Metadata"), "true")
			forwarded := r.Header.Get("Origin") + r.Header.Get("Via") + r.Header.Get("Forwarded") + r.Header.Get("X-Forwarded-For")
			if name != "imds" || !meta || forwarded != "" || agent.ScopeOf(r.URL.Query().Get("resource")) != listed {
				t.Errorf("%s: a token for %s %q %v", name, r.Method, r.RequestURI, r.Header)
			}
		}
		if got := w.TokenRequests(); got > 1 {
			t.Errorf("%d token requests", got)
		}
	})
}
