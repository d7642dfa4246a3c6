// SPDX-License-Identifier: MIT

package entratest

import (
	"net/url"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// ManagedIdentity is a user-assigned managed identity. The emulator is one
// Azure machine, to which all its managed identities are assigned: its Instance
// Metadata Service answers at http://169.254.169.254 through
// [Server.HTTPClient], and at the address of [Server.StartHTTP]. Each identity
// also has an App Service site of its own, which is what Env describes.
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
	header     string // what a program on the site proves itself with
}

// NewManagedIdentity makes a user-assigned managed identity in t and assigns it
// to the emulator's machine.
func (t *Tenant) NewManagedIdentity() *ManagedIdentity {
	m := &ManagedIdentity{t: t, header: newOpaque(24), app: must(t.newApp(ident.NewGUID(), ident.NewGUID()))}
	m.resourceID = "/subscriptions/" + ident.NewGUID() + "/resourceGroups/entratest" +
		"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + m.app.appID
	t.s.update(func() { t.s.sources.identities = append(t.s.sources.identities, m) })
	return m
}

// App returns the app that the identity is to Entra: what takes roles
// ([Resource.Grant]) and federated credentials, and what can be disabled
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
// Service site with this identity: IDENTITY_ENDPOINT and IDENTITY_HEADER. As on
// a real site that has user-assigned identities only, the program has to name
// the identity. Env starts the emulator's plain http listener
// ([Server.StartHTTP]).
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
	return FederatedCredential{
		Issuer:   issuerOf(c.Authority(), m.t.id, 2),
		Subject:  m.app.homeObjectID,
		Audience: c.ExchangeAudience(),
	}
}

// matches says whether m is what the selectors of a query name, and whether
// there are any. The two services spell the resource ID differently.
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

// identityToken issues a token to a managed identity, for the API that resource
// names, or to be used as a federated assertion if resource is an exchange
// audience. The issuer is Entra, not the machine that was asked.
func (c *call) identityToken(t *Tenant, clientID, resource string) (signed string, lifetime time.Duration, f *refusal) {
	c.log.ClientID, c.log.Tenant = clientID, t.id
	client, tgt, f := c.identityTarget(t, clientID, resource)
	if f != nil {
		c.log.Code = f.code
		return "", 0, f
	}
	lifetime, _ = c.s.lifetimes(true, false)
	return c.s.sign(accessToken{
		base:     c.s.Cloud().Authority(),
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
	case named != t: // which was removed, and its ID is another's now
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
		// Handed out without a word; the exchange fails later.
		return client, target{requested: resource, appID: resource, version: 2}, nil
	}
	tgt, f := c.s.findResource(t, client, resource, c.now)
	return client, tgt, f
}
