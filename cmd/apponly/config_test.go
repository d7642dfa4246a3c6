// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/apponly/apponly/entratest"
)

// What testdata/example.yaml says.
const (
	contosoID  = "6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"
	workerID   = "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9"
	retiredID  = "2c3d4e5f-6071-4283-94a5-b6c7d8e9f0a1"
	internalID = "3d4e5f60-7182-4394-a5b6-c7d8e9f0a1b2"
	ordersURI  = "https://orders.contoso.example"
)

// TestExample asks for tokens with everything that the annotated file sets.
func TestExample(t *testing.T) {
	e := start(t, "--config", "testdata/example.yaml")
	const orders = ordersURI + "/.default"
	for name, tt := range map[string]struct {
		tenant, client, secret, scope string
		roles                         string
		code                          int
	}{
		"by tenant ID":           {contosoID, workerID, "worker-secret", orders, "[Orders.Read.All]", 0},
		"by domain":              {"contoso.onmicrosoft.example", workerID, "worker-secret", orders, "[Orders.Read.All]", 0},
		"another tenant":         {"fabrikam.example", workerID, "worker-secret", orders, "[Orders.Read.All Orders.Write.All]", 0},
		"the demo tenant":        {e.TenantID, workerID, "worker-secret", e.Scope, "[Data.Write.All]", 0},
		"expired secret":         {contosoID, workerID, "worker-expired-secret", orders, "", 7000222},
		"future secret":          {contosoID, workerID, "worker-future-secret", orders, "", 7000215},
		"disabled app":           {contosoID, retiredID, "retired-secret", orders, "", 7000112},
		"app of one tenant":      {e.TenantID, internalID, "internal-secret", e.Scope, "", 700016},
		"disabled tenant":        {"suspended.example", workerID, "worker-secret", orders, "", 5000224},
		"assignment required":    {contosoID, workerID, "worker-secret", "api://payroll/.default", "", 501051},
		"demo app not installed": {contosoID, e.ClientID, e.ClientSecret, orders, "", 7000229},
		"API not provided":       {"fabrikam.example", workerID, "worker-secret", "api://payroll/.default", "", 500011},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.ask(t, tt.tenant, "client_id", tt.client, "client_secret", tt.secret, "scope", tt.scope)
			if tt.code != 0 {
				if !slices.Equal(got.Codes, []int{tt.code}) {
					t.Errorf("got %d %v, want %d", got.Status, got.Codes, tt.code)
				}
				return
			}
			if got.Status != http.StatusOK {
				t.Fatalf("got %d %v", got.Status, got.Codes)
			}
			if got.ExpiresIn != 65*60 || got.RefreshIn != 30*60 {
				t.Errorf("expires_in %d, refresh_in %d, want 3900 and 1800", got.ExpiresIn, got.RefreshIn)
			}
			claims := verifyToken(t, e.client(t), e.AuthorityHost+"/common/discovery/keys", got.AccessToken)
			if roles := fmt.Sprint(claims["roles"]); roles != tt.roles {
				t.Errorf("roles = %s, want %s", roles, tt.roles)
			}
		})
	}
}

// TestConfiguredProofs has an app prove itself with a certificate and with an
// outside issuer's assertion, neither of which the emulator made.
func TestConfiguredProofs(t *testing.T) {
	dir := t.TempDir()
	cert := entratest.NewServer().Certificate()
	key := jose.JSONWebKey{Key: cert.Key, KeyID: "outside", Use: "sig", Algorithm: "RS256"}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	const issuer, subject = "https://oidc.example", "system:serviceaccount:a:b"
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{"api://AzureADTokenExchange"},
		IssuedAt: jwt.NewNumericDate(time.Now()), NotBefore: jwt.NewNumericDate(time.Now()),
		Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"cert.pem": string(cert.CertPEM()), "own.pem": string(cert.PEM()), "jwks.json": string(jwks), "assertion": assertion,
		"config.yaml": fmt.Sprintf(`
tenants:
  - id: %s
apps:
  - name: worker
    client_id: %s
    tenant: %s
    certificates: [{file: cert.pem}]
    federated:
      - {issuer: %q, subject: %q}
      - {issuer: demo, subject: "system:serviceaccount:demo:worker"}
resources:
  - uri: api://orders
    tenant: %s
issuers:
  - {url: %q, jwks: jwks.json}
`, contosoID, workerID, contosoID, issuer, subject, contosoID, issuer),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	e := start(t, "--config", filepath.Join(dir, "config.yaml"))
	worker := *e
	worker.TenantID, worker.ClientID = contosoID, workerID
	worker.CertificatePath, worker.FederatedTokenFile = filepath.Join(dir, "own.pem"), filepath.Join(dir, "assertion")
	demoAssertion := worker
	demoAssertion.FederatedTokenFile = e.FederatedTokenFile
	for name, tt := range map[string]struct {
		e    *emulator
		flow string
	}{
		"certificate":    {&worker, "certificate"},
		"outside issuer": {&worker, "federated"},
		"demo issuer":    {&demoAssertion, "federated"},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := azidentityFlows(tt.e, e.client(t))[tt.flow]("")
			if err != nil {
				t.Fatal(err)
			}
			tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"api://orders/.default"}})
			if err != nil {
				t.Fatal(err)
			}
			claims := verifyToken(t, e.client(t), e.AuthorityHost+"/common/discovery/keys", tok.Token)
			if claims["azp"] != workerID {
				t.Errorf("azp = %v, want %s", claims["azp"], workerID)
			}
		})
	}
}

// TestConfiguredTrouble has each setting that makes things go wrong do so.
func TestConfiguredTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		fields []string
		want   []int // statuses of requests in turn
	}{
		"nothing":     {"", nil, []int{200, 200, 200}},
		"faults":      {"faults: [{status: 503, times: 1}, {endpoint: token, status: 500, times: 1}]", nil, []int{503, 500, 200}},
		"throttle":    {"throttle: {requests: 2, per: 1h}", nil, []int{200, 200, 429}},
		"no delay":    {propagating("0s"), []string{"client_id", workerID, "client_secret", "s"}, []int{200}},
		"propagation": {propagating("1h"), []string{"client_id", workerID, "client_secret", "s"}, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			e := start(t, "--config", path)
			for i, want := range tt.want {
				// Which refusal it is depends on what has arrived; 0 is any.
				got := e.ask(t, e.TenantID, tt.fields...)
				if want == 0 && len(got.Codes) == 0 || want != 0 && got.Status != want {
					t.Errorf("request %d: status %d, codes %v, want %d", i, got.Status, got.Codes, want)
				}
			}
		})
	}
}

func propagating(d string) string {
	return fmt.Sprintf("propagation: %s\napps:\n  - {name: a, client_id: %s, tenant: demo, secrets: [{value: s}]}\n", d, workerID)
}

func TestConfiguredClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("clock_offset: -3h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, "--config", path)
	resp, err := e.client(t).Get(e.AuthorityHost + "/common/discovery/keys")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Until(date); off < -3*time.Hour-time.Minute || off > -3*time.Hour+time.Minute {
		t.Errorf("the emulator's clock is off by %v, want -3h", off)
	}
}
