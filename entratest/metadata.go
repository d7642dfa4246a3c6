// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"net/url"
	"strings"
)

func (c *call) tokenEndpoint(tenant string) string {
	return c.base + "/" + tenant + "/" + tokenPath
}

// metadataTenant returns what stands for the tenant in the URLs and in the issuers
// of a metadata document. Documents that are of no tenant in particular have a
// template for the issuer.
func (c *call) metadataTenant(name string) (inURL, inIssuer string, f *refusal) {
	switch n := strings.ToLower(name); n {
	case "common", organizations:
		return n, templateTenant, nil
	}
	t, f := c.s.findTenant(name)
	if f != nil {
		f.oauth = "invalid_tenant" // here, unlike at the token endpoint
		return "", "", f
	}
	c.log.Tenant = t.id
	return t.id, t.id, nil
}

// configuration answers OpenID Connect discovery. The two documents differ in
// the tokens they are meant for; both name the token endpoint that is served
// here, which is that of version 2.
func (c *call) configuration(name string, version int) answer {
	tenant, inIssuer, f := c.metadataTenant(name)
	if f != nil {
		return c.refused(f)
	}
	keys := keysPathV2
	if version == 1 {
		keys = keysPathV1
	}
	if id := c.appID(); id != "" {
		keys += "?appid=" + id // leads to the custom signing keys of that app
	}
	root := c.base + "/" + tenant
	return answer{status: http.StatusOK, body: map[string]any{
		"issuer":         c.issuer(inIssuer, version),
		"token_endpoint": c.tokenEndpoint(tenant),
		"jwks_uri":       root + "/" + keys,
		"token_endpoint_auth_methods_supported": []string{
			"client_secret_post", "private_key_jwt", "client_secret_basic",
		},

		// What is about users, as Entra has it. Nothing is served at these
		// endpoints, but clients insist on the fields: MSAL on the first.
		"authorization_endpoint":                root + "/oauth2/v2.0/authorize",
		"device_authorization_endpoint":         root + "/oauth2/v2.0/devicecode",
		"end_session_endpoint":                  root + "/oauth2/v2.0/logout",
		"userinfo_endpoint":                     c.base + "/oidc/userinfo",
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nonce", "tid", "ver"},
		"request_uri_parameter_supported":       false,
		"http_logout_supported":                 true,
		"frontchannel_logout_supported":         true,
	}}
}

// instanceDiscovery answers whether an authority is genuine, which MSAL asks unless
// it is told not to. Only this one is.
func (c *call) instanceDiscovery(string) answer {
	asked, err := url.Parse(c.r.URL.Query().Get("authorization_endpoint"))
	if err != nil || asked.Scheme != "https" || "https://"+canonicalHost(asked.Host) != c.base {
		host := ""
		if err == nil {
			host = asked.Host
		}
		return c.refused(refuse(50049, host).beside("authority", host, strings.TrimPrefix(c.base, "https://")))
	}
	tenant, _ := splitPath(asked.Path)
	if tenant == "" {
		tenant = "common"
	}
	host := strings.TrimPrefix(c.base, "https://")
	return answer{status: http.StatusOK, body: map[string]any{
		"tenant_discovery_endpoint": c.base + "/" + tenant + "/" + configPathV2,
		"api-version":               "1.1",
		// What MSAL compares the issuer with: this host has no other name.
		"metadata": []any{map[string]any{
			"preferred_network": host,
			"preferred_cache":   host,
			"aliases":           []string{host},
		}},
	}}
}
