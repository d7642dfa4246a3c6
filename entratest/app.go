// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
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

// The limits of federated credentials
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).
const (
	maxFederated      = 20
	maxFederatedField = 600
)

// FederatedCredential makes an app accept assertions of an outside issuer that
// carry exactly this issuer, subject and audience: letter case and a trailing
// slash matter. The issuer may also be the app's own tenant, authority and
// "/v2.0", and the subject the object ID of a managed identity there.
type FederatedCredential struct {
	Issuer, Subject, Audience string
}

// federatedCredential is one that is registered.
type federatedCredential struct {
	FederatedCredential
	from instant
}

// AddFederatedCredential makes the app accept assertions that match fc. As at
// Entra the values are not checked against anything here: what is wrong shows
// when a token is asked for. It panics where Entra would not take it: more than
// 20 for one app, an issuer and subject that the app has already with another
// audience, a value that is empty or has more than 600 characters. Adding one
// again changes nothing.
func (a *App) AddFederatedCredential(fc FederatedCredential) {
	for _, field := range [][2]string{{"issuer", fc.Issuer}, {"subject", fc.Subject}, {"audience", fc.Audience}} {
		if n := utf8.RuneCountInString(field[1]); n == 0 || n > maxFederatedField {
			panic(fmt.Sprintf("entratest: the %s of the federated credential has %d characters, want 1 to %d", field[0], n, maxFederatedField))
		}
	}
	from := a.s.countsFrom()
	a.s.update(func() {
		if slices.ContainsFunc(a.federated, func(c federatedCredential) bool { return c.FederatedCredential == fc }) {
			return
		}
		if len(a.federated) == maxFederated {
			panic(fmt.Sprintf("entratest: app %s has %d federated credentials, no more are possible", a.appID, maxFederated))
		}
		if slices.ContainsFunc(a.federated, func(c federatedCredential) bool { return c.Issuer == fc.Issuer && c.Subject == fc.Subject }) {
			panic(fmt.Sprintf("entratest: app %s has a federated credential with issuer %q and subject %q already", a.appID, fc.Issuer, fc.Subject))
		}
		a.federated = append(a.federated, federatedCredential{fc, from})
	})
}

// RemoveFederatedCredential makes the app refuse assertions that only fc matches.
func (a *App) RemoveFederatedCredential(fc FederatedCredential) {
	a.s.update(func() {
		a.federated = slices.DeleteFunc(a.federated, func(c federatedCredential) bool { return c.FederatedCredential == fc })
	})
}

// registration is what is known about a client in a tenant at one moment; of its
// credentials, those that count by then. The signatures are checked against this
// copy, without the lock.
type registration struct {
	clientID     string
	objectID     string
	home         string // ID of the tenant it is registered in
	public       bool
	identity     bool
	blocked      int
	revoked      int64
	secrets      []clientSecret
	certificates []appCertificate
	federated    []federatedCredential

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
		clientID:     app.appID,
		objectID:     p.objectID.String(),
		home:         app.home.id,
		public:       app.public,
		identity:     app.identity,
		blocked:      int(p.blocked),
		revoked:      p.revoked,
		secrets:      slices.DeleteFunc(slices.Clone(app.secrets), func(c clientSecret) bool { return !c.from.reached(now) }),
		certificates: slices.DeleteFunc(slices.Clone(app.certificates), func(c appCertificate) bool { return !c.from.reached(now) }),
		federated:    slices.DeleteFunc(slices.Clone(app.federated), func(c federatedCredential) bool { return !c.from.reached(now) }),
	}
	if policy := app.home.policy; policy != nil {
		reg.noFederation, reg.issuers = policy.noFederation, policy.issuers
	}
	return reg, nil
}
