// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/apponly/apponly/entratest"
)

func TestAzidentityInPipeline(t *testing.T) {
	o := newOfficial(t)
	job := o.NewPipelineJob("sc://contoso/project/connection")
	o.App().AddFederatedCredential(job.FederatedCredential())
	env := job.Env()
	t.Setenv("SYSTEM_OIDCREQUESTURI", env["SYSTEM_OIDCREQUESTURI"])
	for _, tt := range []struct{ name, connection, token, fail string }{
		{"good", job.ServiceConnectionID(), env["SYSTEM_ACCESSTOKEN"], ""},
		{"wrong connection", o.App().ClientID(), env["SYSTEM_ACCESSTOKEN"], "404 Not Found response from the OIDC endpoint"},
		{"wrong token", job.ServiceConnectionID(), "x", "401 Unauthorized response from the OIDC endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := azidentity.NewAzurePipelinesCredential(o.Tenant().ID(), o.App().ClientID(), tt.connection, tt.token,
				&azidentity.AzurePipelinesCredentialOptions{ClientOptions: o.options(), DisableInstanceDiscovery: true})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{o.API().Scope()}})
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) || !strings.Contains(strings.ToLower(err.Error()), "x-vss-e2eid") {
					t.Errorf("err = %v, want %q with the id of the request", err, tt.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			verify(t, o.client, o.authority, o.Tenant().ID(), tok.Token)
		})
	}
}

func TestPipelineSubjects(t *testing.T) {
	s := entratest.New(t)
	req := assertionSources(s)["pipelines"].good.clone()
	req.query.Set("audience", "api://somebody-else")
	subject := func() string {
		t.Helper()
		got := req.send(t, s)
		_, token, _ := strings.Cut(strings.TrimSuffix(got.body, `"}`), `{"oidcToken":"`)
		claims := claimsOf(t, token)
		if claims["aud"] != exchangeAudience || !strings.HasPrefix(claims["iss"].(string), "https://vstoken.dev.azure.com/") {
			t.Errorf("iss %v, aud %v", claims["iss"], claims["aud"])
		}
		return claims["sub"].(string)
	}
	if got, want := subject(), "sc://contoso/project/connection"; got != want {
		t.Errorf("sub = %s, want %s", got, want)
	}
	req.query.Del("serviceConnectionId")
	if got, want := subject(), "p://contoso/project/pipeline"; got != want {
		t.Errorf("without a connection: sub = %s, want %s", got, want)
	}
}

// TestPipelineSignIn follows the redirect as a client does that is told nothing
// else: it ends at a success without a token.
func TestPipelineSignIn(t *testing.T) {
	s := entratest.New(t)
	resp, err := s.HTTPClient().Post(assertionSources(s)["pipelines"].good.url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNonAuthoritativeInfo || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("got %s with %s", resp.Status, resp.Header.Get("Content-Type"))
	}
}
