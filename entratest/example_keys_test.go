// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// An API is sent tokens that Entra would not sign.
func ExampleServer_Sign() {
	sts := entratest.NewServer()
	defer sts.Close()
	api := sts.API().Protect(http.NotFoundHandler(), "Data.Read.All") // here is what you test
	call := func(token string) int {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, req)
		return rec.Code
	}

	issuer, _ := sts.Cloud().Issuer(2, sts.Tenant().ID())
	now := sts.Now()
	right := map[string]any{
		"ver": "2.0", "iss": issuer, "tid": sts.Tenant().ID(), "aud": sts.API().AppID(), "azp": sts.App().ClientID(),
		"idtyp": "app", "roles": []string{"Data.Read.All"}, "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	user := maps.Clone(right)
	user["idtyp"] = "user"
	unsigned := map[string]any{"alg": "none", "kid": sts.SigningKey().ID()}
	stranger := sts.AddKey(entratest.KeyOptions{Hidden: true})

	fmt.Println("right:", call(sts.Sign(nil, right, nil)))
	fmt.Println("of a user:", call(sts.Sign(nil, user, nil)))
	fmt.Println("not signed:", call(sts.Sign(unsigned, right, nil)))
	fmt.Println("unknown key:", call(sts.Sign(nil, right, stranger)))
	// Output:
	// right: 404
	// of a user: 403
	// not signed: 401
	// unknown key: 401
}

// The documents of the public cloud hold keys that are not for its tokens, and entries
// that are missing for a while.
func ExampleServer_AddKey() {
	sts := entratest.NewServer()
	defer sts.Close()
	sts.SetCloud(cloud.Public)

	consumers, _ := cloud.Public.Issuer(2, entratest.ConsumerTenant)
	sts.AddKey(entratest.KeyOptions{ID: "personal", Issuer: consumers})
	gov := sts.AddKey(entratest.KeyOptions{ID: "gov", CloudInstance: cloud.USGovernment.InstanceName()})
	sts.AddKey(entratest.KeyOptions{Raw: json.RawMessage(`{"kid": "odd", "kty": "OKP"}`)})

	for _, hidden := range []bool{false, true} {
		gov.SetHidden(hidden)
		resp, err := sts.HTTPClient().Get(cloud.Public.Authority() + "/common/discovery/v2.0/keys")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		var set struct {
			Keys []struct {
				Kid, Issuer string
				Cloud       string `json:"cloud_instance_name"`
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
			fmt.Println(err)
			return
		}
		for _, k := range set.Keys[1:] { // the first one signs
			fmt.Printf("%s: %q of %q\n", k.Kid, k.Issuer, k.Cloud)
		}
	}
	fmt.Println(sts.Counters().Endpoints["keys"], "fetches")
	// Output:
	// personal: "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" of "microsoftonline.com"
	// gov: "https://login.microsoftonline.com/{tenantid}/v2.0" of "microsoftonline.us"
	// odd: "" of ""
	// personal: "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" of "microsoftonline.com"
	// odd: "" of ""
	// 2 fetches
}

// The document is replaced by what some proxy answers.
func ExampleServer_SetKeyDocument() {
	sts := entratest.NewServer()
	defer sts.Close()

	sts.SetKeyDocument(func(r *http.Request, document []byte) []byte {
		return []byte("<html>sign in to the network</html>")
	})
	resp, err := sts.HTTPClient().Get(sts.Cloud().Authority() + "/common/discovery/v2.0/keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var set map[string]any
	fmt.Println(resp.StatusCode, json.NewDecoder(resp.Body).Decode(&set))
	// Output:
	// 200 invalid character '<' looking for beginning of value
}
