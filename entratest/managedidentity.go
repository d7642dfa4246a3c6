// SPDX-License-Identifier: MIT

package entratest

import (
	"net/url"
	"strings"
	"time"
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
	t                    *Tenant
	app                  *App
	objectID, resourceID string
	header               string // what a program on the site proves itself with
}

// NewManagedIdentity makes a user-assigned managed identity in t and assigns it
// to the emulator's machine.
func (t *Tenant) NewManagedIdentity() *ManagedIdentity {
	m := &ManagedIdentity{t: t, header: newOpaque(24), app: t.newApp(newGUID(), true)}
	m.resourceID = "/subscriptions/" + newGUID() + "/resourceGroups/entratest" +
		"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + m.app.appID
	t.s.update(func() {
		m.objectID = t.principals.find(m.app.appID).objectID.String()
		t.s.sources.identities = append(t.s.sources.identities, m)
	})
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
func (m *ManagedIdentity) ObjectID() string { return m.objectID }

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
		Subject:  m.objectID,
		Audience: c.ExchangeAudience(),
	}
}

// matches says whether m is what the selectors of a query name, and whether
// there are any. The two services spell the resource ID differently.
func (m *ManagedIdentity) matches(q url.Values, resourceIDParam string) (match, selected bool) {
	match = true
	for name, id := range map[string]string{
		"client_id": m.app.appID, "object_id": m.objectID, resourceIDParam: m.resourceID,
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
func (x *exchange) identityToken(t *Tenant, clientID, resource string) (signed string, lifetime time.Duration, f *refusal) {
	x.log.ClientID, x.log.Tenant = clientID, t.id
	reg, tgt, f := x.identityTarget(t, clientID, resource)
	if f != nil {
		x.log.Code = f.code
		return "", 0, f
	}
	lifetime, _ = x.s.lifetimes(true, false)
	return x.s.sign(accessToken{
		base:     x.s.Cloud().Authority(),
		tenant:   t.id,
		clientID: reg.clientID,
		objectID: reg.objectID,
		method:   authCertificate,
		target:   tgt,
		issued:   x.now.Unix(),
		expires:  x.now.Add(lifetime).Unix(),
	}), lifetime, nil
}

// identityTarget finds the identity and what its token is for, as the token
// endpoint does for an app.
func (x *exchange) identityTarget(t *Tenant, clientID, resource string) (registration, target, *refusal) {
	switch named, f := x.s.findTokenTenant(t.id); {
	case f != nil:
		return registration{}, target{}, f
	case named != t: // which was removed, and its ID is another's now
		return registration{}, target{}, refuse(90002, t.id)
	}
	reg, f := x.s.findApp(t, clientID, x.now)
	if f != nil {
		return reg, target{}, f
	}
	switch {
	case reg.blocked != 0:
		return reg, target{}, refuse(reg.blocked)
	case resource == x.s.Cloud().ExchangeAudience():
		return reg, target{requested: resource, appID: exchangeApp, version: 2}, nil
	case isExchangeAudience(resource):
		// Handed out without a word; the exchange fails later.
		return reg, target{requested: resource, appID: resource, version: 2}, nil
	}
	tgt, f := x.s.findResource(t, reg, resource, x.now)
	return reg, tgt, f
}
