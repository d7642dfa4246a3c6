// SPDX-License-Identifier: MIT

package keyfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/keyfile"
)

// What carries a PEM file to its place changes it: environment variables, web
// forms, YAML, docker's --env-file, editors.
func TestParsePEMForms(t *testing.T) {
	leaf := readCert(t, "cert.pem")
	cert, pkcs1, pkcs8 := string(read(t, "cert.pem")), string(read(t, "pkcs1.pem")), string(read(t, "pkcs8.pem"))
	relabel := func(text, from, to string) string { return strings.ReplaceAll(text, from, to) }
	lines := func(text, with string) string { return strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", with) }
	whole := cert + pkcs8
	for name, text := range map[string]string{
		"PKCS#1 in PRIVATE KEY":           cert + relabel(pkcs1, "RSA PRIVATE", "PRIVATE"), // Key Vault
		"PKCS#8 in RSA PRIVATE KEY":       cert + relabel(pkcs8, " PRIVATE", " RSA PRIVATE"),
		"encrypted in PRIVATE KEY":        cert + relabel(string(read(t, "pbes2-aes256-sha256.pem")), "ENCRYPTED ", ""),
		"PKCS#8 in ANY PRIVATE KEY":       cert + relabel(pkcs8, " PRIVATE", " ANY PRIVATE"),
		"the same key twice":              pkcs8 + cert + pkcs8,
		"the same key in both forms":      pkcs8 + cert + pkcs1,
		"TRUSTED CERTIFICATE":             string(read(t, "trusted.pem")) + pkcs8,
		"X509 CERTIFICATE":                relabel(cert, " CERT", " X509 CERT") + pkcs8,
		"one line, blanks":                lines(whole, " "),
		"one line, nothing":               lines(whole, ""),
		`literal \n`:                      lines(whole, `\n`),
		`literal \r\n`:                    lines(whole, `\r\n`),
		"literal twice":                   `"` + lines(whole, `\n`) + `\n"`,
		`literal \\n, of JSON in JSON`:    `"` + lines(whole, `\\n`) + `\\n"`,
		"continued lines":                 lines(whole, "\\\n"),
		"zero-width characters":           lines(whole, "\n\u200b"),
		"line separators":                 lines(whole, "\u2028"),
		"a block that never ends":         "-----BEGIN CERTIFICATE-----\nAAAA\n" + whole,
		"the word in a sentence":          "behind -----BEGIN PRIVATE KEY----- comes the key\n" + whole,
		"indented":                        "    " + lines(whole, "\n    "),
		"indented by tabs":                "\t" + lines(whole, "\n\t"),
		"under a YAML key":                "tls: |\n  " + lines(whole, "\n  "),
		"CR only":                         lines(whole, "\r"),
		"CRLF":                            lines(whole, "\r\n"),
		"empty lines between":             lines(whole, "\n\n"),
		"blanks at the ends":              lines(whole, "  \n"),
		"double quotes":                   `"` + whole + `"`,
		"single quotes":                   "'" + whole + "'",
		"KEY=":                            "PEM=" + whole,
		"byte order mark":                 "\ufeff" + whole,
		"byte order marks between":        cert + "\ufeff" + pkcs8,
		"no-break spaces":                 strings.ReplaceAll(lines(whole, "\u00a0"), "BEGIN\u00a0", "BEGIN "),
		"base64":                          base64.StdEncoding.EncodeToString([]byte(whole)),
		"base64 in lines and quotes":      "'" + wrap(base64.StdEncoding.EncodeToString([]byte(whole))) + "'\n",
		"base64, URL-safe, unpadded":      base64.RawURLEncoding.EncodeToString([]byte(whole)),
		"base64 of PKCS#12":               base64.StdEncoding.EncodeToString(read(t, "openssl3-chain.p12")),
		"base64 of PKCS#12 in BER":        wrap(base64.StdEncoding.EncodeToString(read(t, "nss.p12"))),
		"without padding":                 strings.ReplaceAll(whole, "=", ""),
		"long lines":                      "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString(leaf.Raw) + "\n-----END CERTIFICATE-----\n" + pkcs8,
		"a header":                        strings.Replace(whole, "KEY-----\n", "KEY-----\nComment: me\n\n", 1),
		"bag attributes between":          "Bag Attributes\n    localKeyID: 01\n" + cert + "Key Attributes: <No Attributes>\n" + pkcs8,
		"an unknown block that is base64": "-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n" + whole,
		"an unknown block that is none":   "-----BEGIN PGP MESSAGE-----\nVersion: 2\n\nAAAA\n=AAAA\n-----END PGP MESSAGE-----\n" + whole,
		"EC PARAMETERS":                   "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + whole,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "encrypted in PRIVATE KEY" || strings.HasPrefix(name, "base64 of PKCS#12") {
				skipUnderFIPS(t)
			}
			c, err := keyfile.Parse([]byte(text), corpusPassword)
			switch {
			case err != nil:
				t.Fatalf("refused: %v", err)
			case c.Key == nil || len(c.Certificates) == 0 || !bytes.Equal(c.Certificates[0].Raw, leaf.Raw) && len(c.Certificates) == 1:
				t.Fatalf("key %t, %d certificates", c.Key != nil, len(c.Certificates))
			}
			checkKey(t, c.Key, leaf)
		})
	}
	for name, test := range map[string]struct{ text, want string }{
		"no base64 in a block": {"-----BEGIN PRIVATE KEY-----\n%%%\n-----END PRIVATE KEY-----\n", "a block of PEM in it is damaged: it is not base64"},
		"base64 twice":         {base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(whole)))), "neither PEM nor PKCS#12, or damaged"},
		"DEK-Info in one line": {lines(string(read(t, "dek-info.pem")), " "), "encryption by RFC 1423 (AES-256-CBC) is not supported; convert with: openssl pkcs8 -topk8 -in OLD -out NEW"},
		"another key":          {whole + string(read(t, "ed25519.pem")), "the private key is an Ed25519 key: entra takes certificates with RSA keys"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := keyfile.Parse([]byte(test.text), ""); err == nil || err.Error() != test.want {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}

// wrap breaks text as base64 of coreutils does.
func wrap(text string) string {
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	return b.String() + text
}

// A certificate that Go does not parse is no fault of the file: it may not be
// needed. Its place in a chain is known all the same, and why it was not parsed.
func TestCertificateThatGoRefuses(t *testing.T) {
	negative, _ := pem.Decode(read(t, "negative-serial.pem"))
	for name, test := range map[string]struct {
		der  []byte
		want string
	}{
		"negative serial":     {negative.Bytes, "a certificate is one that Go does not parse (x509: negative serial number): set GODEBUG=x509negativeserial=1, or have it issued anew"},
		"duplicate extension": {mutant(t, pkix.Extension{Id: []int{1, 2, 3}}, pkix.Extension{Id: []int{1, 2, 3}}), "(x509: certificate contains duplicate extension"},
		"bad key usage":       {mutant(t, pkix.Extension{Id: []int{2, 5, 29, 15}, Value: []byte("x")}), "(x509: invalid key usage)"},
		"bad name":            {mutant(t, pkix.Extension{Id: []int{2, 5, 29, 17}, Value: []byte("\x30\x03\x82\x01\xff")}), "(x509: "},
	} {
		t.Run(name, func(t *testing.T) {
			text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: test.der}), read(t, "shuffled.pem")...)
			c, err := keyfile.Parse(text, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Certificates) != 4 || c.Key == nil || c.Unparsed == nil || !strings.Contains(c.Unparsed.Error(), test.want) {
				t.Errorf("%d certificates, unparsed: %v", len(c.Certificates), c.Unparsed)
			}
			odd := c.Certificates[0]
			if odd.PublicKey != nil || len(odd.RawSubject) == 0 || len(odd.RawIssuer) == 0 || !bytes.Equal(odd.Raw, test.der) {
				t.Errorf("the parts of its place in a chain: %+v", odd)
			}
		})
	}
	if _, err := keyfile.Parse([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"), ""); err == nil || err.Error() != "a certificate in it cannot be parsed" {
		t.Errorf("no certificate at all: %v", err)
	}
}

// mutant makes a certificate with extensions that Go refuses.
func mutant(t *testing.T, extensions ...pkix.Extension) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "odd"}, NotAfter: time.Now().Add(time.Hour)}
	for i, e := range extensions {
		e.Id = append(asn1.ObjectIdentifier{}, e.Id...)
		if len(e.Id) == 3 {
			e.Id[2] += i // no two alike, which CreateCertificate refuses
		}
		template.ExtraExtensions = append(template.ExtraExtensions, e)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(der, []byte{6, 2, 42, 4}, []byte{6, 2, 42, 3})
}
