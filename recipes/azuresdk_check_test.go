// SPDX-License-Identifier: MIT

package recipes_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// What the vault asks for must reach Entra: a fresh token by itself would do for
// the fake vault, and not for a real one.
func TestAzureSDKHandsClaimsToEntra(t *testing.T) {
	sts := entratest.New(t)
	vault := newVault(sts)
	defer vault.Close()

	var mu sync.Mutex
	var asked []string // the claims parameter of each token request
	memory := sts.HTTPClient().Transport
	tokenLeg := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		defer body.Close()
		form := &http.Request{Method: r.Method, Header: r.Header, Body: body}
		mu.Lock()
		asked = append(asked, form.PostFormValue("claims"))
		mu.Unlock()
		return memory.RoundTrip(r)
	})}
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud: sts.Cloud(), HTTPClient: tokenLeg, CAE: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := azsecrets.NewClient(vault.url, client.TokenCredential(), &azsecrets.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: vault.Client()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.GetSecret(t.Context(), "greeting", "", nil); err != nil {
		t.Fatal(err)
	}

	if len(asked) != 2 {
		t.Fatalf("%d token requests, want 2", len(asked))
	}
	type claim struct {
		Value  string
		Values []string
	}
	var first, second struct {
		AccessToken map[string]claim `json:"access_token"`
	}
	for i, v := range []any{&first, &second} {
		if err := json.Unmarshal([]byte(asked[i]), v); err != nil {
			t.Fatalf("claims of request %d = %q: %v", i+1, asked[i], err)
		}
	}
	if got := first.AccessToken; got["nbf"].Value != "" || !slices.Contains(got["xms_cc"].Values, "cp1") {
		t.Errorf("first request asks for %v, want the capability cp1 alone", got)
	}
	if got := second.AccessToken; got["nbf"].Value != "1782864000" || !slices.Contains(got["xms_cc"].Values, "cp1") {
		t.Errorf("second request asks for %v, want the vault's nbf and the capability cp1", got)
	}
}

// Vaults name their tenant by its ID, also to a client that knows it by a domain name.
func TestAzureSDKWithADomainName(t *testing.T) {
	sts := entratest.New(t)
	sts.Tenant().AddDomain("contoso.example")
	vault := newVault(sts)
	defer vault.Close()
	client, err := apponly.New("contoso.example", sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), Cache: apponly.NewCache(nil), CAE: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := azsecrets.NewClient(vault.url, client.TokenCredential(), &azsecrets.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: vault.Client()},
	})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := secrets.GetSecret(t.Context(), "greeting", "", nil)
	if err != nil || *secret.Value != "hello" {
		t.Fatalf("%v, %v", secret, err)
	}
	if n := sts.Counters().Endpoints["configuration"]; n != 1 || sts.TokenRequests() != 2 {
		t.Errorf("%d lookups and %d token requests, want 1 and 2", n, sts.TokenRequests())
	}
}
