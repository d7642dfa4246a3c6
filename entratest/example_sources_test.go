// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// A job of GitHub Actions gets an access token without a secret: GitHub says
// what the job is, and the app trusts GitHub with that.
func ExampleServer_NewGitHubJob() {
	sts := entratest.NewServer()
	defer sts.Close()
	job := sts.NewGitHubJob("repo:octo-org/app:environment:prod")
	sts.App().AddFederatedCredential(job.FederatedCredential())

	// The URL has a query already: the audience is added to it.
	env := job.Env()
	u, err := url.Parse(env["ACTIONS_ID_TOKEN_REQUEST_URL"])
	if err != nil {
		fmt.Println(err)
		return
	}
	query := u.Query()
	query.Set("audience", sts.Cloud().ExchangeAudience())
	u.RawQuery = query.Encode()
	req, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	resp, err := sts.HTTPClient().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var idToken struct{ Value string }
	if err := json.NewDecoder(resp.Body).Decode(&idToken); err != nil {
		fmt.Println(err)
		return
	}

	resp, err = sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {sts.App().ClientID()},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {idToken.Value},
		"scope":                 {sts.API().Scope()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// An administrator revokes what an app holds. The API says so to clients that
// declared cp1, and what it asks for goes into the next token request.
func ExampleResource_Protect() {
	sts := entratest.NewServer()
	defer sts.Close()
	api := httptest.NewTLSServer(sts.API().Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "data")
	}), "Data.Read.All"))
	defer api.Close()

	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), CAE: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rt, err := apponly.NewTransport(client, sts.API().Scope(), &apponly.TransportOptions{
		Base: api.Client().Transport, Hosts: []string{api.Listener.Addr().String()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		resp, err := (&http.Client{Transport: rt}).Get(api.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status, "after", sts.TokenRequests(), "token requests")
		sts.Tenant().RevokeTokens(sts.App())
	}
	// Output:
	// 200 OK after 1 token requests
	// 200 OK after 2 token requests
}
