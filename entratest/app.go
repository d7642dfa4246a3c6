// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apponly/apponly/internal/ident"
)

// registration is what an app and a resource have in common: both are
// registered under an app ID, and have a service principal in every tenant that
// uses them. An app that is an API as well is one registration, as at Entra.
type registration struct {
	s            *Server
	home         *Tenant // where it is registered
	appID        string
	microsoft    *microsoftAPI // nil if it is not one of Microsoft's own
	homeObjectID string        // of a managed identity: that of its service principal at home, which is the same object

	// Guarded by s.mu.
	removed      bool
	singleTenant bool
}

// claim checks that r can be registered under its app ID. The caller holds mu,
// and inserts r before letting go of it: of two who want the same ID one fails.
func (r *registration) claim() error {
	if err := checkID(r.appID); err != nil {
		return err
	}
	if r.s.apps[r.appID] != nil || r.s.resources[r.appID] != nil {
		return fmt.Errorf("app ID %q is taken", r.appID)
	}
	return r.home.exists()
}

// remove deletes the registration, with all it is and what tenants know of it.
func (r *registration) remove() {
	r.s.update(func() {
		if r.removed {
			return
		}
		r.removed = true
		for _, t := range r.s.tenants {
			t.removePrincipal(r)
		}
		if api := r.s.resources[r.appID]; api != nil && api.registration == r {
			for _, key := range api.keys {
				delete(r.s.uris, resourceURI{key, r.home})
			}
			delete(r.s.resources, r.appID)
		}
		if app := r.s.apps[r.appID]; app != nil && app.registration == r {
			delete(r.s.apps, r.appID)
		}
		src := &r.s.sources
		src.identities = slices.DeleteFunc(src.identities, func(m *ManagedIdentity) bool { return m.app.registration == r })
	})
}

// App is an app registration: a client ID and the credentials it may prove
// itself with. Any number of secrets and certificates, and up to 20 federated
// credentials, may be registered at a time.
type App struct {
	*registration

	// Guarded by s.mu.
	effectiveFrom time.Time
	secrets       []clientSecret
	certificates  []appCertificate
	federated     []federatedCredential
	redirects     []string
	requires      []requirement
	disabled      bool
	public        bool
}

// NewApp registers an app without credentials in t and installs it there.
func (t *Tenant) NewApp() *App { return must(t.newApp(ident.NewGUID(), "")) }

// NewAppID is [Tenant.NewApp] with a client ID of the caller's choice, a GUID
// but not the empty one, kept in lower case. It panics if clientID is no such
// GUID, or that of another app or resource.
func (t *Tenant) NewAppID(clientID string) *App { return must(t.newApp(clientID, "")) }

// newApp registers a managed identity if there is an object ID.
func (t *Tenant) newApp(clientID, identity string) (*App, error) {
	a := &App{
		registration: &registration{s: t.s, home: t, appID: strings.ToLower(clientID), homeObjectID: identity, singleTenant: identity != ""},
	}
	return orNil(a, t.s.try(func() error {
		if err := a.claim(); err != nil {
			return err
		}
		a.effectiveFrom = t.s.effectiveFrom()
		t.s.apps[a.appID] = a
		return t.addPrincipal(a.registration)
	}))
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
// and an app that is registered under it later starts with nothing. If it is an API as
// well ([App.Expose]), that is gone, too. A second Remove does nothing; to install a
// removed app panics.
func (a *App) Remove() { a.remove() }

// clientSecret keeps a hash, as Entra does; it also makes values of different
// lengths comparable in constant time.
type clientSecret struct {
	hash                [sha256.Size]byte
	notBefore, notAfter time.Time
	effectiveFrom       time.Time
}

// NewSecret registers and returns a random client secret, good until notAfter,
// and expired from then on (AADSTS7000222). It panics for a managed identity.
func (a *App) NewSecret(notAfter time.Time) string {
	// The form Entra gives its own: it holds a character ("~") that clients which
	// escape too much send differently.
	value := newOpaque(2) + "8Q~" + newOpaque(25)
	a.AddSecret(value, notAfter)
	return value
}

// AddSecret registers a client secret of the caller's choice, good from now on
// until notAfter, and expired from then on (AADSTS7000222). It panics for a
// managed identity.
func (a *App) AddSecret(value string, notAfter time.Time) {
	a.AddSecretDates(value, time.Time{}, notAfter)
}

// AddSecretDates registers a client secret that is good from notBefore until
// notAfter: before, it is as wrong as any (AADSTS7000215), later it has expired
// (AADSTS7000222). It panics for a managed identity.
func (a *App) AddSecretDates(value string, notBefore, notAfter time.Time) {
	panicIf(a.addSecret(value, notBefore, notAfter))
}

func (a *App) addSecret(value string, notBefore, notAfter time.Time) error {
	hash := sha256.Sum256([]byte(value))
	return a.addCredential(func(effectiveFrom time.Time) {
		a.secrets = append(a.secrets, clientSecret{hash, notBefore, notAfter, effectiveFrom})
	})
}

// addCredential refuses managed identities: only the platform can prove to be
// one.
func (a *App) addCredential(add func(effectiveFrom time.Time)) error {
	if a.homeObjectID != "" {
		return fmt.Errorf("%s is a managed identity, which has neither secrets nor certificates", a.appID)
	}
	a.s.update(func() { add(a.s.effectiveFrom()) })
	return nil
}

// RemoveSecret takes a client secret away; one that is not there is ignored.
func (a *App) RemoveSecret(value string) {
	hash := sha256.Sum256([]byte(value))
	a.s.update(func() {
		a.secrets = slices.DeleteFunc(a.secrets, func(c clientSecret) bool { return c.hash == hash })
	})
}

// appCertificate is a registered certificate.
type appCertificate struct {
	cert          *x509.Certificate
	revoked       bool
	effectiveFrom time.Time
}

// NewCertificate makes a certificate with an RSA key and registers it. One made
// right after another has another key. It panics for a managed identity.
func (a *App) NewCertificate(notBefore, notAfter time.Time) *Certificate {
	var n int
	a.s.update(func() {
		n = a.s.appKeys
		a.s.appKeys++
	})
	key := appPool.get(n)
	leaf := makeCertificate("entratest app", x509.Certificate{
		NotBefore:   notBefore,
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey, nil, key)
	a.AddCertificate(leaf)
	return &Certificate{Leaf: leaf, Key: key}
}

// AddCertificate registers a certificate made elsewhere. Entra verifies RSA
// signatures only, so a certificate with another key never matches. It panics
// for a managed identity.
func (a *App) AddCertificate(cert *x509.Certificate) { panicIf(a.addCertificate(cert)) }

func (a *App) addCertificate(cert *x509.Certificate) error {
	return a.addCredential(func(effectiveFrom time.Time) {
		a.certificates = append(a.certificates, appCertificate{cert: cert, effectiveFrom: effectiveFrom})
	})
}

// RemoveCertificate takes a certificate away; one that is not there is ignored.
func (a *App) RemoveCertificate(cert *x509.Certificate) {
	a.s.update(func() {
		a.certificates = slices.DeleteFunc(a.certificates, func(c appCertificate) bool { return c.cert.Equal(cert) })
	})
}

// RevokeCertificate makes a registered certificate a revoked one, as if its
// issuer had put it on the revocation list (AADSTS7000214); one that is not
// there is ignored.
func (a *App) RevokeCertificate(cert *x509.Certificate) {
	a.s.update(func() {
		for i := range a.certificates {
			if a.certificates[i].cert.Equal(cert) {
				a.certificates[i].revoked = true
			}
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
	effectiveFrom time.Time
}

// AddFederatedCredential makes the app accept assertions that match fc. As at
// Entra the values are not checked against anything here: what is wrong shows
// when a token is asked for. It panics where Entra would not take it: more than
// 20 for one app, an issuer and subject that the app has already with another
// audience, a value that is empty or has more than 600 characters. Adding one
// again changes nothing.
func (a *App) AddFederatedCredential(fc FederatedCredential) { panicIf(a.addFederatedCredential(fc)) }

func (a *App) addFederatedCredential(fc FederatedCredential) error {
	for _, field := range [][2]string{{"issuer", fc.Issuer}, {"subject", fc.Subject}, {"audience", fc.Audience}} {
		if n := utf8.RuneCountInString(field[1]); n == 0 || n > maxFederatedField {
			return fmt.Errorf("federated credential: %s has %d characters, want 1 to %d", field[0], n, maxFederatedField)
		}
	}
	return a.s.try(func() error {
		for _, c := range a.federated {
			switch {
			case c.FederatedCredential == fc:
				return nil
			case c.Issuer == fc.Issuer && c.Subject == fc.Subject:
				return fmt.Errorf("app %s has a federated credential with issuer %q and subject %q already", a.appID, fc.Issuer, fc.Subject)
			}
		}
		if len(a.federated) == maxFederated {
			return fmt.Errorf("app %s has %d federated credentials, Entra takes no more", a.appID, maxFederated)
		}
		a.federated = append(a.federated, federatedCredential{fc, a.s.effectiveFrom()})
		return nil
	})
}

// RemoveFederatedCredential makes the app refuse assertions that only fc matches.
func (a *App) RemoveFederatedCredential(fc FederatedCredential) {
	a.s.update(func() {
		a.federated = slices.DeleteFunc(a.federated, func(c federatedCredential) bool { return c.FederatedCredential == fc })
	})
}

// clientView is what a tenant knows of a client at one moment; of its
// credentials, those that count by then. Signatures are checked against this
// copy, without the lock.
type clientView struct {
	app           *App
	objectID      string
	public        bool
	blocked       int
	revokedBefore int64
	secrets       []clientSecret
	certificates  []appCertificate
	federated     []federatedCredential

	// The policy of its home about federation.
	noFederation bool
	issuers      []string
}

// findApp looks up the client of a request to t.
func (s *Server) findApp(t *Tenant, clientID string, now time.Time) (clientView, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if clientID == emptyGUID {
		return clientView{}, refuse(700038, clientID).beside("client_id", clientID, t.knownApps()...)
	}
	app := s.apps[strings.ToLower(clientID)]
	switch {
	case app == nil:
		return clientView{}, refuse(700016, clientID, t.id).beside("client_id", clientID, t.knownApps()...)
	case now.Before(app.effectiveFrom):
		return clientView{}, refuse(700016, clientID, t.id).beside("lifetime", instant(now), span(app.effectiveFrom, time.Time{}))
	case app.singleTenant && app.home != t:
		return clientView{}, refuse(700016, clientID, t.id).beside("tenant", t.id, app.home.label())
	}
	p := t.principals[app.registration]
	if p == nil || now.Before(p.effectiveFrom) {
		return clientView{}, refuse(7000229, app.appID, t.id).beside("client_id", app.appID, t.knownApps()...)
	}
	if app.disabled || p.disabled {
		return clientView{}, refuse(7000112, app.appID)
	}
	return clientView{
		app:           app,
		objectID:      p.objectID,
		public:        app.public,
		blocked:       p.blocked,
		revokedBefore: p.revokedBefore,
		secrets:       slices.DeleteFunc(slices.Clone(app.secrets), func(c clientSecret) bool { return now.Before(c.effectiveFrom) }),
		certificates:  slices.DeleteFunc(slices.Clone(app.certificates), func(c appCertificate) bool { return now.Before(c.effectiveFrom) }),
		federated:     slices.DeleteFunc(slices.Clone(app.federated), func(c federatedCredential) bool { return now.Before(c.effectiveFrom) }),
		noFederation:  app.home.noFederation,
		issuers:       app.home.issuers,
	}, nil
}
