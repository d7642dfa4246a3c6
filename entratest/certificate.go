// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
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

// Certificate is a self-signed certificate of an app, with its key. The key is one
// of a few that the whole process shares: good for tests and nothing else.
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

// makeCertificate issues a certificate for public; parent is nil if it signs
// itself. Serial number and subject are random, so that certificates which share
// a key still have different thumbprints.
func makeCertificate(name string, template x509.Certificate, public crypto.PublicKey, parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		panic(err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	template.Subject = pkix.Name{CommonName: name + " " + ident.NewGUID()}
	template.BasicConstraintsValid = true
	if parent == nil {
		parent = &template
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// CAPEM returns the certificate of the CA that [Server.StartTLS] uses, for a
// client that reads its roots from a file. It may be called before that.
func (s *Server) CAPEM() []byte { return certPEM(s.ca().cert) }

// certAuthority is the CA; an authority alone is where tokens are issued. Its keys
// are of an elliptic curve, which takes no time to make; only the keys of
// credentials have to be RSA.
type certAuthority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCertAuthority() *certAuthority {
	key := newECKey()
	now := time.Now()
	return &certAuthority{key, makeCertificate("entratest CA", x509.Certificate{
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.AddDate(10, 0, 0),
		IsCA:      true,
		KeyUsage:  x509.KeyUsageCertSign,
	}, &key.PublicKey, nil, key)}
}

// serverCertificate issues a certificate for this machine and for host, which may
// be another name or address.
func (a *certAuthority) serverCertificate(host string) tls.Certificate {
	return a.certificate("localhost", "127.0.0.1", "::1", host)
}

// certificate issues a certificate for names and addresses.
func (a *certAuthority) certificate(hosts ...string) tls.Certificate {
	key := newECKey()
	now := time.Now()
	template := x509.Certificate{
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf := makeCertificate("entratest server", template, &key.PublicKey, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newECKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil { // crypto/rand does not fail
		panic(err)
	}
	return key
}
