// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody bounds what is read of a request; a form with an assertion in it is
// a few kilobytes.
const maxBody = 1 << 20

// token answers the token endpoint of a version. It checks from the outside in: the form
// of the request, the tenant, the client, its proof, and only then what it wants.
func (c *call) token(tenantName string, version int) answer {
	ans, f := c.issue(tenantName, version)
	if f != nil {
		return c.refused(f)
	}
	return ans
}

func (c *call) issue(tenantName string, version int) (answer, *refusal) {
	if c.r.Method != http.MethodPost {
		return answer{}, refuse(900561, c.r.Method).beside("method", c.r.Method, http.MethodPost)
	}
	if region := c.s.regionOf(c.base); region != "" {
		return answer{}, refuse(100007, region).beside("host", c.log.Host, strings.TrimPrefix(c.s.Cloud().Authority(), "https://"))
	}
	form, f := c.readForm("grant_type")
	if f != nil {
		return answer{}, f
	}
	proof, f := c.readProof(form)
	c.log.ClientID = proof.clientID
	c.log.AuthMethod = string(proof.method)
	c.log.Scope = askedScope(form)
	if f != nil {
		return answer{}, f
	}

	tenant, f := c.s.findTokenTenant(tenantName)
	if f != nil {
		return answer{}, f
	}
	c.log.Tenant = tenant.id
	if f := checkGrant(form, proof); f != nil {
		return answer{}, f
	}
	resource, f := resourceOf(form, version)
	if f != nil {
		return answer{}, f
	}
	wanted, f := parseClaims(form.Get("claims"))
	if f != nil {
		return answer{}, f
	}

	client, f := c.s.findApp(tenant, proof.clientID, c.now)
	if f != nil {
		return answer{}, f
	}
	if f := c.authenticate(tenant, tenantName, client, proof); f != nil {
		return answer{}, f
	}
	if client.blocked != 0 {
		return answer{}, refuse(client.blocked)
	}
	tgt, f := c.s.findResource(tenant, client, c.clouds()[0], resource, c.now)
	if f != nil {
		return answer{}, f
	}
	ans := c.grant(tenant, client, proof.method, tgt, wanted)
	if version == 1 {
		c.toVersion1(ans.body.(map[string]any), resource)
	}
	return ans, nil
}

// regionOf returns the region of a regional host of this authority, such as
// "westeurope.login…", and "" for other hosts. MSAL goes there if a region is set,
// in the code or in the environment.
func (s *Server) regionOf(base string) string {
	own := strings.TrimPrefix(s.Cloud().Authority(), "https://")
	host, secure := strings.CutPrefix(base, "https://")
	region, below := strings.CutSuffix(host, "."+own)
	if !secure || !below {
		return ""
	}
	return region
}

// readForm reads the parameters of the body. Those of the query do not count:
// a secret there would be in every log on the way (RFC 6749, section 2.3.1).
// In a body of another type Entra sees no parameters, and misses the one that is named.
func (c *call) readForm(missing string) (url.Values, *refusal) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(900144, missing).beside("Content-Type", kind, "application/x-www-form-urlencoded")
	}
	body, err := c.body()
	if err != nil {
		return nil, refuse(9002313, "the body cannot be read")
	}
	if len(body) > maxBody {
		return nil, refuse(9002313, "the body is too large")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(9002313, "the body is not a form")
	}
	twice := slices.DeleteFunc(slices.Collect(maps.Keys(form)), func(name string) bool { return len(form[name]) == 1 })
	if len(twice) > 0 {
		return nil, refuse(9002313, "parameter '"+shorten(slices.Min(twice), 40)+"' is there more than once").beside("request", "a parameter is there more than once")
	}
	return form, nil
}

func checkGrant(form url.Values, p proof) *refusal {
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return refuse(900144, "grant_type").beside("grant_type", "", "client_credentials")
	case grant != "client_credentials":
		return refuse(70003, grant).beside("grant_type", grant, "client_credentials")
	case p.clientID == "":
		return refuse(900144, "client_id").beside("client_id", "")
	}
	return nil
}

// resourceOf returns what a request wants a token for. The endpoints of the two
// versions differ in how that is said: by a scope, or by a resource, which is it itself.
// Who names no resource gets a token for Graph, of all APIs
// (https://github.com/MicrosoftDocs/azure-docs/issues/64495).
func resourceOf(form url.Values, version int) (string, *refusal) {
	switch {
	case version == 1:
		return cmp.Or(form.Get("resource"), azureADGraphID), nil
	case form.Has("resource"):
		return "", refuse(901002).beside("resource", form.Get("resource"), "scope")
	case form.Get("scope") == "":
		return "", refuse(900144, "scope").beside("scope", "", oneResource)
	}
	return parseScope(form.Get("scope"))
}

// askedScope is the scope of a request, or the one that its resource amounts to.
func askedScope(form url.Values) string {
	if resource := form.Get("resource"); resource != "" && !form.Has("scope") {
		return resource + "/.default"
	}
	return form.Get("scope")
}

// oidcScopes are what MSAL adds to every request. They mean nothing without a user,
// and Entra ignores them.
var oidcScopes = []string{"openid", "offline_access", "profile", "email"}

// oneResource is the form of an app-only scope.
const oneResource = "RESOURCE/.default"

// parseScope returns the resource that a scope names. App-only requests name one,
// and get all roles granted on it.
func parseScope(scope string) (resource string, f *refusal) {
	asked := slices.DeleteFunc(strings.Fields(scope), func(s string) bool { return slices.Contains(oidcScopes, s) })
	var all bool
	for i, s := range asked {
		// The resource is everything before the last slash: a URI that ends in a
		// slash is followed by another one.
		slash := max(strings.LastIndex(s, "/"), 0)
		if i > 0 && s[:slash] != resource {
			return "", refuse(700022, scope).beside("scope", scope, oneResource)
		}
		resource = s[:slash]
		all = all || s[slash:] == "/.default"
	}
	switch {
	case !all || resource == "":
		return "", refuse(1002012, scope).beside("scope", scope, oneResource)
	case len(asked) > 1:
		return "", refuse(70011, scope).beside("scope", scope, oneResource)
	}
	return resource, nil
}

// wantedClaims is what this emulator heeds of a claims parameter.
type wantedClaims struct {
	cp1       bool  // the client can answer claims challenges
	notBefore int64 // what an API that revokes tokens asks for, Unix seconds; 0 if nothing
}

// parseClaims reads the claims parameter (OpenID Connect Core, section 5.5).
func parseClaims(text string) (wantedClaims, *refusal) {
	var wanted wantedClaims
	if text == "" {
		return wanted, nil
	}
	sections, err := parseObject([]byte(text))
	if err != nil {
		return wanted, refuse(9002313, "the claims parameter is not a JSON object")
	}
	// A claim may be null: wanted, and no more said about it.
	var token, capabilities, notBefore jsonObject
	var values []string
	var nbf date
	if sections.read("access_token", &token) != nil ||
		token.read("xms_cc", &capabilities) != nil || capabilities.read("values", &values) != nil ||
		token.read("nbf", &notBefore) != nil || notBefore.read("value", &nbf) != nil {
		return wanted, refuse(9002313, "access_token in the claims parameter cannot be read")
	}
	if !nbf.IsZero() {
		wanted.notBefore = nbf.Unix()
	}
	wanted.cp1 = slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, "cp1") })
	return wanted, nil
}
