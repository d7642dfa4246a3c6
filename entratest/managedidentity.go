// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// ManagedIdentity is a managed identity. The emulator is one
// Azure machine, to which all its managed identities are assigned: its Instance
// Metadata Service answers at http://169.254.169.254 through
// [Server.HTTPClient] and [Server.StartProxy], and at the address of [Server.StartHTTP].
// Each identity also has an App Service site of its own, which is what Env describes. A
// program that names no identity gets the system-assigned one, if there is one.
//
// Tokens come as from the real services: for an API that the tenant knows, and
// for the exchange audience of the cloud, which makes the token a federated
// credential of an app ([ManagedIdentity.FederatedCredential]).
// See https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
// and https://learn.microsoft.com/azure/app-service/overview-managed-identity.
type ManagedIdentity struct {
	t          *Tenant
	app        *App
	resourceID string
	header     string // the secret of programs on the site
	system     bool
}

// ManagedIdentityOptions are what [Tenant.AddManagedIdentity] may be told. What is empty
// is made up.
type ManagedIdentityOptions struct {
	// ClientID and ObjectID are GUIDs, kept in lower case. The object ID is the subject of
	// the tokens.
	ClientID, ObjectID string
	// ResourceID is the Azure resource ID, "/subscriptions/…".
	ResourceID string
	// SystemAssigned makes it the identity of the machine itself, of which there is one.
	SystemAssigned bool
}

// NewManagedIdentity makes a user-assigned managed identity in t and assigns it
// to the emulator's machine.
func (t *Tenant) NewManagedIdentity() *ManagedIdentity {
	return t.AddManagedIdentity(ManagedIdentityOptions{})
}

// AddManagedIdentity is [Tenant.NewManagedIdentity] with IDs of one's choice, or of a
// system-assigned identity. It panics if an ID is not one or is taken, and if the machine has a
// system-assigned identity already.
func (t *Tenant) AddManagedIdentity(opts ManagedIdentityOptions) *ManagedIdentity {
	return must(t.addManagedIdentity(opts))
}

func (t *Tenant) addManagedIdentity(opts ManagedIdentityOptions) (*ManagedIdentity, error) {
	group := "/subscriptions/" + ident.NewGUID() + "/resourceGroups/entratest/providers/"
	clientID, objectID := cmp.Or(opts.ClientID, ident.NewGUID()), cmp.Or(opts.ObjectID, ident.NewGUID())
	m := &ManagedIdentity{t: t, header: newOpaque(24), system: opts.SystemAssigned}
	if m.resourceID = cmp.Or(opts.ResourceID, group+"Microsoft.ManagedIdentity/userAssignedIdentities/"+clientID); m.system {
		m.resourceID = cmp.Or(opts.ResourceID, group+"Microsoft.Compute/virtualMachines/worker")
	}
	if err := checkID(objectID); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(m.resourceID, "/subscriptions/") {
		return nil, fmt.Errorf("resource_id %q does not begin with /subscriptions/", m.resourceID)
	}
	if err := m.free(strings.ToLower(objectID)); err != nil {
		return nil, err
	}
	var err error
	if m.app, err = t.newApp(clientID, strings.ToLower(objectID)); err != nil {
		return nil, err
	}
	return m, t.s.try(func() error {
		t.s.sources.identities = append(t.s.sources.identities, m)
		return nil
	})
}

// free returns an error if another identity is what m is to be.
func (m *ManagedIdentity) free(objectID string) error {
	for _, other := range m.t.s.managedIdentities() {
		switch {
		case m.system && other.system:
			return fmt.Errorf("system_assigned cannot be true twice: the machine has such an identity, %s", other.app.appID)
		case other.app.homeObjectID == objectID, strings.EqualFold(other.resourceID, m.resourceID):
			return fmt.Errorf("the managed identity %s has the same object ID or resource ID", other.app.appID)
		}
	}
	return nil
}

// App returns the app that the identity is to Entra. It takes roles
// ([Resource.Grant]) and federated credentials, and can be disabled
// ([Tenant.SetAppDisabled]), blocked ([Tenant.Block]) and removed. It has neither
// secrets nor certificates, and methods that add some panic. Once it is removed
// the machine and the site no longer have the identity.
func (m *ManagedIdentity) App() *App { return m.app }

// ClientID returns the client ID, a GUID.
func (m *ManagedIdentity) ClientID() string { return m.app.appID }

// ObjectID returns the object ID (principal ID) of its service principal, a
// GUID: the subject of its tokens.
func (m *ManagedIdentity) ObjectID() string { return m.app.homeObjectID }

// ResourceID returns its Azure resource ID.
func (m *ManagedIdentity) ResourceID() string { return m.resourceID }

// Env returns the environment variables of a program that runs on an App
// Service site with this identity, and with the system-assigned one if there is one:
// IDENTITY_ENDPOINT and IDENTITY_HEADER. If there is none, the program has to name the
// identity, as on a real site that has user-assigned identities only. Env starts the
// emulator's plain http listener ([Server.StartHTTP]).
func (m *ManagedIdentity) Env() map[string]string {
	return map[string]string{
		"IDENTITY_ENDPOINT": m.t.s.StartHTTP() + appServicePath,
		"IDENTITY_HEADER":   m.header,
	}
}

// FederatedCredential returns what makes an app accept tokens of this identity
// as its assertions: the tenant's issuer by the present [Server.Cloud], the
// object ID, and the exchange audience.
func (m *ManagedIdentity) FederatedCredential() FederatedCredential {
	c := m.t.s.Cloud()
	issuer, _ := c.Issuer(2, m.t.id) // of a GUID it is known
	return FederatedCredential{
		Issuer:   issuer,
		Subject:  m.app.homeObjectID,
		Audience: c.ExchangeAudience(),
	}
}

func (s *Server) managedIdentities() []*ManagedIdentity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.sources.identities)
}

// matches reports whether m is what the selectors of a query name, and whether
// there are any selectors. The two services spell the resource ID differently.
func (m *ManagedIdentity) matches(q url.Values, resourceIDParam string) (match, selected bool) {
	match = true
	for name, id := range map[string]string{
		"client_id": m.app.appID, "object_id": m.app.homeObjectID, resourceIDParam: m.resourceID,
	} {
		if asked := q.Get(name); asked != "" {
			selected = true
			match = match && strings.EqualFold(asked, id)
		}
	}
	return match, selected
}

// compareIdentities records what the selectors of a query are beside.
func (c *call) compareIdentities(known []*ManagedIdentity, q url.Values, resourceIDParam string) {
	for _, by := range []struct {
		name string
		of   func(*ManagedIdentity) string
	}{
		{"client_id", (*ManagedIdentity).ClientID}, {"object_id", (*ManagedIdentity).ObjectID}, {resourceIDParam, (*ManagedIdentity).ResourceID},
	} {
		asked := q.Get(by.name)
		if asked == "" {
			continue
		}
		compared := Comparison{What: by.name, Sent: asked}
		for _, m := range known {
			id := by.of(m)
			compared.Want = append(compared.Want, id)
			compared.Matched = compared.Matched || strings.EqualFold(asked, id)
		}
		c.log.Comparisons = append(c.log.Comparisons, compared)
	}
}

// identityToken issues a token to a managed identity: for the API that resource
// names, or, if that is an exchange audience, for use as a federated assertion.
// Its issuer is Entra, not the machine that was asked.
func (c *call) identityToken(t *Tenant, clientID, resource string) (signed string, lifetime time.Duration, f *refusal) {
	c.log.ClientID, c.log.Tenant = clientID, t.id
	client, tgt, f := c.identityTarget(t, clientID, resource)
	if f != nil {
		c.note(f)
		return "", 0, f
	}
	lifetime, _ = c.s.lifetimes(true, false)
	return c.s.sign(accessToken{
		issuer:   c.issuer(t.id, tgt.version),
		tenant:   t.id,
		clientID: client.app.appID,
		objectID: client.objectID,
		method:   authCertificate,
		target:   tgt,
		issued:   c.now.Unix(),
		expires:  c.now.Add(lifetime).Unix(),
	}), lifetime, nil
}

// identityTarget finds the identity and what its token is for, as the token
// endpoint does for an app.
func (c *call) identityTarget(t *Tenant, clientID, resource string) (clientView, target, *refusal) {
	switch named, f := c.s.findTokenTenant(t.id); {
	case f != nil:
		return clientView{}, target{}, f
	case named != t: // t was removed, and another tenant has its ID now
		return clientView{}, target{}, refuse(90002, t.id)
	}
	client, f := c.s.findApp(t, clientID, c.now)
	if f != nil {
		return client, target{}, f
	}
	switch {
	case client.blocked != 0:
		return client, target{}, refuse(client.blocked)
	case resource == c.s.Cloud().ExchangeAudience():
		return client, target{requested: resource, appID: exchangeApp, version: 2}, nil
	case isExchangeAudience(resource):
		// Of another cloud: the token is handed out, and fails where it is used.
		return client, target{requested: resource, appID: resource, version: 2}, nil
	}
	tgt, f := c.s.findResource(t, client, c.clouds()[0], resource, c.now)
	return client, tgt, f
}

const (
	imdsPath    = "/metadata/identity/oauth2/token"
	imdsVersion = "2018-02-01"
)

// imds answers as the Instance Metadata Service does.
func (c *call) imds(string) answer {
	q := c.r.URL.Query()
	switch {
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", map[string]string{"error": "method not allowed"})
	case !strings.EqualFold(c.r.Header.Get("Metadata"), "true"):
		return imdsRefusal("invalid_request", "the header Metadata: true is missing")
	case len(c.r.Header.Values("X-Forwarded-For")) > 0:
		// A proxy that can be made to ask for somebody else must not get the token.
		return imdsRefusal("invalid_request", "a forwarded request is not answered")
	case q.Get("api-version") != imdsVersion:
		return answer{status: badRequest, reason: "api-version is invalid or missing, want " + imdsVersion, body: map[string]any{
			"error":           "api-version is invalid or missing",
			"newest-versions": []string{imdsVersion},
		}}
	case q.Get("resource") == "":
		return imdsRefusal("invalid_request", "the parameter resource is missing")
	}

	m, many := choose(c.s.managedIdentities(), q, "msi_res_id")
	switch {
	case many:
		return imdsRefusal("invalid_request", "several user-assigned identities: name one by client_id, object_id or msi_res_id")
	case m == nil:
		c.compareIdentities(c.s.managedIdentities(), q, "msi_res_id")
		return imdsRefusal("invalid_request", "Identity not found")
	}
	token, lifetime, f := c.identityToken(m.t, m.app.appID, q.Get("resource"))
	if f != nil {
		return imdsRefusal(f.oauth, f.description())
	}
	// Numbers are strings here, unlike at the token endpoint.
	seconds := strconv.FormatInt(int64(lifetime/time.Second), 10)
	return answer{status: http.StatusOK, body: map[string]string{
		"access_token":   token,
		"client_id":      m.app.appID,
		"expires_in":     seconds,
		"expires_on":     strconv.FormatInt(c.now.Add(lifetime).Unix(), 10),
		"ext_expires_in": seconds,
		"not_before":     strconv.FormatInt(c.now.Unix(), 10),
		"refresh_token":  "",
		"resource":       q.Get("resource"),
		"token_type":     "Bearer",
	}}
}

// choose returns the identity that a query names: if it names none, the system-assigned one,
// or the only one there is.
func choose(identities []*ManagedIdentity, q url.Values, resourceIDParam string) (chosen *ManagedIdentity, many bool) {
	for _, m := range identities {
		match, selected := m.matches(q, resourceIDParam)
		switch {
		case !match:
		case selected || m.system:
			return m, false
		case chosen != nil:
			many = true
		default:
			chosen = m
		}
	}
	return chosen, many
}

func imdsRefusal(oauth, description string) answer {
	return answer{status: badRequest, reason: description, body: map[string]string{"error": oauth, "error_description": description}}
}

const (
	appServicePath    = "/msi/token"
	appServiceVersion = "2019-08-01"
)

// appService answers as the token service beside an App Service site does.
func (c *call) appService(string) answer {
	q := c.r.URL.Query()
	site := c.s.findSite(c.r.Header.Get("X-IDENTITY-HEADER"))
	switch {
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", nil)
	case len(site) == 0:
		return c.siteRefusal(unauthorized, "the header X-IDENTITY-HEADER is not the site's IDENTITY_HEADER")
	case q.Get("api-version") != appServiceVersion:
		return c.siteRefusal(badRequest, "api-version is invalid or missing, want "+appServiceVersion)
	case q.Get("resource") == "":
		return c.siteRefusal(badRequest, "the parameter resource is missing")
	}
	if q.Get("object_id") == "" && q.Get("principal_id") != "" {
		q.Set("object_id", q.Get("principal_id"))
	}
	m, _ := choose(site, q, "mi_res_id")
	if m == nil {
		c.compareIdentities(site, q, "mi_res_id")
		return c.siteRefusal(badRequest, "the site has no such identity")
	}
	if _, selected := m.matches(q, "mi_res_id"); !selected && !m.system {
		return c.siteRefusal(badRequest, "the site has no system-assigned identity: name one by client_id, object_id or mi_res_id")
	}
	token, lifetime, f := c.identityToken(m.t, m.app.appID, q.Get("resource"))
	if f != nil {
		return c.siteRefusal(badRequest, f.description())
	}
	return answer{status: http.StatusOK, body: map[string]string{
		"access_token": token,
		"client_id":    m.app.appID,
		"expires_on":   strconv.FormatInt(c.now.Add(lifetime).Unix(), 10),
		"resource":     q.Get("resource"),
		"token_type":   "Bearer",
	}}
}

func (c *call) siteRefusal(status int, message string) answer {
	return answer{status: status, reason: message, body: map[string]any{
		"statusCode": status, "message": message, "correlationId": c.correlation,
	}}.with("X-CORRELATION-ID", c.correlation)
}

// findSite returns the identities of the site with a header: the one it is of, and the
// system-assigned one.
func (s *Server) findSite(header string) []*ManagedIdentity {
	all := s.managedIdentities()
	own := slices.IndexFunc(all, func(m *ManagedIdentity) bool { return sameSecret(m.header, header) })
	if own < 0 {
		return nil
	}
	site := all[own]
	return slices.DeleteFunc(all, func(m *ManagedIdentity) bool { return m != site && !m.system })
}
