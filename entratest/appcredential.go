// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha1" // #nosec -- the older form of the thumbprint, still sent and accepted
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// clientSecret keeps a hash, as Entra does; it also makes values of different
// lengths comparable in constant time.
type clientSecret struct {
	hash                [sha256.Size]byte
	notBefore, notAfter time.Time
	from                instant
}

// mustHoldCredentials panics for a managed identity: only the platform can prove
// to be one.
func (a *App) mustHoldCredentials() {
	if a.identity {
		panic(fmt.Sprintf("entratest: %s is a managed identity, which has neither secrets nor certificates", a.appID))
	}
}

// NewSecret registers and returns a random client secret, good until notAfter,
// and expired from then on (AADSTS7000222). It panics for a managed identity.
func (a *App) NewSecret(notAfter time.Time) string {
	// The form Entra gives its own: it holds a character ("~") that is sent
	// differently by those who escape too much.
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
	a.mustHoldCredentials()
	secret := clientSecret{sha256.Sum256([]byte(value)), notBefore, notAfter, a.s.countsFrom()}
	a.s.update(func() { a.secrets = append(a.secrets, secret) })
}

// RemoveSecret takes a client secret away; one that is not there is ignored.
func (a *App) RemoveSecret(value string) {
	hash := sha256.Sum256([]byte(value))
	a.s.update(func() {
		a.secrets = slices.DeleteFunc(a.secrets, func(c clientSecret) bool { return c.hash == hash })
	})
}

// appCertificate is a registered certificate with the thumbprints it is found by.
type appCertificate struct {
	cert    *x509.Certificate
	sha1    [sha1.Size]byte
	sha256  [sha256.Size]byte
	from    instant
	revoked bool
}

// NewCertificate makes a certificate with an RSA key and registers it. One made
// right after another has another key. It panics for a managed identity.
func (a *App) NewCertificate(notBefore, notAfter time.Time) *Certificate {
	a.mustHoldCredentials()
	var n int
	a.s.update(func() {
		n = a.s.appKeys
		a.s.appKeys++
	})
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
// signatures only, so a certificate with another key never matches. It panics
// for a managed identity.
func (a *App) AddCertificate(cert *x509.Certificate) {
	a.mustHoldCredentials()
	c := appCertificate{cert, sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw), a.s.countsFrom(), false}
	a.s.update(func() { a.certificates = append(a.certificates, c) })
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
