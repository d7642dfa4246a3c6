// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"
)

// CAPEM returns the certificate of the CA that [Server.StartTLS] uses, for a
// client that reads its roots from a file. It may be called before that.
func (s *Server) CAPEM() []byte { return certPEM(s.ca().cert) }

// certAuthority is the CA; an authority alone is where tokens are asked for. Its
// keys are of an elliptic curve and so made at once, without the pool; only
// credentials have to be RSA.
type certAuthority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCertAuthority() *certAuthority {
	key := newECKey()
	now := time.Now()
	return &certAuthority{key, makeCertificate(certSpec{
		name:      "entratest CA",
		notBefore: now.Add(-time.Hour),
		notAfter:  now.AddDate(10, 0, 0),
		isCA:      true,
		usage:     x509.KeyUsageCertSign,
	}, &key.PublicKey, nil, key)}
}

// serverCertificate issues a certificate for this machine, and for host, should
// that be another name or address.
func (a *certAuthority) serverCertificate(host string) tls.Certificate {
	key := newECKey()
	now := time.Now()
	spec := certSpec{
		name:      "entratest server",
		notBefore: now.Add(-time.Hour),
		notAfter:  now.AddDate(1, 0, 0),
		usage:     x509.KeyUsageDigitalSignature,
		extUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		hosts:     []string{"localhost"},
		ips:       []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		spec.ips = append(spec.ips, ip)
	} else {
		spec.hosts = append(spec.hosts, host)
	}
	leaf := makeCertificate(spec, &key.PublicKey, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func newECKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil { // the random source does not fail
		panic(err)
	}
	return key
}
