// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
)

// tokenEndpoints are the token endpoints of a tenant by its names, that of version 2 by
// the first name first.
func (c *call) tokenEndpoints(names ...string) []string {
	var urls []string
	for _, path := range []string{tokenPath, tokenPathV1} {
		for _, name := range names {
			urls = append(urls, c.base+"/"+name+"/"+path)
		}
	}
	return urls
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

// configuration answers OpenID Connect discovery. The two documents differ in the
// endpoints they name, and in the tokens they are meant for.
func (c *call) configuration(name string, version int) answer {
	tenant, inIssuer, f := c.metadataTenant(name)
	if f != nil {
		return c.refused(f)
	}
	root := c.base + "/" + tenant
	oauth, keys, userinfo := root+"/oauth2/v2.0", keysPathV2, c.base+"/oidc/userinfo"
	if version == 1 {
		oauth, keys, userinfo = root+"/oauth2", keysPathV1, root+"/openid/userinfo"
	}
	if id := c.appID(); id != "" {
		keys += "?appid=" + id // leads to the custom signing keys of that app
	}
	graph := c.graph()
	body := map[string]any{
		"issuer":         c.issuer(inIssuer, version),
		"token_endpoint": oauth + "/token",
		"jwks_uri":       root + "/" + keys,
		"token_endpoint_auth_methods_supported": []string{
			"client_secret_post", "private_key_jwt", "client_secret_basic",
		},

		// What is about users, as Entra has it. Nothing is served at these
		// endpoints, but clients insist on the fields: MSAL on the first.
		"authorization_endpoint":                oauth + "/authorize",
		"device_authorization_endpoint":         oauth + "/devicecode",
		"end_session_endpoint":                  oauth + "/logout",
		"userinfo_endpoint":                     userinfo,
		"kerberos_endpoint":                     root + "/kerberos",
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nonce", "tid", "ver"},
		"request_uri_parameter_supported":       false,
		"http_logout_supported":                 true,
		"frontchannel_logout_supported":         true,

		// Where the rest of the cloud is.
		"tenant_region_scope":   regionScope(inIssuer),
		"cloud_instance_name":   c.instanceName(),
		"cloud_graph_host_name": graph.azureAD,
		"msgraph_host":          graph.microsoft,
		"rbac_url":              "https://" + graph.rbac,
	}
	if version == 1 {
		body["check_session_iframe"] = oauth + "/checksession"
		body["microsoft_multi_refresh_token"] = true
	}
	return answer{status: http.StatusOK, body: body}
}

// regionScope is where the data of a tenant is, nowhere for none in particular.
func regionScope(tenant string) any {
	if tenant == templateTenant {
		return nil
	}
	return "WW"
}

// graphs are the hosts that the documents of a cloud name.
type graphs struct{ azureAD, microsoft, rbac string }

// graph returns those of the cloud that was asked. One that is not known here is like
// the public one.
func (c *call) graph() graphs {
	switch c.clouds()[0] {
	case cloud.USGovernment:
		return graphs{"graph.windows.net", "graph.microsoft.us", "pasff.usgovcloudapi.net"}
	case cloud.China:
		return graphs{"graph.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn", "pas.chinacloudapi.cn"}
	}
	return graphs{"graph.windows.net", "graph.microsoft.com", "pas.windows.net"}
}

// instanceDiscovery answers whether an authority is genuine, which MSAL asks unless
// it is told not to. What it answers is about the authority that is asked for, under
// whatever name the question came.
func (c *call) instanceDiscovery(string) answer {
	text := c.r.URL.Query().Get("authorization_endpoint")
	asked, err := url.Parse(text)
	if err != nil {
		asked = new(url.URL)
	}
	base := "https://" + canonicalHost(asked.Host)
	if asked.Scheme != "https" || !c.isAuthority(base) {
		return c.refused(refuse(50049, asked.Host).beside("authority", asked.Host, strings.TrimPrefix(c.base, "https://")))
	}
	tenant, _ := splitPath(asked.Path)
	if tenant == "" {
		tenant = "common"
	}
	host := strings.TrimPrefix(base, "https://")
	preferred := strings.TrimPrefix(cloud.Custom(base).Authority(), "https://") // of one that exists
	return answer{status: http.StatusOK, body: map[string]any{
		"tenant_discovery_endpoint": base + "/" + tenant + "/" + configPathV2,
		"api-version":               "1.1",
		// What MSAL compares the issuer with.
		"metadata": []any{map[string]any{
			"preferred_network": preferred,
			"preferred_cache":   preferred,
			"aliases":           slices.Compact([]string{preferred, host}),
		}},
	}}
}

// isAuthority reports whether a base is one of this token service: the one that is
// asked, the one that the emulator listens at, and, where it is reached as one that
// exists, all of those.
func (c *call) isAuthority(base string) bool {
	return base == c.base || base == c.s.Cloud().Authority() || cloud.Custom(c.base).Known() && cloud.Custom(base).Known()
}
