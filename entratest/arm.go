// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
)

// SetResourceManager serves the few routes of Azure Resource Manager that "az login" and
// Terraform begin with, or stops that, which is the default: /metadata/endpoints, for
// everybody, and with a token for Azure Resource Manager ([Server.Microsoft]) /tenants,
// /subscriptions, and below a subscription its providers and resource groups, of which there
// are none. They are at any host that leads to the emulator, management.azure.com and its
// siblings among them ([Server.StartProxy]).
// A caller sees its own tenant, and the one subscription of that: [Tenant.SubscriptionID].
func (s *Server) SetResourceManager(on bool) { s.update(func() { s.arm = on }) }

// SubscriptionID returns the ID of the Azure subscription of t, which follows from the ID
// of t.
func (t *Tenant) SubscriptionID() string { return otherID(t.id) }

// otherID turns the ID of a tenant into that of its subscription, and back: nothing is
// kept of a million subscriptions.
func otherID(id string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 {
		return ""
	}
	for i := range b {
		b[i] ^= 0x05 // not in the bits that say how a GUID was made
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

const (
	tenantsPath       = "/tenants"
	subscriptionsPath = "/subscriptions"
)

// isResourceManager reports whether a path that nothing else is served at is asked for
// at a host of Azure Resource Manager.
func (c *call) isResourceManager() bool {
	return slices.Contains(armHosts, strings.TrimPrefix(c.base, "https://")) && c.s.servesResourceManager()
}

func (s *Server) servesResourceManager() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.arm
}

// armOff returns the answer where it is not served.
func (c *call) armOff() (answer, bool) {
	return answer{status: http.StatusNotFound, reason: "Azure Resource Manager is not served: see SetResourceManager, and arm in a configuration"},
		!c.s.servesResourceManager()
}

// resourceManagement answers as Azure Resource Manager does.
func (c *call) resourceManagement(string) answer {
	if ans, off := c.armOff(); off {
		return ans
	}
	t, refused := c.armCaller()
	if refused.status != 0 {
		return refused
	}
	if ans, wrong := c.armVersion(); wrong {
		return ans
	}
	path := strings.TrimSuffix(c.r.URL.Path, "/")
	below, ofSubscription := strings.CutPrefix(path, subscriptionsPath+"/")
	switch {
	case path == tenantsPath:
		return armList(t.armTenant())
	case path == subscriptionsPath:
		return armList(t.armSubscription())
	case ofSubscription:
		id, what, _ := strings.Cut(below, "/")
		return c.armSubscription(t, id, strings.ToLower(what))
	}
	return armRefusal(http.StatusNotFound, "NotFound", "nothing is served here by the emulator")
}

// armCaller returns the tenant of the caller, or the answer to one that has none.
func (c *call) armCaller() (*Tenant, answer) {
	token := bearerToken(c.r)
	if token == "" {
		return nil, c.armChallenge("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	var claims accessClaims
	_, _, err := jwt.NewParser().ParseUnverified(token, &claims) // who it is from is checked below
	api := c.s.resourceManager()
	denied := api.check(token, "")
	switch {
	case denied == nil:
		t, f := c.s.findOpenTenant(claims.Tenant)
		if f != nil {
			return nil, c.armChallenge("InvalidAuthenticationToken", "The tenant of the access token is not available.")
		}
		c.log.Tenant = t.id
		return t, answer{}
	case err == nil && claims.ExpiresAt != nil && c.now.After(claims.ExpiresAt.Add(apiLeeway)):
		return nil, c.armChallenge("ExpiredAuthenticationToken", fmt.Sprintf("The access token expiry UTC time '%s' is earlier than current UTC time '%s'.", armTime(claims.ExpiresAt.Time), armTime(c.now)))
	case err == nil && len(claims.Audience) == 1 && !api.isAudience(claims.Audience[0], claims.Version):
		return nil, c.armChallenge("InvalidAuthenticationTokenAudience", fmt.Sprintf("The access token has been obtained for wrong audience or resource '%s'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.azure.com/'.", shorten(claims.Audience[0], maxRecorded)))
	}
	return nil, c.armChallenge("InvalidAuthenticationToken", "The access token is invalid.")
}

func armTime(t time.Time) string { return t.UTC().Format("1/2/2006 3:04:05 PM") }

// resourceManager is the API of that: Microsoft's, or the one that somebody has
// registered in its place.
func (s *Server) resourceManager() *Resource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.resources[resourceManager]; r != nil {
		return r
	}
	return s.microsoft[slices.IndexFunc(s.microsoft, func(r *Resource) bool { return r.appID == resourceManager })]
}

// apiVersion is the form of an api-version.
var apiVersion = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-[A-Za-z]+)?$`)

func (c *call) armVersion() (answer, bool) {
	switch v := c.r.URL.Query().Get("api-version"); {
	case v == "":
		return armRefusal(badRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."), true
	case !apiVersion.MatchString(v):
		return armRefusal(badRequest, "InvalidApiVersionParameter", "The api-version '"+shorten(v, 40)+"' is invalid."), true
	}
	return answer{}, false
}

// armSubscription answers for a subscription and what is below it.
func (c *call) armSubscription(t *Tenant, id, what string) answer {
	if !ident.IsGUID(id) {
		return armRefusal(badRequest, "InvalidSubscriptionId", "The provided subscription identifier '"+shorten(id, 40)+"' is malformed or invalid.")
	}
	if other := c.s.subscriber(id); other == nil {
		return armRefusal(http.StatusNotFound, "SubscriptionNotFound", "The subscription '"+id+"' could not be found.")
	} else if other != t {
		return c.armChallenge("InvalidAuthenticationTokenTenant", fmt.Sprintf("The access token is from the wrong issuer '%s'. It must match the tenant '%s' associated with this subscription.",
			c.armIssuer(t), c.armIssuer(other)))
	}
	switch what {
	case "":
		return answer{status: http.StatusOK, body: t.armSubscription()}
	case "providers", "resourcegroups", "locations", "resources":
		return armList()
	}
	return armRefusal(http.StatusNotFound, "NotFound", "nothing is served here by the emulator")
}

// armCloud is the cloud whose Resource Manager is asked.
func (c *call) armCloud() cloud.Cloud {
	if i := slices.Index(armHosts, strings.TrimPrefix(c.base, "https://")); i >= 0 {
		return []cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China}[i]
	}
	return c.s.Cloud()
}

func (c *call) armIssuer(t *Tenant) string {
	issuer, _ := c.armCloud().Issuer(1, t.id)
	return issuer
}

// subscriber is the tenant that a subscription belongs to, nil if there is none.
func (s *Server) subscriber(id string) *Tenant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tenants[otherID(strings.ToLower(id))]
}

func (t *Tenant) armTenant() map[string]any {
	t.s.mu.RLock()
	defer t.s.mu.RUnlock()
	domains := append([]string{}, t.domains...)
	tenant := map[string]any{
		"id": tenantsPath + "/" + t.id, "tenantId": t.id, "countryCode": "US", "displayName": "Emulated",
		"domains": domains, "tenantCategory": "Home", "tenantType": "AAD",
	}
	if len(domains) > 0 {
		tenant["defaultDomain"] = domains[0]
	}
	return tenant
}

func (t *Tenant) armSubscription() map[string]any {
	id := t.SubscriptionID()
	return map[string]any{
		"id": subscriptionsPath + "/" + id, "subscriptionId": id, "tenantId": t.id, "displayName": "Emulated",
		"state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": map[string]string{
			"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
		},
	}
}

func armList(items ...any) answer {
	return answer{status: http.StatusOK, body: map[string]any{
		"value": append([]any{}, items...), "count": map[string]any{"type": "Total", "value": len(items)},
	}}
}

func armRefusal(status int, code, message string) answer {
	return answer{status: status, body: map[string]any{"error": map[string]string{"code": code, "message": message}}}
}

// armChallenge also says where a token is to be had; of a subscription, for which tenant:
// clients find out that by it.
func (c *call) armChallenge(code, message string) answer {
	authority := c.armCloud().Authority() + "/"
	id, _, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, subscriptionsPath+"/"), "/")
	if t := c.s.subscriber(id); t != nil {
		authority += t.id
	}
	return armRefusal(unauthorized, code, message).with("WWW-Authenticate",
		`Bearer authorization_uri="`+authority+`", error="invalid_token", error_description="`+code+`"`)
}
