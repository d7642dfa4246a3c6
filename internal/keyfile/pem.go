// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode"
)

// A block is one of a PEM file.
type block struct {
	label string
	dek   string // the cipher in a DEK-Info header (RFC 1423), "" if there is none
	der   []byte // nil if it is damaged
}

// certificate returns the certificate in a block, ok if it is to hold one.
func (b block) certificate() (der []byte, ok bool) {
	switch b.label {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		var first asn1.RawValue // behind it OpenSSL keeps what it trusts the certificate for
		_, _ = asn1.Unmarshal(b.der, &first)
		return first.FullBytes, true
	}
	return nil, false
}

// scanPEM finds the blocks of RFC 7468 in text. What carries a file to its place
// often loses the line breaks: an environment variable has "\n" in two
// characters, or more if it was in JSON twice, a web form blanks, a YAML block an
// indent. So line breaks mean nothing here, which package pem would insist on; the
// text around blocks does not either. A block without its end is left out.
func scanPEM(b []byte) (blocks []block) {
	text := strings.NewReplacer(`\r`, "\n", `\n`, "\n", `\t`, " ", `\`, "", "\r", "\n").Replace(string(b))
	for {
		_, after, _ := strings.Cut(text, "-----BEGIN ")
		label, after, found := strings.Cut(after, "-----")
		if !found {
			return blocks
		}
		body, end, _ := strings.Cut(after, "-----")
		rest, ended := strings.CutPrefix(end, "END "+label+"-----")
		if !ended {
			text = after
			continue
		}
		text = rest
		bl := block{label: label}
		if _, info, encrypted := strings.Cut(body, "DEK-Info:"); encrypted {
			bl.dek, _, _ = strings.Cut(strings.TrimSpace(info), ",")
		} else {
			bl.der = decodeBase64([]byte(withoutHeaders(body)))
		}
		blocks = append(blocks, bl)
	}
}

// withoutHeaders drops lines with a colon, which base64 has none of.
func withoutHeaders(body string) string {
	if !strings.Contains(body, ":") {
		return body
	}
	lines := slices.DeleteFunc(strings.Split(body, "\n"), func(line string) bool { return strings.Contains(line, ":") })
	return strings.Join(lines, "\n")
}

// decodeBase64 returns what b is the base64 of, nil if it is not. Quotes, white
// space and what cannot be seen, around and between, are of no consequence.
func decodeBase64(b []byte) []byte {
	b = bytes.Map(func(r rune) rune {
		if strings.ContainsRune("\"'`", r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, b)
	text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(string(b), "="))
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(decoded) == 0 {
		return nil
	}
	return decoded
}

// dekCiphers are the names that RFC 1423 and OpenSSL put into a DEK-Info header.
// No other word of the header gets into an error.
var dekCiphers = []string{"DES-CBC", "DES-EDE3-CBC", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC"}

func (c *Contents) parseBlocks(blocks []block, password string) error {
	d := &decoder{convert: "openssl pkcs8 -topk8 -in OLD -out NEW", legacy: " -provider legacy -provider default", spent: &c.spent}
	for _, b := range blocks {
		if err := c.parseBlock(d, b, password); err != nil {
			return err
		}
	}
	return nil
}

// parseBlock takes the certificate or the private key in a block. Other blocks
// are skipped.
func (c *Contents) parseBlock(d *decoder, b block, password string) error {
	if der, ok := b.certificate(); ok && b.der != nil {
		return c.add(der)
	}
	isKey := strings.HasSuffix(b.label, "PRIVATE KEY")
	switch {
	case b.dek != "":
		// OpenSSL makes the key with one round of MD5, and only the padding
		// tells a wrong password.
		if !slices.Contains(dekCiphers, b.dek) {
			b.dek = "DEK-Info"
		}
		return d.refuse("encryption by RFC 1423 (" + b.dek + ")")
	case b.der == nil && (isKey || b.label == "PKCS12" || strings.HasSuffix(b.label, "CERTIFICATE")):
		return errors.New("a block of PEM in it is damaged: it is not base64")
	case b.label == "PKCS12": // GnuTLS's certtool, unless asked for DER
		return c.parsePKCS12(b.der, password)
	case b.label == "PKCS7" || b.label == "CMS":
		return errors.New("certificates in PKCS#7; convert with: openssl pkcs7 -print_certs -in OLD -out NEW.pem")
	case b.label == "OPENSSH PRIVATE KEY":
		return errors.New("a private key in OpenSSH's format; convert with: ssh-keygen -p -m PKCS8 -f FILE")
	case isKey:
		key, err := d.parseAnyKey(b.der, formsOf(password))
		switch {
		case errors.Is(err, errWrongPassword):
			return wrongPassword(password)
		case err != nil && b.label == "DSA PRIVATE KEY":
			return NotRSA("a DSA")
		case err != nil && isEC(b.der, b.label):
			return NotRSA("an elliptic curve")
		case err != nil:
			return err
		}
		return c.addKey(key)
	}
	return nil
}

func isEC(der []byte, label string) bool {
	_, err := x509.ParseECPrivateKey(der)
	return err == nil || label == "EC PRIVATE KEY"
}

// parseAnyKey parses a private key by what it is, not by what it is called.
func (d *decoder) parseAnyKey(der []byte, passwords []string) (*rsa.PrivateKey, error) {
	var sealed encryptedKey
	if len(der) <= maxKeySize && unmarshal(der, &sealed) == nil {
		return d.decryptKey(sealed, passwords)
	}
	return parseKey(der)
}
