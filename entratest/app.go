// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// App is an app registration: a client ID and the credentials it may prove
// itself with. Any number of each kind may be registered at a time.
type App struct {
	s        *Server
	clientID string

	// Guarded by s.mu; who needs them longer takes a clone.
	secrets      []clientSecret
	certificates []*x509.Certificate
	federated    []FederatedCredential
}

// clientSecret keeps a hash, as Entra does; it also makes values of different
// lengths comparable in constant time.
type clientSecret struct {
	hash     [sha256.Size]byte
	notAfter time.Time
}

// FederatedCredential makes an app accept assertions of an outside issuer that
// carry exactly this issuer, subject and audience: letter case and a trailing
// slash matter.
type FederatedCredential struct {
	Issuer, Subject, Audience string
}

// NewApp registers an app without credentials in t and installs it there.
func (t *Tenant) NewApp() *App {
	a := &App{s: t.s, clientID: newGUID()}
	t.s.mu.Lock()
	t.s.apps[a.clientID] = a
	t.s.mu.Unlock()
	t.Install(a)
	return a
}

// ClientID returns the client ID (application ID), a GUID.
func (a *App) ClientID() string { return a.clientID }

// NewSecret registers and returns a random client secret.
func (a *App) NewSecret(notAfter time.Time) string {
	// The form Entra gives its own: it holds a character ("~") that is sent
	// differently by those who escape too much.
	value := newOpaque(2) + "8Q~" + newOpaque(25)
	a.AddSecret(value, notAfter)
	return value
}

// AddSecret registers a client secret of the caller's choice.
func (a *App) AddSecret(value string, notAfter time.Time) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.secrets = append(a.secrets, clientSecret{sha256.Sum256([]byte(value)), notAfter})
}

// RemoveSecret takes a client secret away; one that is not there is ignored.
func (a *App) RemoveSecret(value string) {
	hash := sha256.Sum256([]byte(value))
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.secrets = slices.DeleteFunc(a.secrets, func(c clientSecret) bool { return c.hash == hash })
}

// NewCertificate makes a certificate with an RSA key and registers it. One made
// right after another has another key.
func (a *App) NewCertificate(notBefore, notAfter time.Time) *Certificate {
	a.s.mu.Lock()
	n := a.s.appKeys
	a.s.appKeys++
	a.s.mu.Unlock()

	key := appPool.get(n)
	leaf := makeCertificate(certSpec{
		name:      "entratest app",
		notBefore: notBefore,
		notAfter:  notAfter,
		usage:     x509.KeyUsageDigitalSignature,
		extUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey, nil, key)
	a.AddCertificate(leaf)
	return &Certificate{Leaf: leaf, Key: key}
}

// AddCertificate registers a certificate made elsewhere. Entra verifies RSA
// signatures only, so a certificate with another key never matches.
func (a *App) AddCertificate(cert *x509.Certificate) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.certificates = append(a.certificates, cert)
}

// RemoveCertificate takes a certificate away; one that is not there is ignored.
func (a *App) RemoveCertificate(cert *x509.Certificate) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.certificates = slices.DeleteFunc(a.certificates, cert.Equal)
}

// AddFederatedCredential makes the app accept assertions that match fc. As at
// Entra nothing is checked here; what is wrong shows when a token is asked for.
func (a *App) AddFederatedCredential(fc FederatedCredential) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.federated = append(a.federated, fc)
}

// RemoveFederatedCredential makes the app refuse assertions that only fc matches.
func (a *App) RemoveFederatedCredential(fc FederatedCredential) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.federated = slices.DeleteFunc(a.federated, func(c FederatedCredential) bool { return c == fc })
}

// registration is what is known about a client in a tenant at one moment. The
// signatures are checked against this copy, without the lock.
type registration struct {
	app          *App
	clientID     string
	principal    string
	secrets      []clientSecret
	certificates []*x509.Certificate
	federated    []FederatedCredential
}

func (s *Server) findApp(t *Tenant, clientID string) (registration, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	app := s.apps[strings.ToLower(clientID)]
	if app == nil {
		return registration{}, refuse(700016, clientID, t.id)
	}
	principal := t.principals[app.clientID]
	if principal == "" {
		return registration{}, refuse(7000229, app.clientID, t.id)
	}
	return registration{
		app:          app,
		clientID:     app.clientID,
		principal:    principal,
		secrets:      slices.Clone(app.secrets),
		certificates: slices.Clone(app.certificates),
		federated:    slices.Clone(app.federated),
	}, nil
}
