// SPDX-License-Identifier: MIT

// Package keyfile reads certificates and RSA private keys from files in PEM, DER
// and PKCS#12, encrypted or not, whoever wrote them: nearly all that OpenSSL opens.
// What it does not read it names, together with the command that converts it.
package keyfile

import (
	"bytes"
	"cmp"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/apponly/apponly/internal/ident"
)

// Limits on what one file may cost, as a hostile or damaged one must not hold a
// token request up.
const (
	// maxIterations is for all key derivations of a file together. Files in use
	// have 2,048 to 1,000,000; ten million take seconds. For scrypt N·r·p counts.
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
	errFIPS      = errors.New("its encryption is not allowed in this process (FIPS 140, GODEBUG=fips140=only)")
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

// Contents is what a file holds.
type Contents struct {
	// Certificates are in the order of the file. One that Go does not parse has
	// the raw parts by which it finds its place in a chain, and no PublicKey.
	Certificates []*x509.Certificate
	// Key is nil if there is none.
	Key *rsa.PrivateKey
	// Unparsed says why Go does not parse the first such certificate, nil if it
	// parses all.
	Unparsed error

	spent int // of maxIterations
}

// Parse returns the certificates and the private key in a file of PEM, DER or
// PKCS#12, which it tells apart by content. An empty password stands for none.
// The errors quote neither the password nor the file, nor what parsers say of
// keys, since nothing promises that those never contain what they could not read.
func Parse(b []byte, password string) (*Contents, error) {
	c := new(Contents)
	err := c.parse(b, password, true)
	if err == nil {
		err = c.checkModuli()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads the file into c. wrapped says that it may also be in base64.
func (c *Contents) parse(b []byte, password string, wrapped bool) error {
	switch {
	case len(b) > 1 && b[0] == 0x30 && b[1] >= 0x80: // a sequence in BER; no text begins like this
		return c.parseDER(b, password)
	case bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}), bytes.HasPrefix(b, []byte{0xce, 0xce, 0xce, 0xce}):
		return errors.New("a Java keystore (JKS or JCEKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12")
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		// Windows PowerShell's ">" writes UTF-16.
		return errors.New("text in UTF-16; convert with: iconv -f UTF-16 -t UTF-8 OLD > NEW")
	}
	if blocks := scanPEM(b); len(blocks) > 0 {
		return c.parseBlocks(blocks, password)
	}
	if decoded := decodeBase64(b); wrapped && decoded != nil {
		return c.parse(decoded, password, false)
	}
	return errBadFile
}

// add takes a certificate in DER, whether Go parses it or not.
func (c *Contents) add(der []byte) error {
	cert, err := ParseCertificate(der)
	if cert == nil {
		return err
	}
	if c.Unparsed == nil {
		c.Unparsed = err
	}
	c.Certificates = append(c.Certificates, cert)
	return nil
}

// addKey takes the private key, which some tools write twice.
func (c *Contents) addKey(key *rsa.PrivateKey) error {
	if c.Key != nil && !c.Key.Equal(key) {
		return ErrSecondKey
	}
	c.Key = key
	return nil
}

// Join takes what another file of the same credential holds.
func (c *Contents) Join(other *Contents) error {
	c.Certificates = append(c.Certificates, other.Certificates...)
	if c.Unparsed == nil {
		c.Unparsed = other.Unparsed
	}
	if other.Key == nil {
		return nil
	}
	return c.addKey(other.Key)
}

// ParseCertificate parses a certificate in DER. Of one that Go refuses, such as
// with a negative serial number, it returns the parts by which it finds its place
// in a chain, along with Go's reason; nil if der is something else.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		return cert, nil
	}
	var raw struct {
		TBS struct {
			Version int `asn1:"optional,explicit,default:0,tag:0"`
			Serial  asn1.RawValue
			Sig     pkix.AlgorithmIdentifier
			Issuer  asn1.RawValue
			Valid   asn1.RawValue
			Subject asn1.RawValue
			Key     asn1.RawValue
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if unmarshal(der, &raw) != nil {
		return nil, errors.New("a certificate in it cannot be parsed")
	}
	// A certificate is public, so that Go's words may quote it.
	reason := ident.OneLine(err.Error(), 120)
	wayOut := "have it issued anew"
	if err.Error() == "x509: negative serial number" {
		wayOut = "set GODEBUG=x509negativeserial=1, or " + wayOut
	}
	return &x509.Certificate{Raw: der, RawIssuer: raw.TBS.Issuer.FullBytes, RawSubject: raw.TBS.Subject.FullBytes},
		errors.New("a certificate is one that Go does not parse (" + reason + "): " + wayOut)
}

// checkModuli refuses certificates whose signatures would take minutes to verify.
func (c *Contents) checkModuli() error {
	for _, cert := range c.Certificates {
		if pub, ok := cert.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() > maxModulus {
			return errors.New("a certificate in it has an RSA key longer than 16384 bits")
		}
	}
	return nil
}

// otherKeys are the algorithms of private keys that are refused by name.
var otherKeys = map[string]string{
	"1.2.840.10045.2.1":     "an elliptic curve",
	"1.2.840.10040.4.1":     "a DSA",
	"1.2.840.113549.1.1.10": "an RSASSA-PSS (not plain RSA)",
	"1.3.101.110":           "an X25519",
	"1.3.101.111":           "an X448",
	"1.3.101.112":           "an Ed25519",
	"1.3.101.113":           "an Ed448",
}

// A privateKeyInfo is that of RFC 5208.
type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	Key        []byte
	Attributes asn1.RawValue `asn1:"optional,tag:0"`
	PublicKey  asn1.RawValue `asn1:"optional,tag:1"` // RFC 5958
}

// parseKey parses a plain private key: a PrivateKeyInfo, which wraps PKCS#1, or PKCS#1 itself. Tools put either under the label of the other.
func parseKey(der []byte) (*rsa.PrivateKey, error) {
	if len(der) > maxKeySize {
		return nil, errBadKey
	}
	var info privateKeyInfo
	if unmarshal(der, &info) == nil {
		if oid := info.Algorithm.Algorithm.String(); oid != oidRSA {
			return nil, NotRSA(cmp.Or(otherKeys[oid], "a "+ident.OneLine(oid, 64)))
		}
		der = info.Key
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	switch {
	case err == nil:
		return key, nil
	case fips140.Enforced():
		return nil, errors.New("the private key cannot be parsed, or is not allowed in this process (FIPS 140, GODEBUG=fips140=only)")
	}
	return nil, errBadKey
}

// unmarshal parses DER with nothing after it.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing data")
	}
	return err
}
