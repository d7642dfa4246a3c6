// SPDX-License-Identifier: MIT

// Package keyfile reads certificates and RSA private keys from files in PEM and
// PKCS#12, encrypted or not. What it does not read it names, together with the
// command that converts it.
package keyfile

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// Limits on what one file may cost. A file is read again for every token
// request, and a hostile or damaged one must not hold that request up.
const (
	// maxIterations is for all key derivations of a file together. Files in use
	// have 2,048 to 1,000,000; ten million take seconds.
	maxIterations = 10_000_000
	// maxScrypt bounds N·r·p, and with it the memory to 64 MiB: four times
	// what OpenSSL's default takes.
	maxScrypt = 1 << 19
	// maxKeySize is in bytes; an RSA key of 16,384 bits takes 9.3 KiB. The time
	// to check a key grows with the cube of its length.
	maxKeySize = 16 << 10
	// maxModulus is in bits. It bounds the keys of the certificates, whose
	// signatures are verified to put the chain in order.
	maxModulus = 16384
)

// ErrSecondKey is the error for a file with more than one private key.
var ErrSecondKey = errors.New("a second private key")

var (
	errBadKey    = errors.New("the private key cannot be parsed")
	errBadFile   = errors.New("neither PEM nor PKCS#12, or damaged")
	errBadParams = errors.New("the parameters of its encryption cannot be parsed")
)

// NotRSA returns the error for a private key of another kind, such as "an
// elliptic curve".
func NotRSA(kind string) error {
	return fmt.Errorf("the private key is %s key: entra takes certificates with RSA keys", kind)
}

// wrongPassword is the error for a file that password does not open. The empty
// password is always tried, as some tools encrypt with it.
func wrongPassword(password string) error {
	if password == "" {
		return errors.New("it is encrypted and no password was given (Password, PasswordFile, AZURE_CLIENT_CERTIFICATE_PASSWORD)")
	}
	return errors.New("wrong password")
}

// Parse returns the certificates and the private key in a file of PEM or
// PKCS#12, which it tells apart by content; the key is nil if a PEM file has
// none. An empty password stands for none. The errors quote neither the password
// nor the file, nor the messages of the parsers below, since nothing promises
// that those never contain what they could not read.
func Parse(b []byte, password string) ([]*x509.Certificate, crypto.Signer, error) {
	switch {
	case len(b) > 1 && b[0] == 0x30 && b[1] >= 0x80: // a DER sequence; no text begins like this
		return parsePKCS12(b, password)
	case bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return nil, nil, errors.New("a Java keystore (JKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12")
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		// Windows PowerShell's ">" writes UTF-16.
		return nil, nil, errors.New("text in UTF-16; convert with: iconv -f UTF-16 -t UTF-8 OLD > NEW")
	}
	return parsePEM(bytes.TrimPrefix(b, []byte("\ufeff")), password)
}

func parsePEM(b []byte, password string) (chain []*x509.Certificate, key crypto.Signer, err error) {
	d := &decoder{convert: "openssl pkcs8 -topk8 -in OLD -out NEW", legacy: " -provider legacy -provider default", iterations: maxIterations}
	block, rest := pem.Decode(b)
	switch {
	case block == nil && bytes.HasPrefix(bytes.TrimSpace(b), []byte("MII")): // a DER sequence in base64
		return nil, nil, errors.New("PKCS#12 in base64, it seems; convert with: base64 -d OLD > NEW")
	case block == nil:
		return nil, nil, errBadFile
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		cert, k, err := d.parseBlock(block, password)
		switch {
		case err != nil:
			return nil, nil, err
		case cert != nil:
			chain = append(chain, cert)
		case k != nil && key != nil:
			return nil, nil, ErrSecondKey
		case k != nil:
			key = k
		}
	}
	return chain, key, checkModuli(chain)
}

// checkModuli refuses certificates whose signatures would take minutes to verify.
func checkModuli(chain []*x509.Certificate) error {
	for _, c := range chain {
		if pub, ok := c.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() > maxModulus {
			return errors.New("a certificate in it has an RSA key longer than 16384 bits")
		}
	}
	return nil
}

// refusedBlocks are the PEM blocks that hold a key or certificates in a form
// that is not read. Other unknown blocks are skipped.
var refusedBlocks = map[string]error{
	"EC PRIVATE KEY":      NotRSA("an elliptic curve"),
	"DSA PRIVATE KEY":     NotRSA("a DSA"),
	"OPENSSH PRIVATE KEY": errors.New("a private key in OpenSSH's format; convert with: ssh-keygen -p -m PKCS8 -f FILE"),
	"PKCS7":               errors.New("certificates in PKCS#7; convert with: openssl pkcs7 -print_certs -in OLD -out NEW.pem"),
}

// dekCiphers are the names that RFC 1423 and OpenSSL put into a DEK-Info header.
// No other word of the header gets into an error.
var dekCiphers = []string{"DES-CBC", "DES-EDE3-CBC", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC"}

// parseBlock returns the certificate or the private key in a PEM block; neither
// if the block holds something else.
func (d *decoder) parseBlock(block *pem.Block, password string) (cert *x509.Certificate, key crypto.Signer, err error) {
	if block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" {
		if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
			return nil, nil, errors.New("a certificate in it cannot be parsed")
		}
		return cert, nil, nil
	}
	if err := refusedBlocks[block.Type]; err != nil {
		return nil, nil, err
	}
	if info := block.Headers["DEK-Info"]; info != "" {
		// OpenSSL makes the key with one round of MD5, and only the padding
		// tells a wrong password.
		name, _, _ := strings.Cut(info, ",")
		if !slices.Contains(dekCiphers, name) {
			name = "DEK-Info"
		}
		return nil, nil, d.refuse("encryption by RFC 1423 (" + name + ")")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = parsePKCS1(block.Bytes)
	case "PRIVATE KEY":
		key, err = parsePKCS8(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		key, err = d.decryptPKCS8(block.Bytes, password)
	}
	return nil, key, err
}

func parsePKCS1(der []byte) (crypto.Signer, error) {
	if len(der) > maxKeySize {
		return nil, errBadKey
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, errBadKey
	}
	return key, nil
}

// otherKeys are the algorithms of private keys that are refused by name.
var otherKeys = map[string]string{
	"1.2.840.10045.2.1":     "an elliptic curve",
	"1.2.840.10040.4.1":     "a DSA",
	"1.2.840.113549.1.1.10": "an RSASSA-PSS (not plain RSA)",
	"1.3.101.110":           "an X25519",
	"1.3.101.112":           "an Ed25519",
	"1.3.101.113":           "an Ed448",
}

// parsePKCS8 parses a PrivateKeyInfo of RFC 5208, which wraps PKCS#1.
func parsePKCS8(der []byte) (crypto.Signer, error) {
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if len(der) > maxKeySize || unmarshal(der, &info) != nil {
		return nil, errBadKey
	}
	if oid := info.Algorithm.Algorithm.String(); oid != oidRSA {
		return nil, NotRSA(cmp.Or(otherKeys[oid], "a "+ident.OneLine(oid, 64)))
	}
	return parsePKCS1(info.Key)
}

// unmarshal parses DER with nothing after it.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing data")
	}
	return err
}
