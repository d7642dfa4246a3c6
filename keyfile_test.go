// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
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

// The passwords of the corpus.
const (
	corpusPassword  = "corpus-password"
	unicodePassword = "pässwörd-Ω-密码"
)

func corpus(name string) string { return filepath.Join("testdata", "keys", name) }

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

// What the tools of the trade write, loaded or refused. Every file of the corpus
// has a row.
func TestKeyFiles(t *testing.T) {
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

	seen := map[string]bool{"make.sh": true, "README.md": true, "password.txt": true}
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
		{"shuffled.pem", "pkcs8.pem", "", "a second private key"},
		{"cert.pem", "keytool-own.p12", pw, ""}, // which has a certificate for its key
		{"keytool-own.p12", "pkcs8.pem", pw, "a second private key"},

		{"cert.pem", "pbes2-aes128-sha1.pem", pw, ""},
		{"cert.pem", "pbes2-aes192-sha224.pem", pw, ""},
		{"cert.pem", "pbes2-aes256-sha256.pem", pw, ""},
		{"cert.pem", "pbes2-aes256-sha384.pem", pw, ""},
		{"cert.pem", "pbes2-aes256-sha512.pem", pw, ""},
		{"cert.pem", "pbes2-des3-sha256.pem", pw, ""},
		{"cert.pem", "pbes2-aes256-scrypt.pem", pw, ""},
		{"cert.pem", "pbes2-empty-password.pem", "", ""},
		{"cert.pem", "pbes2-empty-password.pem", pw, "wrong password"},
		{"cert.pem", "pbes2-aes256-sha256.pem", "another", "wrong password"},
		{"cert.pem", "pbes2-aes256-sha256.pem", "", missing},
		{"cert.pem", "pbes2-aes256-scrypt.pem", "another", "wrong password"},
		{"cert.pem", "pbes2-camellia.pem", pw, ": Camellia-256-CBC" + toPKCS8},
		{"cert.pem", "pbes2-rc2.pem", pw, "RC2-CBC" + toPKCS8 + " -provider legacy"},
		{"cert.pem", "pbes1-md5-des.pem", pw, "PBE-MD5-DES" + toPKCS8 + " -provider legacy"},
		{"cert.pem", "pkcs12-des3.pem", pw, "PBE-SHA1-3DES" + toPKCS8},
		{"cert.pem", "pbes2-many-iterations.pem", pw, "more than 10000000 iterations" + toPKCS8},
		{"cert.pem", "pbes2-scrypt-much.pem", pw, "scrypt with N·r·p above 524288" + toPKCS8},
		{"cert.pem", "dek-info.pem", pw, ": encryption by RFC 1423 (AES-256-CBC)" + toPKCS8},

		{"openssl3-chain.p12", "", pw, ""},
		{"openssl3-chain.p12", "", "another", "wrong password"},
		{"openssl3-chain.p12", "", "", missing},
		{"openssl3-chain.p12", "pkcs8.pem", pw, "a second private key"},
		{"cert.pem", "openssl3-chain.p12", pw, ""},
		{"openssl3-empty-password.p12", "", "", ""},
		{"openssl3-empty-password.p12", "", pw, "wrong password"},
		{"openssl3-no-encryption.p12", "", "", ""},
		{"openssl3-no-encryption.p12", "", "not needed", ""},
		{"openssl3-no-mac.p12", "", pw, ""},
		{"openssl3-no-mac.p12", "", "another", "wrong password"},
		{"openssl3-no-mac.p12", "", "", missing},
		{"openssl3-unicode-password.p12", "", unicodePassword, ""},
		{"openssl3-unicode-password.p12", "", "😀", "characters beyond U+FFFF"},
		{"openssl3-sha512.p12", "", pw, ""},
		{"openssl11.p12", "", pw, ""},
		{"openssl11.p12", "", "another", "wrong password"},
		{"openssl11.p12", "", "", missing},
		{"openssl11-empty-password.p12", "", "", ""},
		{"openssl11-unicode-password.p12", "", unicodePassword, ""},
		{"openssl11-rc2-128.p12", "", pw, ""},
		{"windows-tripledes.p12", "", pw, ""},
		{"windows-aes256.p12", "", pw, ""},
		{"keytool.p12", "", pw, ""},
		{"keytool.p12", "", "another", "wrong password"},
		{"keytool-legacy.p12", "", pw, ""},
		{"keytool-plain-certificates.p12", "", pw, ""},
		{"keytool-plain-certificates.p12", "", "another", "wrong password"},
		{"keytool-own.p12", "", pw, ""},
		{"refused-java-sha384.p12", "", pw, ": HMAC-SHA384" + toPEM},
		{"refused-sha384.p12", "", pw, "SHA-384" + toPEM},
		{"refused-rc4.p12", "", pw, "PBE-SHA1-RC4-128" + toPEM + " -legacy"},
		{"refused-many-iterations.p12", "", pw, "more than 10000000 iterations" + toPEM},
		{"refused-no-key.p12", "", pw, "no private key in it"},
		{"refused-two-keys.p12", "", pw, "a second private key"},
		{"refused-two-passwords.p12", "", pw, "another password than the file; convert with: openssl pkcs12 -in OLD -out NEW.pem -twopass"},
		{"refused.jks", "", pw, "a Java keystore (JKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12"},

		{"cert.pem", "ec-pkcs8.pem", "", "an elliptic curve key"},
		{"cert.pem", "ec-sec1.pem", "", "an elliptic curve key"},
		{"ec.p12", "", pw, "an elliptic curve key"},
		{"cert.pem", "ed25519.pem", "", "an Ed25519 key"},
		{"cert.pem", "rsa-pss.pem", "", "an RSASSA-PSS (not plain RSA) key"},
		{"cert.der", "pkcs8.pem", "", "a certificate in DER; convert with: openssl x509 -inform der"},
		{"pkcs7.pem", "pkcs8.pem", "", "certificates in PKCS#7; convert with: openssl pkcs7"},
	} {
		t.Run(strings.Join([]string{test.name, test.key, test.password}, ","), func(t *testing.T) {
			opts := &apponly.CertificateFileOptions{Password: test.password}
			seen[test.name] = true
			if test.key != "" {
				opts.KeyFile = corpus(test.key)
				seen[test.key] = true
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
	files, err := os.ReadDir(corpus(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[f.Name()] {
			t.Errorf("%s has no row", f.Name())
		}
	}
}

// What no tool at hand writes.
func TestKeyFileShapes(t *testing.T) {
	s := newSTS(t)
	cert := s.Certificate()
	encoded := func(e *pkcs12.Encoder, key any, chain ...*x509.Certificate) []byte {
		b, err := e.Encode(key, chain[0], chain[1:], corpusPassword)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	modern := encoded(pkcs12.Modern2023, cert.Key, cert.Leaf)
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(modern, &inner); err != nil {
		t.Fatal(err)
	}
	wide := issue(t, "wide", &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16400, 1), E: 65537}, nil, ecKey())
	keyDER, err := x509.MarshalPKCS8PrivateKey(cert.Key)
	if err != nil {
		t.Fatal(err)
	}
	utf16 := []byte{0xff, 0xfe}
	for _, c := range cert.PEM() {
		utf16 = append(utf16, c, 0)
	}
	path := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		name    string
		content []byte
		text    string
	}{
		{"PBMAC1", encoded(pkcs12.Modern2026, cert.Key, cert.Leaf), ""},
		{"PBMAC1 and another digest", bytes.Replace(encoded(pkcs12.Modern2026, cert.Key, cert.Leaf), []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9}, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 8}, -1), "HMAC-SHA224"},
		{"byte order mark", append([]byte("\ufeff"), cert.PEM()...), ""},
		{"UTF-16", utf16, "UTF-16"},
		{"base64", []byte("\n" + base64.StdEncoding.EncodeToString(modern)), "base64 -d OLD"},
		{"text", []byte("0 is no sequence"), "neither PEM nor PKCS#12"},
		{"BER", append(append([]byte{0x30, 0x80}, inner.Bytes...), 0, 0), "PKCS#12 in BER"},
		{"key in DER", keyDER, "openssl pkey -inform der"},
		{"BER inside", bytes.Replace(modern, []byte{0x04, 0x82}, []byte{0x24, 0x82}, 1), "BER inside, is not supported; convert with: openssl pkcs12"},
		{"cut short", modern[:len(modern)-1], "or damaged"},
		{"with a tail", append(slices.Clone(modern), 0), "or damaged"},
		{"a key hidden in the encrypted part", hiddenKey(t, cert.Leaf, cert.Key), "wrong password"}, // none of the MAC
		{"wide certificate", append(certPEM(wide), cert.PEM()...), "longer than 16384 bits"},
		{"wide certificate in PKCS#12", encoded(pkcs12.Modern2023, cert.Key, cert.Leaf, wide), "longer than 16384 bits"},
		{"long key", append(cert.CertPEM(), encode("RSA PRIVATE KEY", make([]byte, 17<<10))...), "private key cannot be parsed"},
		{"long key, PKCS#8", append(cert.CertPEM(), encode("PRIVATE KEY", make([]byte, 17<<10))...), "private key cannot be parsed"},
		{"OpenSSH", append(cert.CertPEM(), encode("OPENSSH PRIVATE KEY", []byte{1})...), "ssh-keygen -p -m PKCS8"},
		{"DSA", append(cert.CertPEM(), encode("DSA PRIVATE KEY", []byte{1})...), "a DSA key"},
		{"unknown key", append(cert.CertPEM(), encode("PRIVATE KEY", []byte("\x30\x0c\x02\x01\x00\x30\x05\x06\x03\x2a\x03\x04\x04\x00"))...), "a 1.2.3.4 key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			writeFile(t, path, test.content)
			began := time.Now()
			_, err := s.with(t, apponly.CertificateFile(path, &apponly.CertificateFileOptions{Password: corpusPassword})).Token(t.Context(), s.API().Scope())
			if test.text == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.text != "" {
				wantKind(t, err, apponly.ErrCredentialUnavailable, test.text, path)
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// hiddenKey makes a file with a key in sight and, in the encrypted part that
// comes before it, another that asks for more iterations than anybody lives.
func hiddenKey(t *testing.T, leaf *x509.Certificate, key *rsa.PrivateKey) []byte {
	t.Helper()
	type (
		algorithm struct {
			ID     asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		bag struct {
			ID    asn1.ObjectIdentifier
			Value asn1.RawValue
		}
	)
	der := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw := func(v any) asn1.RawValue { return asn1.RawValue{FullBytes: der(v)} }
	explicit := func(v any) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: der(v)}
	}
	oid := func(last ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 113549, 1}, last...)
	}
	pbes2 := func(iterations int, iv []byte) algorithm {
		return algorithm{oid(5, 13), raw([]algorithm{
			{oid(5, 12), raw(struct {
				Salt       []byte
				Iterations int
			}{make([]byte, 16), iterations})},
			{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, raw(iv)},
		})}
	}
	type sealed struct {
		Algorithm algorithm
		Data      []byte
	}
	certBag := bag{oid(12, 10, 1, 3), explicit(struct {
		ID   asn1.ObjectIdentifier
		Cert asn1.RawValue
	}{oid(9, 22, 1), explicit(leaf.Raw)})}
	hidden := bag{oid(12, 10, 1, 2), explicit(sealed{pbes2(1<<50, make([]byte, 16)), make([]byte, 32)})}
	plain := der([]bag{certBag, hidden})
	pad := 16 - len(plain)%16
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	aesKey, err := pbkdf2.Key(sha1.New, corpusPassword, make([]byte, 16), 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(plain, plain)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inSight := der([]bag{{oid(12, 10, 1, 1), explicit(asn1.RawValue{FullBytes: pkcs8})}})
	encrypted := struct {
		Version int
		Info    struct {
			Type      asn1.ObjectIdentifier
			Algorithm algorithm
			Data      []byte `asn1:"tag:0"`
		}
	}{}
	encrypted.Info.Type, encrypted.Info.Algorithm, encrypted.Info.Data = oid(7, 1), pbes2(1, iv), plain
	content := der([]bag{{oid(7, 6), explicit(encrypted)}, {oid(7, 1), explicit(inSight)}})
	return der(struct {
		Version int
		Content bag
	}{3, bag{oid(7, 1), explicit(content)}})
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

// Whatever is in a file, it makes an assertion or an error of one line, which
// does not hold the password, and in bounded time.
func FuzzKeyFile(f *testing.F) {
	files, err := os.ReadDir(corpus(""))
	if err != nil {
		f.Fatal(err)
	}
	cert := readCorpus(f, "cert.pem")
	for _, file := range files {
		b := readCorpus(f, file.Name())
		if bytes.HasPrefix(b, []byte("-----")) && !bytes.Contains(b, []byte("CERTIFICATE")) {
			b = append(b, cert...)
		}
		if !strings.Contains(file.Name(), "many-iterations") {
			f.Add(b, corpusPassword)
			f.Add(b, "")
		}
	}
	path := filepath.Join(f.TempDir(), "file")
	asked := 0
	o := &apponly.Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked++
		return status(http.StatusOK, `{"token_type":"Bearer","access_token":"x","expires_in":3600}`)(r)
	})}}
	f.Fuzz(func(t *testing.T, content []byte, password string) {
		writeFile(t, path, content)
		asked, o.Cache = 0, apponly.NewCache(nil)
		c, err := apponly.New(someTenant, someClient, apponly.CertificateFile(path, &apponly.CertificateFileOptions{Password: password}), o)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.Token(t.Context(), "https://graph.microsoft.com/.default")
		if (err == nil) == tok.IsZero() || (err == nil) != (asked == 1) {
			t.Fatalf("token %t, %d requests, error %v", !tok.IsZero(), asked, err)
		}
		if err == nil {
			return
		}
		wantKind(t, err, apponly.ErrCredentialUnavailable, path)
		if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 900 || len(password) > 12 && strings.Contains(text, password) {
			t.Errorf("more than a line, or the password: %q", text)
		}
	})
}
