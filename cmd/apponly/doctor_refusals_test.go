// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
)

// faulty has token requests meet a fault.
func faulty(f entratest.Fault) func(*clinic) {
	return func(c *clinic) {
		f.Endpoint = "token"
		if _, err := c.sts.AddFault(f); err != nil {
			c.Fatal(err)
		}
	}
}

var refusalSetUps = []setUp{
	{"wrong secret", "secret", func(c *clinic) { c.set("AZURE_CLIENT_SECRET", c.hide("abc8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345")) }, "token", "secret_invalid", "AADSTS7000215", ""},
	{"secret expired", "secret", func(c *clinic) {
		old := c.hide("xyz8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345")
		c.sts.App().AddSecret(old, c.sts.Now().Add(-time.Hour))
		c.set("AZURE_CLIENT_SECRET", old)
	}, "token", "secret_expired", "AADSTS7000222", ""},
	{"unknown app", "secret", planted("AZURE_CLIENT_ID", nobody), "token", "app_not_found", "AADSTS700016", ""},
	{"unknown tenant", "secret", planted("AZURE_TENANT_ID", nobody), "token", "tenant_not_found", "AADSTS90002", ""},
	{"app not in the tenant", "secret", func(c *clinic) { c.set("AZURE_TENANT_ID", c.sts.AddTenant().ID()) }, "token", "app_not_found", "AADSTS7000229", ""},
	{"tenant suspended", "secret", func(c *clinic) { c.sts.Tenant().SetDisabled(true) }, "token", "tenant_blocked", "AADSTS5000224", ""},
	{"tenant of another cloud", "secret", func(c *clinic) { c.sts.Tenant().SetOtherCloud(true) }, "token", "authority_invalid", "AADSTS900382", ""},
	{"app disabled", "secret", func(c *clinic) { c.sts.Tenant().SetAppDisabled(c.sts.App(), true) }, "token", "app_disabled", "AADSTS7000112", ""},
	{"conditional access", "secret", func(c *clinic) { c.sts.Tenant().Block(c.sts.App(), 53003) }, "token", "conditional_access", "AADSTS53003", ""},
	{"unknown API", "secret", func(c *clinic) { c.scope = "api://" + nobody + "/.default" }, "token", "resource_not_found", "AADSTS500011", ""},
	{"API disabled", "secret", func(c *clinic) { c.sts.Tenant().SetResourceDisabled(c.sts.API(), true) }, "token", "resource_not_found", "AADSTS500014", ""},
	{"API demands an assignment", "secret", func(c *clinic) {
		c.sts.API().Revoke(c.sts.Tenant(), c.sts.App(), "Data.Read.All")
		c.sts.Tenant().SetAssignmentRequired(c.sts.API(), true)
	}, "token", "role_missing", "AADSTS501051", ""},
	{"issuer out of reach", "federated", func(c *clinic) { c.sts.Issuer().SetReachable(false) }, "token", "issuer_unreachable", "AADSTS501661", ""},
	{"federation forbidden", "federated", func(c *clinic) { c.sts.Tenant().SetFederationAllowed(false) }, "token", "federation_blocked", "AADSTS700223", ""},
	{"key of another issuer", "federated", func(c *clinic) { c.sts.NewIssuer(c.sts.Issuer().URL()) }, "token", "assertion_invalid", "AADSTS", ""},
	{"throttled", "secret", faulty(entratest.Fault{Status: 429, RetryAfter: "3600"}), "token", "throttled", "HTTP 429", ""},
	{"out of order", "secret", faulty(entratest.Fault{Status: 503, RetryAfter: "300"}), "token", "transient_service", "HTTP 503", ""},
	{"web page", "secret", faulty(entratest.Fault{Connection: "garble"}), "token", "transient_service", "web page", ""},
	{"never answers", "secret", faulty(entratest.Fault{Connection: "black-hole"}), "token", "unreachable", "no answer", ""},
	{"policy out of the blue", "secret", faulty(entratest.Fault{Code: 530035}), "token", "conditional_access", "AADSTS530035", ""},
	{"service account may not", "identity binding", func(c *clinic) { c.set("AZURE_CLIENT_ID", nobody) }, "token", "transient_service", "use-managed-identity", ""},
	{"identity not of this machine", "managed-identity", planted("AZURE_CLIENT_ID", nobody), "token", "credential_unavailable", "managed identity", ""},
	{"identity removed", "managed-identity", func(c *clinic) { c.msi.App().Remove() }, "token", "credential_unavailable", "managed identity", ""},
	{"no endpoint of identities", "managed-identity", func(c *clinic) { c.set("IDENTITY_ENDPOINT", "http://"+closedPort(c.T)) }, "token", "unreachable", "managed identity", ""},
}

// telling has the token say something else: "" takes a claim away.
func telling(claims map[string]string) func(*clinic) {
	return func(c *clinic) {
		c.rewriting(func(body []byte) []byte {
			var answer map[string]any
			if json.Unmarshal(body, &answer) != nil {
				return body
			}
			token, _ := answer["access_token"].(string)
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			var all map[string]any
			if json.Unmarshal(payload, &all) != nil {
				return body
			}
			for name, value := range claims {
				if all[name] = value; value == "" {
					delete(all, name)
				}
			}
			answer["access_token"] = c.sts.Sign(nil, all, nil)
			body, _ = json.Marshal(answer)
			return body
		})
	}
}

var permissionSetUps = []setUp{
	{"of a user", "front", telling(map[string]string{"scp": "User.Read"}), "permissions", "", "not app-only", ""},
	{"of a user, by idtyp", "front", telling(map[string]string{"idtyp": "user"}), "permissions", "", "not app-only", ""},
	{"for another API", "front", telling(map[string]string{"aud": nobody}), "permissions", "", "is for", ""},
	{"of another tenant", "front", telling(map[string]string{"tid": nobody}), "permissions", "", "of the tenant", ""},
	{"of another app", "front", telling(map[string]string{"azp": nobody}), "permissions", "", "of the app", ""},
	{"no roles", "secret", func(c *clinic) { c.sts.API().Revoke(c.sts.Tenant(), c.sts.App(), "Data.Read.All") }, "", "", "has no roles", "permissions"},
}
