// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	mrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

func certs(list ...*x509.Certificate) []*x509.Certificate { return list }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func certPEM(list ...*x509.Certificate) []byte {
	var b []byte
	for _, c := range list {
		b = append(b, encode("CERTIFICATE", c.Raw)...)
	}
	return b
}

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// issue makes a certificate for pub, signed by parent's key; self-signed if
// parent is nil.
func issue(t testing.TB, name string, pub crypto.PublicKey, parent *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(mrand.Int64()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A sentAssertion is a client assertion as it went out.
type sentAssertion struct {
	header struct {
		Alg     string   `json:"alg"`
		Typ     string   `json:"typ"`
		X5TS256 string   `json:"x5t#S256"`
		X5T     string   `json:"x5t"`
		X5C     []string `json:"x5c"`
	}
	claims struct {
		Aud, Iss, Sub, Jti string
		Iat, Nbf, Exp      int64
	}
}

// assertions collects what s is sent from now on.
func assertions(t testing.TB, s *sts) *[]sentAssertion {
	var sent []sentAssertion
	s.setFault(func(r *http.Request) (*http.Response, error) {
		form := formOf(r)
		if form.Has("client_secret") {
			t.Error("a secret was sent with a certificate")
		}
		var a sentAssertion
		parts := strings.Split(form.Get("client_assertion"), ".")
		if len(parts) != 3 {
			t.Fatalf("assertion has %d parts", len(parts))
		}
		for i, v := range []any{&a.header, &a.claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err == nil {
				err = json.Unmarshal(b, v)
			}
			if err != nil {
				t.Errorf("assertion: %v", err)
			}
		}
		sent = append(sent, a)
		return nil, nil
	})
	return &sent
}

func TestCertificateAssertion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		sent := assertions(t, s)
		cert := s.Certificate()
		c := s.with(t, apponly.Certificate(certs(cert.Leaf), cert.Key, nil))
		mustToken(t, c, s.API().Scope())
		time.Sleep(24 * time.Hour)
		mustToken(t, c, s.API().Scope())
		if len(*sent) != 2 {
			t.Fatalf("%d assertions for two tokens", len(*sent))
		}
		a := (*sent)[1]
		sum := sha256.Sum256(cert.Leaf.Raw)
		if want := base64.RawURLEncoding.EncodeToString(sum[:]); a.header.Alg != "PS256" || a.header.X5TS256 != want || a.header.X5T != "" || a.header.X5C != nil || a.header.Typ != "JWT" {
			t.Errorf("header = %+v, want PS256, JWT, x5t#S256 %s alone", a.header, want)
		}
		if want := s.Cloud().TokenEndpoint(s.Tenant().ID()); a.claims.Aud != want {
			t.Errorf("aud = %q, want %q", a.claims.Aud, want)
		}
		if id := s.App().ClientID(); a.claims.Iss != id || a.claims.Sub != id {
			t.Errorf("iss = %q, sub = %q, want %q", a.claims.Iss, a.claims.Sub, id)
		}
		if now := time.Now().Unix(); a.claims.Exp != now+600 || a.claims.Nbf >= now || a.claims.Iat != now {
			t.Errorf("times = %+v at %d, want 10 minutes, nbf in the past", a.claims, now)
		}
		if a.claims.Jti == "" || a.claims.Jti == (*sent)[0].claims.Jti {
			t.Errorf("jti = %q, want another for each token", a.claims.Jti)
		}
	})
}

// Bundles come in any order, and with the root, which Entra does not want.
func TestSendX5C(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key := s.Certificate().Key
		root := issue(t, "root", &ecKey().PublicKey, nil, ecKey())
		upper := issue(t, "upper", &ecKey().PublicKey, root, ecKey())
		lower := issue(t, "lower", &ecKey().PublicKey, upper, ecKey())
		leaf := issue(t, "leaf", &key.PublicKey, lower, ecKey())
		stray := issue(t, "stray", &ecKey().PublicKey, nil, ecKey())
		s.App().AddCertificate(leaf)
		var want []string
		for _, c := range certs(leaf, lower, upper) {
			want = append(want, base64.StdEncoding.EncodeToString(c.Raw))
		}
		dir := t.TempDir()
		for i, chain := range [][]*x509.Certificate{
			{leaf, lower, upper, root}, {root, upper, lower, leaf}, {upper, stray, leaf, root, lower}, {leaf, leaf, lower, upper}, {leaf, lower, upper}, {nil, lower, leaf, nil, upper},
		} {
			creds := []apponly.Credential{apponly.Certificate(chain, key, &apponly.CertificateOptions{SendX5C: true})}
			if !slices.Contains(chain, nil) {
				path := writeFile(t, filepath.Join(dir, "chain.pem"), append(certPEM(chain...), pkcs8(t, key)...))
				creds = append(creds, apponly.CertificateFile(path, &apponly.CertificateFileOptions{SendX5C: true}))
			}
			for _, cred := range creds {
				sent := assertions(t, s)
				mustToken(t, s.with(t, cred), s.API().Scope())
				if got := (*sent)[0].header.X5C; !slices.Equal(got, want) {
					t.Errorf("order %d: x5c has %d certificates, want leaf, lower, upper", i, len(got))
				}
			}
		}
		// A self-signed leaf is its own root and stays.
		self := s.Certificate()
		sent := assertions(t, s)
		mustToken(t, s.with(t, apponly.Certificate(certs(self.Leaf), self.Key, &apponly.CertificateOptions{SendX5C: true})), s.API().Scope())
		if got := (*sent)[0].header.X5C; len(got) != 1 || got[0] != base64.StdEncoding.EncodeToString(self.Leaf.Raw) {
			t.Errorf("x5c of a self-signed certificate = %d certificates, want itself", len(got))
		}
	})
}

// Options are the caller's: what they become later changes no credential.
func TestCertificateOptionsAreCopied(t *testing.T) {
	s := newSTS(t)
	cert := s.Certificate()
	opts := &apponly.CertificateOptions{}
	sign := func(_ context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
		return cert.Key.Sign(rand.Reader, digest, o)
	}
	creds := map[string]apponly.Credential{
		"Certificate":       apponly.Certificate(certs(cert.Leaf), cert.Key, opts),
		"CertificateSigner": apponly.CertificateSigner(certs(cert.Leaf), sign, opts),
		"CertificateFunc": apponly.CertificateFunc(func(context.Context) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{cert.Leaf.Raw}, PrivateKey: cert.Key}, nil
		}, opts),
	}
	opts.SendX5C = true
	for name, cred := range creds {
		sent := assertions(t, s)
		mustToken(t, s.with(t, cred), s.API().Scope())
		if got := (*sent)[0].header.X5C; got != nil {
			t.Errorf("%s: x5c has %d certificates, want none", name, len(got))
		}
	}
}

func TestCertificateRefusedByNew(t *testing.T) {
	s := newSTS(t)
	cert := s.Certificate()
	other := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		chain []*x509.Certificate
		key   crypto.Signer
		text  string
	}{
		{"no key", certs(cert.Leaf), nil, "no private key"},
		{"no certificate", nil, cert.Key, "no certificate"},
		{"nil certificate", certs(nil), cert.Key, "belongs to none"},
		{"another key", certs(cert.Leaf), other.Key, "belongs to none"},
		// Entra would answer AADSTS700027, which says nothing about the reason.
		{"EC key", certs(cert.Leaf), ecKey(), "elliptic curve"},
		{"Ed25519 key", certs(cert.Leaf), ed, "Ed25519"},
		// What a failed type assertion leaves behind.
		{"nil pointer", certs(cert.Leaf), (*rsa.PrivateKey)(nil), "nil pointer"},
		{"empty key", certs(cert.Leaf), &rsa.PrivateKey{}, "public key is nil"},
		{"short key", certs(cert.Leaf), shortKey{}, "shorter than 2048 bits"},
		{"strange key", certs(cert.Leaf), strangeKey{}, "apponly_test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := apponly.New(someTenant, someClient, apponly.Certificate(test.chain, test.key, nil), nil)
			wantKind(t, err, apponly.ErrCertificateInvalid, test.text)
		})
	}
}

type shortKey struct{ crypto.Signer }

func (shortKey) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
}

type strangeKey struct{ crypto.Signer }

func (strangeKey) Public() crypto.PublicKey { return strangeKey{} }

func TestCertificateFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		cert := s.Certificate()
		dir := t.TempDir()
		n := 0
		file := func(parts ...[]byte) string {
			n++
			return writeFile(t, filepath.Join(dir, string(rune('a'+n))+".pem"), slices.Concat(parts...))
		}
		pkcs1 := encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(cert.Key))
		text := []byte("Bag Attributes\n    friendlyName: app\nsubject=CN = app\n")
		for _, test := range []struct {
			name, path, key string
		}{
			{"PKCS#8", file(cert.CertPEM(), cert.KeyPEM()), ""},
			{"key first", file(cert.KeyPEM(), cert.CertPEM()), ""},
			{"PKCS#1", file(cert.CertPEM(), pkcs1), ""},
			{"text around", file(text, cert.CertPEM(), text, cert.KeyPEM(), text), ""},
			{"CRLF", file([]byte(strings.ReplaceAll(string(cert.PEM()), "\n", "\r\n"))), ""},
			{"other blocks", file(encode("DH PARAMETERS", []byte{1}), cert.PEM()), ""},
			{"two files", file(cert.CertPEM()), file(cert.KeyPEM())},
			{"two files, PKCS#1", file(cert.CertPEM()), file(pkcs1)},
			{"certificates in both", file(cert.CertPEM()), file(cert.PEM())},
		} {
			c := s.with(t, apponly.CertificateFile(test.path, &apponly.CertificateFileOptions{KeyFile: test.key}))
			if _, err := c.Token(t.Context(), s.API().Scope()); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

func TestCertificateFileFaults(t *testing.T) {
	s := newSTS(t)
	cert := s.Certificate()
	other := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	ec, err := x509.MarshalECPrivateKey(ecKey())
	if err != nil {
		t.Fatal(err)
	}
	ecCert := issue(t, "ec", &ecKey().PublicKey, nil, ecKey())
	dir := t.TempDir()
	n := 0
	file := func(parts ...[]byte) string {
		n++
		return writeFile(t, filepath.Join(dir, string(rune('a'+n))+".pem"), slices.Concat(parts...))
	}
	old := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x"),
	})
	for _, test := range []struct {
		name, path, key string
		text            string
	}{
		{"missing", filepath.Join(dir, "missing"), "", "missing: "},
		{"missing key file", file(cert.CertPEM()), filepath.Join(dir, "gone"), "gone: "},
		{"directory", dir, "", "is a directory"},
		{"empty", file(), "", "is empty"},
		{"huge", file(make([]byte, 1<<20+1)), "", "larger than 1 MiB"},
		{"garbage", file([]byte("garbage")), "", "neither PEM nor PKCS#12"},
		{"PKCS#12, cut short", file([]byte("\x30\x82\x04\x00")), "", "or damaged"},
		{"no key", file(cert.CertPEM()), "", "no private key"},
		{"no key in the key file", file(cert.CertPEM()), file(cert.CertPEM()), "no private key"},
		{"no certificate", file(cert.KeyPEM()), "", "no certificate"},
		{"another's key", file(cert.CertPEM(), other.KeyPEM()), "", "belongs to none of the certificates"},
		{"two keys", file(cert.PEM(), other.KeyPEM()), "", "second private key"},
		{"keys in two files", file(cert.PEM()), file(other.KeyPEM()), "second private key"},
		{"EC, SEC 1", file(certPEM(ecCert), encode("EC PRIVATE KEY", ec)), "", "elliptic curve"},
		{"EC, PKCS#8", file(certPEM(ecCert), pkcs8(t, ecKey())), "", "elliptic curve"},
		{"encrypted", file(cert.CertPEM(), encode("ENCRYPTED PRIVATE KEY", []byte("x"))), "", "private key cannot be parsed"},
		{"encrypted the old way", file(cert.CertPEM(), old), "", "RFC 1423 (AES-256-CBC) is not supported"},
		{"broken key", file(cert.CertPEM(), encode("PRIVATE KEY", []byte("x"))), "", "private key cannot be parsed"},
		{"broken certificate", file(encode("CERTIFICATE", []byte("x")), cert.KeyPEM()), "", "certificate in it cannot be parsed"},
		{"half written", file(cert.PEM()[:len(cert.PEM())-100]), "", "no private key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.with(t, apponly.CertificateFile(test.path, &apponly.CertificateFileOptions{KeyFile: test.key}))
			_, err := c.Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrCredentialUnavailable, test.text, dir)
			if text := err.Error(); strings.Count(text, "\n") != 0 || len(text) >= 600 {
				t.Errorf("not one short line: %q", text)
			}
		})
	}
	if n := s.requests(); n != 0 {
		t.Errorf("%d requests without a credential", n)
	}
}

func TestCertificateRefusedByEntra(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		with := func(cert *entratest.Certificate) *apponly.Client {
			return s.with(t, apponly.Certificate(certs(cert.Leaf), cert.Key, nil))
		}
		// Past NotAfter is not judged here: the local clock may be wrong.
		cert := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		mustToken(t, with(cert), s.API().Scope())
		time.Sleep(2 * time.Hour)
		_, err := with(cert).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCertificateExpired, "AADSTS1000502")

		unknown := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		s.App().RemoveCertificate(unknown.Leaf)
		_, err = with(unknown).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCertificateInvalid, "AADSTS700027")
	})
}

// cert-manager writes a new pair into the same files.
func TestCertificateFileRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := writeFile(t, filepath.Join(t.TempDir(), "tls.pem"), s.Certificate().PEM())
		c := s.with(t, apponly.CertificateFile(path, nil))
		mustToken(t, c, s.API().Scope())
		next := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(2400*time.Hour))
		writeFile(t, path, next.PEM())
		s.App().RemoveCertificate(s.Certificate().Leaf)
		time.Sleep(24 * time.Hour)
		mustToken(t, c, s.API().Scope())
	})
}

// A key of somebody else's type signs as the local one does: a smart card, an
// HSM, a KMS.
func TestCertificateForeignSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		sent := assertions(t, s)
		cert := s.Certificate()
		mustToken(t, s.with(t, apponly.Certificate(certs(cert.Leaf), &signer{Signer: cert.Key, do: func() error { return nil }}, nil)), s.API().Scope())
		if (*sent)[0].header.Alg != "PS256" {
			t.Errorf("alg = %s, want PS256", (*sent)[0].header.Alg)
		}
	})
}
