// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// Certificate is a self-signed certificate of an app, with its key. The key is
// from a small pool that the process shares: good for tests, worth nothing
// elsewhere.
type Certificate struct {
	Leaf *x509.Certificate
	Key  *rsa.PrivateKey
}

// PEM returns the certificate followed by its key, the form that certificate
// files of daemons usually have.
func (c *Certificate) PEM() []byte { return append(c.CertPEM(), c.KeyPEM()...) }

// CertPEM returns the certificate alone.
func (c *Certificate) CertPEM() []byte { return certPEM(c.Leaf) }

// KeyPEM returns the key alone, as PKCS #8.
func (c *Certificate) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil { // an RSA key always marshals
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TLS returns the certificate and its key as crypto/tls wants them.
func (c *Certificate) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Leaf.Raw}, PrivateKey: c.Key, Leaf: c.Leaf}
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// certSpec is what differs between the certificates this package makes.
type certSpec struct {
	name                string
	notBefore, notAfter time.Time
	isCA                bool
	usage               x509.KeyUsage
	extUsage            []x509.ExtKeyUsage
	hosts               []string
	ips                 []net.IP
}

// makeCertificate issues a certificate for public; parent is nil if it signs
// itself. Serial and subject are random, so that certificates which share a
// key still have different thumbprints.
func makeCertificate(spec certSpec, public crypto.PublicKey, parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: spec.name + " " + ident.NewGUID()},
		NotBefore:             spec.notBefore,
		NotAfter:              spec.notAfter,
		KeyUsage:              spec.usage,
		ExtKeyUsage:           spec.extUsage,
		BasicConstraintsValid: true,
		IsCA:                  spec.isCA,
		DNSNames:              spec.hosts,
		IPAddresses:           spec.ips,
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}
