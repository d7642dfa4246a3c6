// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/apponly/apponly/entratest"
)

const podSubject = "system:serviceaccount:prod:worker"

// boundIdentity is a managed identity with a role, and a binding to it.
func boundIdentity(s *entratest.Server) (*entratest.ManagedIdentity, *entratest.IdentityBinding) {
	identity := s.Tenant().NewManagedIdentity()
	s.API().Grant(s.Tenant(), identity.App(), "Data.Read.All")
	return identity, s.NewIdentityBinding(identity.App(), podSubject)
}

// azidentity judges the proxy: by the variables, with a root in one of them or in a file
// that is replaced between two tokens.
func TestAzidentityByIdentityBinding(t *testing.T) {
	s := entratest.New(t)
	identity, b := boundIdentity(s)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	get := func(token string) error {
		cred, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: policy.ClientOptions{
				Cloud: azcloud.Configuration{ActiveDirectoryAuthorityHost: s.Cloud().Authority() + "/"},
				Retry: policy.RetryOptions{MaxRetries: -1},
			},
			DisableInstanceDiscovery: true, EnableAzureProxy: true,
			TenantID: s.Tenant().ID(), ClientID: identity.ClientID(), TokenFilePath: file("token", token),
		})
		if err != nil {
			return err
		}
		_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}})
		return err
	}
	for name, value := range b.Env() {
		t.Setenv(name, value)
	}
	if err := get(b.Token()); err != nil {
		t.Errorf("by data: %v", err)
	}
	if err := get(s.FederatedToken()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a token for Entra: %v", err)
	}
	t.Setenv("AZURE_KUBERNETES_CA_DATA", "")
	t.Setenv("AZURE_KUBERNETES_CA_FILE", file("ca.crt", string(b.CAPEM())))
	if err := get(b.Token()); err != nil {
		t.Errorf("by a file: %v", err)
	}
	b.Rollover()
	if err := get(b.Token()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("with the root of before: %v", err)
	}
	file("ca.crt", string(b.CAPEM()))
	if err := get(b.Token()); err != nil {
		t.Errorf("with the root of now: %v", err)
	}
	t.Setenv("AZURE_KUBERNETES_SNI_NAME", "")
	if err := get(b.Token()); err == nil {
		t.Error("without the name there was a token")
	}
}

func TestIdentityBindingRefuses(t *testing.T) {
	s := entratest.New(t)
	identity, b := boundIdentity(s)
	other := s.NewIssuer("https://other.test/")
	env := b.Env()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.CAPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: env["AZURE_KUBERNETES_SNI_NAME"]}}}
	claims := entratest.Claims{Subject: podSubject, Audience: "api://AKSIdentityBinding"}
	expired, nobody := claims, claims
	expired.ExpiresAt, nobody.Subject = time.Now().Add(-time.Hour), podSubject+"2"
	base := env["AZURE_KUBERNETES_TOKEN_PROXY"]
	host := strings.TrimPrefix(s.Cloud().Authority(), "https://")
	path := "/" + s.Tenant().ID() + "/oauth2/v2.0/token"
	for name, tc := range map[string]struct {
		url, host, client, assertion string
		want                         int
	}{
		"good":            {base + path, host, identity.ClientID(), b.Token(), 200},
		"no path":         {strings.TrimSuffix(base, "/proxies/entra") + path, host, identity.ClientID(), b.Token(), 404},
		"its own host":    {base + path, "", identity.ClientID(), b.Token(), 421},
		"another app":     {base + path, host, s.App().ClientID(), b.Token(), 403},
		"another account": {base + path, host, identity.ClientID(), s.Issuer().Token(nobody), 403},
		"for Entra":       {base + path, host, identity.ClientID(), s.FederatedToken(), 401},
		"another cluster": {base + path, host, identity.ClientID(), other.Token(claims), 401},
		"expired":         {base + path, host, identity.ClientID(), s.Issuer().Token(expired), 401},
		"none":            {base + path, host, identity.ClientID(), "", 401},
		"unknown tenant":  {base + "/" + podSubject + "/oauth2/v2.0/token", host, identity.ClientID(), b.Token(), 400},
	} {
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {tc.client}, "scope": {s.API().Scope()}, "client_assertion": {tc.assertion},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tc.url, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tc.host
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.want || strings.Contains(string(body), "access_token") != (tc.want == 200) {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, tc.want)
		}
	}

	// Entra itself takes the tokens of pods from nobody.
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, b.Token())); got.Status != 401 {
		t.Errorf("straight to Entra: %d, want 401", got.Status)
	}
}
