// SPDX-License-Identifier: MIT

package entratest_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// TestGoogleOverHTTP asks as Google's libraries do: host and port from the
// environment, no TLS.
func TestGoogleOverHTTP(t *testing.T) {
	s := entratest.New(t)
	s.NewGoogleVM()
	vm := s.NewGoogleVM() // another machine takes the place of the one before
	if !regexp.MustCompile(`^[0-9]{21}$`).MatchString(vm.ServiceAccountID()) {
		t.Errorf("service account ID %q", vm.ServiceAccountID())
	}
	base := "http://" + vm.Env()["GCE_METADATA_HOST"]
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	get := func(path string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Metadata-Flavor", "Google")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	identity := func(account, format string) string {
		return "/computeMetadata/v1/instance/service-accounts/" + account + "/identity?audience=" +
			url.QueryEscape(exchangeAudience) + format
	}
	for _, tt := range []struct {
		account, format string
		full            bool
	}{{"default", "", false}, {vm.ServiceAccountEmail(), "&format=standard", false}, {"default", "&format=full", true}} {
		resp, body := get(identity(tt.account, tt.format))
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Metadata-Flavor") != "Google" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
			t.Errorf("%v: got %s %v", tt, resp.Status, resp.Header)
		}
		claims := claimsOf(t, body)
		if claims["iss"] != "https://accounts.google.com" || claims["iss"] != vm.Issuer().URL() || claims["sub"] != vm.ServiceAccountID() || claims["aud"] != exchangeAudience {
			t.Errorf("%v: claims %v", tt, claims)
		}
		if full := claims["google"] != nil && claims["email"] == vm.ServiceAccountEmail(); full != tt.full {
			t.Errorf("%v: claims %v, want those about the instance: %t", tt, claims, tt.full)
		}
	}
	// A token endpoint without TLS would take secrets in the open.
	if resp, _ := get("/" + s.Tenant().ID() + "/oauth2/v2.0/token"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the token endpoint over plain http: %s, want 404", resp.Status)
	}
}
