// SPDX-License-Identifier: MIT

package apponly_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// A file of many certificates of the key, and many that may have issued them, takes
// no time in proportion to the product of their numbers: signatures are verified to
// tell apart issuers of one name.
func TestManyCertificates(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	make := func(n int64, subject, by string, public, private any) {
		template := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: subject}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: by}}, public, private)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.SubjectKeyId, c.AuthorityKeyId = nil, nil
		chain = append(chain, c)
	}
	for n := range int64(400) {
		make(n, "leaf", "ca", &key.PublicKey, issuer)
		make(n, "ca", "above", &issuer.PublicKey, issuer)
	}
	began := time.Now()
	_, err = apponly.New(someTenant, someTenant, apponly.Certificate(chain, key, nil), nil)
	if took := time.Since(began); took > 5*time.Second || err != nil {
		t.Errorf("took %v, %v", took, err)
	}
}
