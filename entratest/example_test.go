// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/apponly/apponly/entratest"
)

// ask requests a token in a tenant and prints what becomes of it.
func ask(sts *entratest.Server, tenant *entratest.Tenant, proof url.Values) {
	form := url.Values{
		"grant_type": {"client_credentials"},
		"client_id":  {sts.App().ClientID()},
		"scope":      {sts.API().Scope()},
	}
	maps.Copy(form, proof)
	resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(tenant.ID()), form)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var answer struct {
		TokenType string `json:"token_type"`
		Codes     []int  `json:"error_codes"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.StatusCode, answer.TokenType, answer.Codes)
}

func secret(value string) url.Values { return url.Values{"client_secret": {value}} }

func assertion(token string) url.Values {
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {token},
	}
}

// A secret is rotated: the new one is there before the old one goes.
func Example() {
	sts := entratest.NewServer()
	defer sts.Close()

	fresh := sts.App().NewSecret(time.Now().AddDate(0, 6, 0))
	ask(sts, sts.Tenant(), secret(sts.Secret()))
	sts.App().RemoveSecret(sts.Secret())
	ask(sts, sts.Tenant(), secret(sts.Secret()))
	ask(sts, sts.Tenant(), secret(fresh))
	fmt.Println(sts.TokenRequests(), "requests")
	// Output:
	// 200 Bearer []
	// 401  [7000215]
	// 200 Bearer []
	// 3 requests
}

// A cluster rotates its signing key. Assertions signed with the old key are good
// until it is published no more.
func ExampleIssuer_Rollover() {
	sts := entratest.NewServer()
	defer sts.Close()

	old := sts.FederatedToken()
	sts.Issuer().Rollover()
	ask(sts, sts.Tenant(), assertion(old))
	ask(sts, sts.Tenant(), assertion(sts.FederatedToken()))
	sts.Issuer().Rollover()
	ask(sts, sts.Tenant(), assertion(old))
	// Output:
	// 200 Bearer []
	// 200 Bearer []
	// 401  [7000272]
}

// A customer installs the app, requires an assignment, and gives it a role.
func ExampleTenant_SetAssignmentRequired() {
	sts := entratest.NewServer()
	defer sts.Close()

	customer := sts.AddTenant("customer.example")
	ask(sts, customer, secret(sts.Secret()))
	customer.Install(sts.App())
	customer.Provide(sts.API())
	customer.SetAssignmentRequired(sts.API(), true)
	ask(sts, customer, secret(sts.Secret()))
	sts.API().Grant(customer, sts.App(), "Data.Read.All")
	ask(sts, customer, secret(sts.Secret()))
	// Output:
	// 401  [7000229]
	// 400  [501051]
	// 200 Bearer []
}

// A new secret is not known everywhere at once.
func ExampleServer_SetPropagation() {
	sts := entratest.NewServer()
	defer sts.Close()

	sts.SetPropagation(time.Minute)
	fresh := sts.App().NewSecret(time.Now().AddDate(0, 6, 0))
	ask(sts, sts.Tenant(), secret(fresh))
	sts.SetClockOffset(time.Minute) // or time.Sleep in a testing/synctest bubble
	ask(sts, sts.Tenant(), secret(fresh))
	// Output:
	// 401  [7000215]
	// 200 Bearer []
}

// Entra is overloaded for two requests, as a script says, and then fine.
func ExampleServer_AddFault() {
	sts := entratest.NewServer()
	defer sts.Close()

	script := `{"endpoint": "token", "times": 2, "status": 503, "retry_after": "30"}`
	var fault entratest.Fault
	if err := json.Unmarshal([]byte(script), &fault); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := sts.AddFault(fault); err != nil {
		fmt.Println(err)
		return
	}

	for range 3 {
		resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
			"grant_type":    {"client_credentials"},
			"client_id":     {sts.App().ClientID()},
			"client_secret": {sts.Secret()},
			"scope":         {sts.API().Scope()},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%d %q\n", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	for _, r := range sts.Requests() {
		fmt.Printf("%d %q\n", r.Status, r.Fault)
	}
	fmt.Println(sts.Counters().Statuses[http.StatusOK], "token")
	// Output:
	// 503 "30"
	// 503 "30"
	// 200 ""
	// 503 "status 503"
	// 503 "status 503"
	// 200 ""
	// 1 token
}
