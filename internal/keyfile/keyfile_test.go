// SPDX-License-Identifier: MIT

package keyfile_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/keyfile"
	"software.sslmate.com/src/go-pkcs12"
)

// The passwords of the files in testdata.
const (
	corpusPassword  = "corpus-password"
	unicodePassword = "pässwörd-Ω-密码"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(read(t, name))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// checkKey fails the test unless what key signs verifies with cert.
func checkKey(t testing.TB, key crypto.Signer, cert *x509.Certificate) {
	t.Helper()
	digest := sha256.Sum256([]byte("text"))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		err = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig)
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(pub, digest[:], sig) {
			err = errors.New("wrong signature")
		}
	}
	if err != nil {
		t.Errorf("the key does not belong to the certificate: %v", err)
	}
}

// What the tools of the trade write, read or refused. Every file of testdata has
// a row.
func TestParse(t *testing.T) {
	const (
		pw      = corpusPassword
		toPKCS8 = " is not supported; convert with: openssl pkcs8 -topk8 -in OLD -out NEW"
		toPEM   = " is not supported; convert with: openssl pkcs12 -in OLD -out NEW.pem"
		missing = "it is encrypted and no password was given (Password, PasswordFile, AZURE_CLIENT_CERTIFICATE_PASSWORD)"
		notRSA  = " key: entra takes certificates with RSA keys"
	)
	leaf := readCert(t, "cert.pem")
	seen := map[string]bool{"make.sh": true, "foreign.sh": true, "README.md": true, "password.txt": true}
	for _, test := range []struct {
		name     string
		password string
		certs    int
		key      bool
		text     string // of the error
	}{
		{"cert.pem", "", 1, false, ""},
		{"intermediate.pem", "", 1, false, ""},
		{"pkcs8.pem", "", 0, true, ""},
		{"pkcs8.pem", "not needed", 0, true, ""},
		{"pkcs1.pem", "", 0, true, ""},
		{"shuffled.pem", "", 3, true, ""},

		{"pbes2-aes128-sha1.pem", pw, 0, true, ""},
		{"pbes2-aes192-sha224.pem", pw, 0, true, ""},
		{"pbes2-aes256-sha256.pem", pw, 0, true, ""},
		{"pbes2-aes256-sha384.pem", pw, 0, true, ""},
		{"pbes2-aes256-sha512.pem", pw, 0, true, ""},
		{"pbes2-des3-sha256.pem", pw, 0, true, ""},
		{"pbes2-aes256-scrypt.pem", pw, 0, true, ""},
		{"pbes2-empty-password.pem", "", 0, true, ""},
		{"pbes2-empty-password.pem", pw, 0, false, "wrong password"},
		{"pbes2-aes256-sha256.pem", "another", 0, false, "wrong password"},
		{"pbes2-aes256-sha256.pem", "", 0, false, missing},
		{"pbes2-aes256-scrypt.pem", "another", 0, false, "wrong password"},
		{"pbes2-camellia.pem", pw, 0, false, "Camellia-256-CBC" + toPKCS8},
		{"pbes2-rc2.pem", pw, 0, false, "RC2-CBC" + toPKCS8 + " -provider legacy -provider default"},
		{"pbes1-md5-des.pem", pw, 0, false, "PBE-MD5-DES" + toPKCS8 + " -provider legacy -provider default"},
		{"pkcs12-des3.pem", pw, 0, true, ""},
		{"pbes2-many-iterations.pem", pw, 0, false, "a password hash with more than 10000000 iterations" + toPKCS8},
		{"pbes2-not-too-many-iterations.pem", pw, 0, true, ""},
		{"pbes2-scrypt-much.pem", pw, 0, false, "scrypt with N·r·p above 524288" + toPKCS8},
		{"dek-info.pem", pw, 0, false, "encryption by RFC 1423 (AES-256-CBC)" + toPKCS8},

		{"openssl3-chain.p12", pw, 4, true, ""}, // the leaf twice
		{"openssl3-chain.p12", "another", 0, false, "wrong password"},
		{"openssl3-chain.p12", "", 0, false, missing},
		{"openssl3-empty-password.p12", "", 1, true, ""},
		{"openssl3-empty-password.p12", pw, 0, false, "wrong password"},
		{"openssl3-no-encryption.p12", "", 1, true, ""},
		{"openssl3-no-encryption.p12", "not needed", 1, true, ""},
		{"openssl3-no-mac.p12", pw, 1, true, ""},
		{"openssl3-no-mac.p12", "another", 0, false, "wrong password"},
		{"openssl3-no-mac.p12", "", 0, false, missing},
		{"openssl3-unicode-password.p12", unicodePassword, 1, true, ""},
		{"openssl3-unicode-password.p12", "😀", 0, false, "wrong password"},
		{"openssl3-sha512.p12", pw, 1, true, ""},
		{"openssl11.p12", pw, 1, true, ""},
		{"openssl11.p12", "another", 0, false, "wrong password"},
		{"openssl11.p12", "", 0, false, missing},
		{"openssl11-empty-password.p12", "", 1, true, ""},
		{"openssl11-unicode-password.p12", unicodePassword, 1, true, ""},
		{"openssl11-rc2-128.p12", pw, 1, true, ""},
		{"windows-tripledes.p12", pw, 1, true, ""},
		{"windows-aes256.p12", pw, 1, true, ""},
		{"keytool.p12", pw, 3, true, ""},
		{"keytool.p12", "another", 0, false, "wrong password"},
		{"keytool-legacy.p12", pw, 1, true, ""},
		{"keytool-plain-certificates.p12", pw, 1, true, ""},
		{"keytool-plain-certificates.p12", "another", 0, false, "wrong password"},
		{"keytool-own.p12", pw, 1, true, ""},
		{"java-sha384.p12", pw, 1, true, ""},
		{"openssl3-sha384.p12", pw, 1, true, ""},
		{"openssl3-2des.p12", pw, 1, true, ""},
		{"gnutls.p12", pw, 2, true, ""},
		{"gnutls.p12", "another", 0, false, "wrong password"},
		{"gnutls-3des.p12", pw, 1, true, ""},
		{"gnutls-plain-key.p12", pw, 1, true, ""},
		{"gnutls-3des.pem", pw, 0, true, ""},
		{"gnutls-p12.pem", pw, 1, true, ""},
		{"nss.p12", pw, 1, true, ""},
		{"nss.p12", "another", 0, false, "wrong password"},
		{"nss-aes.p12", pw, 1, true, ""},
		{"nss-rc2.p12", pw, 1, true, ""},
		{"bouncycastle.p12", pw, 1, true, ""},
		{"bouncycastle.p12", "", 0, false, missing},
		{"bouncycastle-3des.p12", pw, 1, true, ""},
		{"trusted.pem", "", 1, false, ""},
		{"negative-serial.pem", "", 1, false, ""},
		{"refused-rc4.p12", pw, 0, false, "PBE-SHA1-RC4-128" + toPEM + " -legacy"},
		{"refused-many-iterations.p12", pw, 0, false, "a password hash with more than 10000000 iterations" + toPEM},
		{"refused-no-key.p12", pw, 0, false, "no private key in it"},
		{"refused-two-keys.p12", pw, 0, false, "a second private key"},
		{"refused-two-passwords.p12", pw, 0, false, "damaged, or the key has another password than the file; convert with: openssl pkcs12 -in OLD -out NEW.pem -twopass"},
		{"refused.jks", pw, 0, false, "a Java keystore (JKS or JCEKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12"},

		{"ec-pkcs8.pem", "", 0, false, "the private key is an elliptic curve" + notRSA},
		{"ec-sec1.pem", "", 0, false, "the private key is an elliptic curve" + notRSA},
		{"ec.p12", pw, 0, false, "the private key is an elliptic curve" + notRSA},
		{"ed25519.pem", "", 0, false, "the private key is an Ed25519" + notRSA},
		{"rsa-pss.pem", "", 0, false, "the private key is an RSASSA-PSS (not plain RSA)" + notRSA},
		{"cert.der", "", 1, false, ""},
		{"pkcs7.pem", "", 0, false, "certificates in PKCS#7; convert with: openssl pkcs7 -print_certs -in OLD -out NEW.pem"},
	} {
		t.Run(test.name+","+test.password, func(t *testing.T) {
			seen[test.name] = true
			if test.password != "" || strings.Contains(test.name, "empty-password") || strings.Contains(test.text, "encrypted") {
				skipUnderFIPS(t)
			}
			contents, err := keyfile.Parse(read(t, test.name), test.password)
			switch {
			case test.text == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case test.text != "" && (err == nil || err.Error() != test.text):
				t.Fatalf("error = %v, want %q", err, test.text)
			case test.text != "":
				return
			}
			chain, key := contents.Certificates, contents.Key
			if len(chain) != test.certs || (key != nil) != test.key {
				t.Errorf("%d certificates, key %t, want %d, %t", len(chain), key != nil, test.certs, test.key)
			}
			if key == nil {
				return
			}
			own := leaf
			for _, c := range chain {
				if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(c.PublicKey) {
					own = c
				}
			}
			checkKey(t, key, own)
		})
	}
	files, err := os.ReadDir("testdata")
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
func TestParseShapes(t *testing.T) {
	skipUnderFIPS(t)
	leaf := readCert(t, "cert.pem")
	plain, err := keyfile.Parse(read(t, "pkcs8.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	key := plain.Key
	encode := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, wholePEM := read(t, "cert.pem"), append(read(t, "cert.pem"), encode("PRIVATE KEY", keyDER)...)
	encoded := func(e *pkcs12.Encoder, key any, chain ...*x509.Certificate) []byte {
		b, err := e.Encode(key, chain[0], chain[1:], corpusPassword)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	modern := encoded(pkcs12.Modern2023, key, leaf)
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(modern, &inner); err != nil {
		t.Fatal(err)
	}
	wide := wideCertificate(t)
	utf16 := []byte{0xff, 0xfe}
	for _, c := range wholePEM {
		utf16 = append(utf16, c, 0)
	}
	for _, test := range []struct {
		name    string
		content []byte
		text    string
	}{
		{"PBMAC1", encoded(pkcs12.Modern2026, key, leaf), ""},
		{"PBMAC1 and another digest", bytes.Replace(encoded(pkcs12.Modern2026, key, leaf), []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9}, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 12}, -1), "HMAC-SHA-512/224"},
		{"byte order mark", append([]byte("\ufeff"), wholePEM...), ""},
		{"UTF-16", utf16, "UTF-16"},
		{"base64", []byte("\n" + base64.StdEncoding.EncodeToString(modern)), ""},
		{"text", []byte("0 is no sequence"), "neither PEM nor PKCS#12"},
		{"BER", append(append([]byte{0x30, 0x80}, inner.Bytes...), 0, 0), ""},
		{"key in DER", append(keyDER, '\n'), ""},
		{"PKCS#1 in DER", x509.MarshalPKCS1PrivateKey(key), ""},
		{"DER in base64", []byte(base64.StdEncoding.EncodeToString(keyDER)), ""},
		{"encrypted key in DER", inDER(t, "pbes2-aes256-sha256.pem"), ""},
		{"elliptic curve in DER", inDER(t, "ec-pkcs8.pem"), "an elliptic curve key"},
		{"PKCS#7 in DER", inDER(t, "pkcs7.pem"), "openssl pkcs7 -inform der -print_certs"},
		{"DER of something else", []byte("\x30\x81\x03\x02\x01\x05"), "neither PEM nor PKCS#12"},
		{"JCEKS", []byte("\xce\xce\xce\xce\x00\x00\x00\x02"), "a Java keystore"},
		{"BER inside that is none", bytes.Replace(modern, []byte{0x04, 0x82}, []byte{0x24, 0x82}, 1), "or damaged"},
		{"cut short", modern[:len(modern)-1], "or damaged"},
		{"with a tail", append(slices.Clone(modern), "\r\n\x00 tail"...), ""},
		{"a key hidden in the encrypted part", hiddenKey(t, leaf, key), "more than 10000000 iterations"},
		{"wide certificate", append(encode("CERTIFICATE", wide.Raw), wholePEM...), "longer than 16384 bits"},
		{"wide certificate in PKCS#12", encoded(pkcs12.Modern2023, key, leaf, wide), "longer than 16384 bits"},
		{"long key", append(certPEM, encode("RSA PRIVATE KEY", make([]byte, 17<<10))...), "private key cannot be parsed"},
		{"long key, PKCS#8", append(certPEM, encode("PRIVATE KEY", make([]byte, 17<<10))...), "private key cannot be parsed"},
		{"OpenSSH", append(certPEM, encode("OPENSSH PRIVATE KEY", []byte{1})...), "ssh-keygen -p -m PKCS8"},
		{"DSA", append(certPEM, encode("DSA PRIVATE KEY", []byte{1})...), "a DSA key"},
		{"unknown key", append(certPEM, encode("PRIVATE KEY", []byte("\x30\x0c\x02\x01\x00\x30\x05\x06\x03\x2a\x03\x04\x04\x00"))...), "a 1.2.3.4 key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			contents, err := keyfile.Parse(test.content, corpusPassword)
			switch {
			case test.text == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.text == "":
				checkKey(t, contents.Key, leaf)
			case err == nil || !strings.Contains(err.Error(), test.text):
				t.Errorf("error = %v, want %q", err, test.text)
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// inDER returns what is in a file of PEM.
func inDER(t *testing.T, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(read(t, name))
	return block.Bytes
}

// wideCertificate makes a certificate for an RSA key that takes minutes to
// verify anything with.
func wideCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16400, 1), E: 65537}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, issuer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// hiddenKey makes a file with a key in sight and, in the encrypted part that
// comes before it, another that asks for 2^50 iterations.
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
	hidden := bag{oid(12, 10, 1, 2), explicit(sealed{pbes2(1<<30, make([]byte, 16)), make([]byte, 32)})}
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

// Whatever is in a file, it gives something or an error of one line, which does
// not hold the password, and in bounded time.
func FuzzParse(f *testing.F) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	cert := read(f, "cert.pem")
	for _, file := range files {
		if file.IsDir() || strings.Contains(file.Name(), "many-iterations") {
			continue
		}
		b := read(f, file.Name())
		if bytes.HasPrefix(b, []byte("-----")) && !bytes.Contains(b, []byte("CERTIFICATE")) {
			b = append(b, cert...)
		}
		f.Add(b, corpusPassword)
		f.Add(b, "")
	}
	f.Fuzz(func(t *testing.T, content []byte, password string) {
		contents, err := keyfile.Parse(content, password)
		if err == nil {
			if key := contents.Key; key != nil {
				_, _ = key.Sign(rand.Reader, make([]byte, sha256.Size), crypto.SHA256) // whose failure is no panic
			}
			return
		}
		if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 900 || len(password) > 12 && strings.Contains(text, password) {
			t.Errorf("more than a line, or the password: %q", text)
		}
	})
}
