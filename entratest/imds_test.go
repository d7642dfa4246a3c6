// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/apponly/apponly/entratest"
)

func managedIdentity(t *testing.T, client policy.Transporter, id azidentity.ManagedIDKind) azcore.TokenCredential {
	t.Helper()
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}}, ID: id,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// TestAzidentityOnVM has the official client choose among two identities of a
// machine, in memory.
func TestAzidentityOnVM(t *testing.T) {
	s := entratest.New(t)
	one := s.Tenant().NewManagedIdentity()
	scope := policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}}
	tok, err := managedIdentity(t, s.HTTPClient(), nil).GetToken(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), s.Tenant().ID(), tok.Token); claims["oid"] != one.ObjectID() {
		t.Errorf("the only identity: oid = %v, want %s", claims["oid"], one.ObjectID())
	}

	two := s.Tenant().NewManagedIdentity()
	for name, tt := range map[string]struct {
		id   azidentity.ManagedIDKind
		want string
	}{
		"client ID":   {azidentity.ClientID(two.ClientID()), two.ObjectID()},
		"object ID":   {azidentity.ObjectID(one.ObjectID()), one.ObjectID()},
		"resource ID": {azidentity.ResourceID(two.ResourceID()), two.ObjectID()},
		"unknown":     {azidentity.ClientID(s.App().ClientID()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := managedIdentity(t, s.HTTPClient(), tt.id).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{exchangeAudience + "/.default"}})
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), "the requested identity isn't assigned to this resource") {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(tok.ExpiresOn); left < 23*time.Hour || left > 25*time.Hour {
				t.Errorf("expires in %v, want about a day", left)
			}
			if got := claimsOf(t, tok.Token)["sub"]; got != tt.want {
				t.Errorf("sub = %v, want %s", got, tt.want)
			}
		})
	}
}

// seconds is how managed identities write a date of a token.
func seconds(date any) string {
	n, _ := date.(float64)
	return strconv.FormatInt(int64(n), 10)
}

func TestIMDSAnswer(t *testing.T) {
	s := entratest.New(t)
	src := assertionSources(s)["imds"]
	got := src.good.send(t, s)
	var body map[string]string // or decoding fails: numbers are strings here
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, body["access_token"])
	if want := map[string]string{
		"access_token": body["access_token"], "client_id": fmt.Sprint(claims["azp"]),
		"expires_in": "86400", "expires_on": seconds(claims["exp"]), "ext_expires_in": "86400", "not_before": seconds(claims["nbf"]),
		"refresh_token": "", "resource": exchangeAudience, "token_type": "Bearer",
	}; !maps.Equal(body, want) {
		t.Errorf("got %v, want %v", body, want)
	}

	s.Tenant().NewManagedIdentity()
	if got := src.good.send(t, s); got.status != http.StatusBadRequest || !strings.Contains(got.body, "several") {
		t.Errorf("two identities and no selector: %d %s", got.status, got.body)
	}
	req := src.good.clone()
	req.query.Set("client_id", strings.ToUpper(body["client_id"]))
	if got := req.send(t, s); got.status != http.StatusOK {
		t.Errorf("by client ID: %d %s", got.status, got.body)
	}
	if got := (sourceRequest{"GET", src.good.url, src.good.query, src.good.header}).send(t, entratest.New(t)); got.status != http.StatusBadRequest || !strings.Contains(got.body, "Identity not found") {
		t.Errorf("a machine without identities: %d %s", got.status, got.body)
	}
}

func TestAzidentityOnAppService(t *testing.T) {
	s := entratest.New(t)
	other, m := s.Tenant().NewManagedIdentity(), s.Tenant().NewManagedIdentity()
	env := m.Env()
	for name, value := range env {
		t.Setenv(name, value)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for name, tt := range map[string]struct {
		id   azidentity.ManagedIDKind
		fail string
	}{
		"client ID":            {azidentity.ClientID(m.ClientID()), ""},
		"object ID":            {azidentity.ObjectID(m.ObjectID()), ""},
		"resource ID":          {azidentity.ResourceID(m.ResourceID()), ""},
		"nobody":               {nil, "no system-assigned identity"},
		"that of another site": {azidentity.ClientID(other.ClientID()), "no such identity"},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := managedIdentity(t, client, tt.id).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}})
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) {
					t.Errorf("err = %v, want %q", err, tt.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := claimsOf(t, tok.Token)["oid"]; got != m.ObjectID() {
				t.Errorf("oid = %v, want %s", got, m.ObjectID())
			}
		})
	}

	good := sourceRequest{"GET", env["IDENTITY_ENDPOINT"],
		url.Values{"api-version": {"2019-08-01"}, "resource": {exchangeAudience}, "principal_id": {m.ObjectID()}},
		http.Header{"X-Identity-Header": {env["IDENTITY_HEADER"]}}}
	good.url = "http://169.254.169.254" + good.url[strings.LastIndex(good.url, "/msi/"):] // the same, in memory
	var body map[string]string                                                            // here, too, a date is a string
	if err := json.Unmarshal([]byte(good.send(t, s).body), &body); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{
		"access_token": body["access_token"], "client_id": m.ClientID(), "expires_on": seconds(claimsOf(t, body["access_token"])["exp"]),
		"resource": exchangeAudience, "token_type": "Bearer",
	}; !maps.Equal(body, want) {
		t.Errorf("got %v, want %v", body, want)
	}
	for _, tt := range []struct {
		name   string
		edit   func(r *sourceRequest)
		status int
		body   string
	}{
		{"verb POST", func(r *sourceRequest) { r.method = "POST" }, 405, ""},
		{"header missing", func(r *sourceRequest) { r.header.Del("X-IDENTITY-HEADER") }, 401, "X-IDENTITY-HEADER"},
		{"header wrong", func(r *sourceRequest) { r.header.Set("X-IDENTITY-HEADER", "x") }, 401, "X-IDENTITY-HEADER"},
		{"version of IMDS", func(r *sourceRequest) { r.query.Set("api-version", "2018-02-01") }, 400, "api-version"},
		{"resource missing", func(r *sourceRequest) { r.query.Del("resource") }, 400, "resource is missing"},
		{"resource unknown", func(r *sourceRequest) { r.query.Set("resource", "https://nobody.test") }, 400, "AADSTS500011"},
		{"selector missing", func(r *sourceRequest) { r.query.Del("principal_id") }, 400, "system-assigned"},
		{"selectors contradict", func(r *sourceRequest) { r.query.Set("client_id", other.ClientID()) }, 400, "no such identity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := good.clone()
			tt.edit(&req)
			got := req.send(t, s)
			if got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, tt.status, tt.body)
			}
			if tt.status == 400 && !strings.Contains(got.body, `"statusCode":400`) {
				t.Errorf("body %s, want the form of App Service", got.body)
			}
		})
	}
}
