// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// Loader fills an emulator with what stands in a file. Its methods do what those
// of the same name do for a test, which panic when they are misused: a mistake in
// a file is an error instead, and leaves everything as it was. The errors have no
// prefix, so that they can follow the line they are about; where one value of several
// is wrong, its name comes first, as in "token_version is 3, want 1 or 2".
type Loader struct{ s *Server }

// Loader returns the Loader of s.
func (s *Server) Loader() Loader { return Loader{s} }

// AddTenant is [Server.AddTenantID]; an empty ID is a random one.
func (l Loader) AddTenant(id string, domains ...string) (*Tenant, error) {
	return l.s.addTenant(cmp.Or(id, ident.NewGUID()), domains)
}

// NewApp is [Tenant.NewAppID]; an empty client ID is a random one.
func (l Loader) NewApp(t *Tenant, clientID string) (*App, error) {
	return t.newApp(cmp.Or(clientID, ident.NewGUID()), "")
}

// AddSecret is [App.AddSecretDates].
func (l Loader) AddSecret(a *App, value string, notBefore, notAfter time.Time) error {
	return a.addSecret(value, notBefore, notAfter)
}

// AddCertificate is [App.AddCertificate].
func (l Loader) AddCertificate(a *App, cert *x509.Certificate) error { return a.addCertificate(cert) }

// AddCertificatePEM is AddCertificate with the first certificate of a PEM file,
// whatever keys and issuers are around it.
func (l Loader) AddCertificatePEM(a *App, file []byte) error {
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return errors.New("the file holds no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Errorf("the certificate in the file: %w", err)
			}
			return a.addCertificate(cert)
		}
	}
}

// AddFederatedCredential is [App.AddFederatedCredential].
func (l Loader) AddFederatedCredential(a *App, fc FederatedCredential) error {
	return a.addFederatedCredential(fc)
}

// AddRedirectURI is [App.AddRedirectURI].
func (l Loader) AddRedirectURI(a *App, uri string) error { return a.addRedirectURI(uri) }

// Require is [App.Require].
func (l Loader) Require(a *App, r *Resource, roles ...string) error { return a.require(r, roles) }

// NewResource is [Tenant.NewResourceID]; an empty app ID is a random one.
func (l Loader) NewResource(t *Tenant, appID, uri string, roles ...string) (*Resource, error) {
	return t.newResource(cmp.Or(appID, ident.NewGUID()), uri, roles)
}

// Expose is [App.Expose].
func (l Loader) Expose(a *App, uri string, roles ...string) (*Resource, error) {
	return a.expose(uri, roles)
}

// Microsoft is [Server.Microsoft].
func (l Loader) Microsoft(name string) (*Resource, error) { return l.s.microsoftNamed(name) }

// SetTokenVersion is [Resource.SetTokenVersion].
func (l Loader) SetTokenVersion(r *Resource, v int) error { return r.setTokenVersion(v) }

// Install is [Tenant.Install].
func (l Loader) Install(t *Tenant, a *App) error { return t.add(a.registration) }

// Provide is [Tenant.Provide].
func (l Loader) Provide(t *Tenant, r *Resource) error { return t.add(r.registration) }

// SetAssignmentRequired is [Tenant.SetAssignmentRequired].
func (l Loader) SetAssignmentRequired(t *Tenant, r *Resource, required bool) error {
	return t.setAssignmentRequired(r, required)
}

// Grant is [Resource.Grant].
func (l Loader) Grant(r *Resource, t *Tenant, a *App, roles ...string) error {
	return r.grant(t, a, roles)
}

// AddManagedIdentity is [Tenant.AddManagedIdentity].
func (l Loader) AddManagedIdentity(t *Tenant, opts ManagedIdentityOptions) (*ManagedIdentity, error) {
	return t.addManagedIdentity(opts)
}

// SetThrottle is [Server.SetThrottle].
func (l Loader) SetThrottle(t Throttle) error { return l.s.setThrottle(t) }
