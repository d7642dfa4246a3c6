// SPDX-License-Identifier: MIT

package apponly_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"software.sslmate.com/src/go-pkcs12"
)

// corpusPassword opens the files of corpus.
const corpusPassword = "corpus-password"

func corpus(name string) string { return filepath.Join("internal", "keyfile", "testdata", name) }

func readCorpus(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(corpus(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func corpusCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(readCorpus(t, name))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Certificate and key come from one file or from two. What a file may hold is
// tested in internal/keyfile.
func TestCertificateFiles(t *testing.T) {
	const (
		pw      = corpusPassword
		toPKCS8 = " is not supported; convert with: openssl pkcs8 -topk8 -in OLD -out NEW"
		toPEM   = " is not supported; convert with: openssl pkcs12 -in OLD -out NEW.pem"
		missing = "it is encrypted and no password was given (Password, PasswordFile, AZURE_CLIENT_CERTIFICATE_PASSWORD)"
	)
	s := newSTS(t)
	leaf := corpusCert(t, "cert.pem")
	s.App().AddCertificate(leaf)
	own := readCorpus(t, "keytool-own.p12")
	_, ownLeaf, _, err := pkcs12.DecodeChain(own, pw)
	if err != nil {
		t.Fatal(err)
	}
	s.App().AddCertificate(ownLeaf)

	for _, test := range []struct {
		name, key string
		password  string
		text      string // of the refusal; "": it is loaded
	}{
		{"cert.pem", "pkcs8.pem", "", ""},
		{"cert.pem", "pkcs8.pem", "not needed", ""},
		{"cert.pem", "pkcs1.pem", "", ""},
		{"shuffled.pem", "", "", ""},
		{"cert.pem", "", "", "no private key in it"},
		{"pkcs8.pem", "", "", "no certificate"},
		{"intermediate.pem", "pkcs8.pem", "", "belongs to none of the certificates"},
		{"shuffled.pem", "pkcs8.pem", "", ""},   // the same key twice
		{"cert.pem", "keytool-own.p12", pw, ""}, // which has a certificate for its key
		{"keytool-own.p12", "pkcs8.pem", pw, "a second private key"},

		{"cert.pem", "pbes2-aes256-sha256.pem", pw, ""},
		{"cert.pem", "pbes2-aes256-sha256.pem", "another", "wrong password"},
		{"cert.pem", "pbes2-aes256-sha256.pem", "", missing},
		{"cert.pem", "pbes2-camellia.pem", pw, ": Camellia-256-CBC" + toPKCS8},
		{"cert.pem", "dek-info.pem", pw, ": encryption by RFC 1423 (AES-256-CBC)" + toPKCS8},

		{"openssl3-chain.p12", "", pw, ""},
		{"openssl3-chain.p12", "", "another", "wrong password"},
		{"openssl3-chain.p12", "", "", missing},
		{"openssl3-chain.p12", "pkcs8.pem", pw, ""},
		{"cert.pem", "openssl3-chain.p12", pw, ""},
		{"keytool-own.p12", "", pw, ""},
		{"java-sha384.p12", "", pw, ""},
		{"refused-rc4.p12", "", pw, ": PBE-SHA1-RC4-128" + toPEM + " -legacy"},
		{"refused.jks", "", pw, "a Java keystore (JKS or JCEKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12"},

		{"cert.pem", "ec-pkcs8.pem", "", "an elliptic curve key"},
		{"ec.p12", "", pw, "an elliptic curve key"},
	} {
		t.Run(strings.Join([]string{test.name, test.key, test.password}, ","), func(t *testing.T) {
			opts := &apponly.CertificateFileOptions{Password: test.password}
			if test.key != "" {
				opts.KeyFile = corpus(test.key)
			}
			before := s.requests()
			_, err := s.with(t, apponly.CertificateFile(corpus(test.name), opts)).Token(t.Context(), s.API().Scope())
			if test.text == "" {
				if err != nil || s.requests() != before+1 {
					t.Errorf("refused after %d requests: %v", s.requests()-before, err)
				}
				return
			}
			wantKind(t, err, apponly.ErrCredentialUnavailable, test.text, "testdata")
			if err != nil && (strings.Contains(err.Error(), "\n") || test.password != "" && strings.Contains(err.Error(), test.password)) {
				t.Errorf("more than one line, or the password: %q", err)
			}
			if s.requests() != before {
				t.Error("a request was sent")
			}
		})
	}
}

// The chain goes out leaf first and without its root, whatever order a tool
// wrote it in.
func TestKeyFileSendX5C(t *testing.T) {
	s := newSTS(t)
	leaf := corpusCert(t, "cert.pem")
	s.App().AddCertificate(leaf)
	var want []string
	for _, c := range certs(leaf, corpusCert(t, "intermediate.pem")) {
		want = append(want, base64.StdEncoding.EncodeToString(c.Raw))
	}
	for _, name := range []string{"shuffled.pem", "openssl3-chain.p12", "keytool.p12"} {
		sent := assertions(t, s)
		mustToken(t, s.with(t, apponly.CertificateFile(corpus(name), &apponly.CertificateFileOptions{Password: corpusPassword, SendX5C: true})), s.API().Scope())
		if got := (*sent)[0].header.X5C; !slices.Equal(got, want) {
			t.Errorf("%s: x5c has %d certificates, want leaf and intermediate", name, len(got))
		}
	}
}

func TestCertificatePasswordOptions(t *testing.T) {
	s := newSTS(t)
	_, err := apponly.New(someTenant, someClient, apponly.CertificateFile("", &apponly.CertificateFileOptions{Password: "a", PasswordFile: "b"}), nil)
	wantKind(t, err, apponly.ErrCredentialMissing, "path of the certificate file is empty", "both Password and PasswordFile are set")

	// The same password, the same credential; nothing else is told from it.
	o := s.options()
	s.App().AddCertificate(corpusCert(t, "cert.pem"))
	token := func(opts apponly.CertificateFileOptions) {
		t.Helper()
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.CertificateFile(corpus("openssl3-no-encryption.p12"), &opts), o)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
	}
	for i, opts := range []apponly.CertificateFileOptions{{}, {Password: "one"}, {Password: "two"}, {PasswordFile: corpus("password.txt")}} {
		token(opts)
		token(opts)
		if got := s.requests(); got != i+1 {
			t.Errorf("%d requests for %d credentials", got, i+1)
		}
	}

	cred := apponly.CertificateFile(corpus("openssl3-chain.p12"), &apponly.CertificateFileOptions{Password: canarySecret})
	secrets := canaries{canarySecret}
	secrets.checkPrinted(t, "CertificateFile", cred)
	secrets.checkPrinted(t, "a struct with a CertificateFile", struct{ cred apponly.Credential }{cred})
	secrets.walk(t, "CertificateFile", cred)
	_, err = s.with(t, cred).Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrCredentialUnavailable, "wrong password")
	secrets.checkError(t, "wrong password", err)
}

// File and password are renewed together, and not at the same instant.
func TestCertificatePasswordFileRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		dir := t.TempDir()
		path, passwordPath := filepath.Join(dir, "app.p12"), filepath.Join(dir, "password")
		write := func(password string) *x509.Certificate {
			next := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().Add(2400*time.Hour))
			b, err := pkcs12.Modern.Encode(next.Key, next.Leaf, nil, password)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, b)
			return next.Leaf
		}
		c := s.with(t, apponly.CertificateFile(path, &apponly.CertificateFileOptions{PasswordFile: passwordPath}))
		first := write("first")
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCredentialUnavailable, passwordPath)
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error = %v, is not os.ErrNotExist", err)
		}
		// A failure is remembered until one of the files changes.
		time.Sleep(1001 * time.Millisecond)
		writeFile(t, passwordPath, []byte("first\r\n"))
		mustToken(t, c, s.API().Scope())
		write("second")
		time.Sleep(24 * time.Hour)
		mustToken(t, c, s.API().Scope()) // what worked goes on working
		s.App().RemoveCertificate(first)
		time.Sleep(24 * time.Hour)
		_, err = c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCertificateInvalid)
		time.Sleep(1001 * time.Millisecond)
		writeFile(t, passwordPath, []byte("second"))
		mustToken(t, c, s.API().Scope())
	})
}
