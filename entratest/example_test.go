// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/apponly/apponly/entratest"
)

// A secret is rotated: the new one is there before the old one goes.
func Example() {
	sts := entratest.NewServer()
	defer sts.Close()

	ask := func(secret string) {
		resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
			"grant_type":    {"client_credentials"},
			"client_id":     {sts.App().ClientID()},
			"client_secret": {secret},
			"scope":         {sts.API().Scope()},
		})
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

	fresh := sts.App().NewSecret(time.Now().AddDate(0, 6, 0))
	ask(sts.Secret())
	sts.App().RemoveSecret(sts.Secret())
	ask(sts.Secret())
	ask(fresh)
	fmt.Println(sts.TokenRequests(), "requests")
	// Output:
	// 200 Bearer []
	// 401  [7000215]
	// 200 Bearer []
	// 3 requests
}
