// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
	"time"
)

// App is an app registration: a client ID and the credentials it may prove
// itself with. Any number of secrets and certificates, and up to 20 federated
// credentials, may be registered at a time.
type App struct {
	entry
	from instant

	// Guarded by s.mu; who needs them longer takes a clone.
	secrets      []clientSecret
	certificates []appCertificate
	federated    []federatedCredential
	singleTenant bool
	disabled     bool
	public       bool
	identity     bool // a managed identity
	objectID     guid // of a managed identity, once it has been installed
}

// NewApp registers an app without credentials in t and installs it there.
func (t *Tenant) NewApp() *App { return t.newApp(newGUID(), false) }

func (t *Tenant) newApp(clientID string, identity bool) *App {
	from := t.s.countsFrom()
	a := &App{entry: entry{s: t.s, home: t, appID: clientID}, from: from, identity: identity, singleTenant: identity}
	t.s.update(func() {
		t.mustExist()
		a.claim()
		t.s.apps[clientID] = a
		t.addPrincipal(&a.entry, from)
	})
	return a
}

// ClientID returns the client ID (application ID), a GUID.
func (a *App) ClientID() string { return a.appID }

// SetMultiTenant says whether tenants other than the one that the app is
// registered in may use it, which is the default. In them an app that is not
// multi-tenant is unknown (AADSTS700016), installed or not.
func (a *App) SetMultiTenant(multi bool) { a.s.update(func() { a.singleTenant = !multi }) }

// SetDisabled disables the app in all tenants, or enables it again: it gets no
// tokens (AADSTS7000112), and those it has count as revoked meanwhile.
func (a *App) SetDisabled(disabled bool) { a.s.update(func() { a.disabled = disabled }) }

// SetPublicClient makes the app one that cannot keep a secret, such as a
// desktop program, or a confidential one again, which is the default. A public
// client that sends a credential is refused with AADSTS700025.
func (a *App) SetPublicClient(public bool) { a.s.update(func() { a.public = public }) }

// Remove deletes the registration, and with it the service principals of the app
// and the roles they have: the client ID is unknown in every tenant from then on,
// and an app that is registered under it later starts with nothing. A second
// Remove does nothing; to install a removed app panics.
func (a *App) Remove() {
	a.s.update(func() {
		if a.removed {
			return
		}
		for _, t := range a.tenants() {
			t.removePrincipal(&a.entry)
		}
		delete(a.s.apps, a.appID)
		a.removed = true
		if a.identity {
			src := &a.s.sources
			src.identities = slices.DeleteFunc(src.identities, func(m *ManagedIdentity) bool { return m.app == a })
		}
	})
}

// registration is what is known about a client in a tenant at one moment; of its
// credentials, those that count by then. The signatures are checked against this
// copy, without the lock.
type registration struct {
	clientID      string
	objectID      string
	home          string // ID of the tenant it is registered in
	public        bool
	identity      bool
	blocked       int
	revokedBefore int64
	secrets       []clientSecret
	certificates  []appCertificate
	federated     []federatedCredential

	// The policy of its home about federation.
	noFederation bool
	issuers      []string
}

func (s *Server) findApp(t *Tenant, clientID string, now time.Time) (registration, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	app := s.apps[strings.ToLower(clientID)]
	if app == nil || !app.from.reached(now) || app.singleTenant && app.home != t {
		return registration{}, refuse(700016, clientID, t.id)
	}
	p := t.principals.find(app.appID)
	if p == nil || !p.from.reached(now) {
		return registration{}, refuse(7000229, app.appID, t.id)
	}
	if app.disabled || p.disabled {
		return registration{}, refuse(7000112, app.appID)
	}
	reg := registration{
		clientID:      app.appID,
		objectID:      p.objectID.String(),
		home:          app.home.id,
		public:        app.public,
		identity:      app.identity,
		blocked:       int(p.blocked),
		revokedBefore: p.revokedBefore,
		secrets:       slices.DeleteFunc(slices.Clone(app.secrets), func(c clientSecret) bool { return !c.from.reached(now) }),
		certificates:  slices.DeleteFunc(slices.Clone(app.certificates), func(c appCertificate) bool { return !c.from.reached(now) }),
		federated:     slices.DeleteFunc(slices.Clone(app.federated), func(c federatedCredential) bool { return !c.from.reached(now) }),
	}
	if policy := app.home.policy; policy != nil {
		reg.noFederation, reg.issuers = policy.noFederation, policy.issuers
	}
	return reg, nil
}
