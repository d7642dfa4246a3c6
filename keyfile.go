// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what a file may cost: it is read for every token request, and a
// hostile or damaged one must not keep a request from ending.
const (
	// maxIterations is for all the functions together that make keys of the
	// password. Usual are 2,048 to 1,000,000; ten million take seconds.
	maxIterations = 10_000_000
	// maxScrypt bounds N·r·p, so memory to 64 MiB; OpenSSL takes a quarter.
	maxScrypt = 1 << 19
	// maxKeySize is in bytes; RSA with 16,384 bits takes 9.3 KiB. The time that
	// the checks of a key take grows with the cube of its length.
	maxKeySize = 16 << 10
	// maxModulus bounds the keys in certificates, which verify the chain.
	maxModulus = 16384
)

var (
	errNoPassword    = errors.New("it is encrypted and no password was given (Password, PasswordFile, " + envCertPassword + ")")
	errWrongPassword = errors.New("wrong password")
	errBadKey        = errors.New("the private key cannot be parsed")
	errBadCert       = errors.New("a certificate in it cannot be parsed")
	errSecondKey     = errors.New("a second private key")
	errBadFile       = errors.New("neither PEM nor PKCS#12, or damaged")
	errBadParams     = errors.New("the parameters of its encryption cannot be parsed")
)

// wrongPassword says why password, "" for none, does not open a file.
func wrongPassword(password string) error {
	if password == "" {
		return errNoPassword // "" has been tried: some tools encrypt with it
	}
	return errWrongPassword
}

// parseKeyFile returns the certificates and the private key in a file of PEM or
// PKCS#12, which it tells apart by content. Its errors hold neither password
// nor content, nor what the parsers say, as nothing promises that those never
// quote what they could not read.
func parseKeyFile(b []byte, password string) ([]*x509.Certificate, crypto.Signer, error) {
	switch {
	case len(b) > 1 && b[0] == 0x30 && b[1] >= 0x80: // as no text begins
		return parsePKCS12(b, password)
	case bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return nil, nil, errors.New("a Java keystore (JKS); convert with: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12")
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return nil, nil, errors.New("text in UTF-16; convert with: iconv -f UTF-16 -t UTF-8 OLD > NEW") // by PowerShell's ">"
	}
	return parsePEM(bytes.TrimPrefix(b, []byte("\ufeff")), password)
}

// notPEM are PEM blocks that could be taken for what is missing.
var notPEM = map[string]error{
	"EC PRIVATE KEY":      errNotRSA("an elliptic curve"),
	"DSA PRIVATE KEY":     errNotRSA("a DSA"),
	"OPENSSH PRIVATE KEY": errors.New("a private key in OpenSSH's format; convert with: ssh-keygen -p -m PKCS8 -f FILE"),
	"PKCS7":               errors.New("certificates in PKCS#7; convert with: openssl pkcs7 -print_certs -in OLD -out NEW.pem"),
}

func parsePEM(b []byte, password string) (chain []*x509.Certificate, key crypto.Signer, err error) {
	r := &keyReader{convert: "openssl pkcs8 -topk8 -in OLD -out NEW", legacy: " -provider legacy -provider default", left: maxIterations}
	start, blocks := b, 0
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		blocks++
		if block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, errBadCert
			}
			chain = append(chain, cert)
			continue
		}
		k, err := r.parseBlock(block, password)
		if err != nil {
			return nil, nil, err
		}
		if k != nil && key != nil {
			return nil, nil, errSecondKey
		}
		if k != nil {
			key = k
		}
	}
	switch {
	case blocks == 0 && bytes.HasPrefix(bytes.TrimSpace(start), []byte("MII")):
		return nil, nil, errors.New("PKCS#12 in base64, it seems; convert with: base64 -d OLD > NEW")
	case blocks == 0:
		return nil, nil, errBadFile
	}
	return chain, key, checkModuli(chain)
}

// checkModuli refuses certificates that would take minutes to verify with.
func checkModuli(chain []*x509.Certificate) error {
	for _, c := range chain {
		if pub, ok := c.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() > maxModulus {
			return errors.New("a certificate in it has an RSA key longer than 16384 bits")
		}
	}
	return nil
}

// parseBlock returns the private key in a PEM block, nil if the block is
// something else.
func (r *keyReader) parseBlock(block *pem.Block, password string) (crypto.Signer, error) {
	if err := notPEM[block.Type]; err != nil {
		return nil, err
	}
	if info := block.Headers["DEK-Info"]; info != "" {
		name, _, _ := strings.Cut(info, ",")
		if !slices.Contains([]string{"DES-CBC", "DES-EDE3-CBC", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC"}, name) {
			name = "DEK-Info" // not a piece of who knows what
		}
		return nil, r.refuse("encryption by RFC 1423 (" + name + ")")
	}
	switch block.Type {
	case "PRIVATE KEY":
		return parsePKCS8(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		der, err := r.decrypt(block.Bytes, password)
		if err != nil {
			return nil, err
		}
		key, err := parsePKCS8(der)
		if errors.Is(err, errBadKey) {
			// One wrong password in 256 leaves a padding that looks right.
			err = wrongPassword(password)
		}
		return key, err
	case "RSA PRIVATE KEY":
		if len(block.Bytes) > maxKeySize {
			return nil, errBadKey
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errBadKey
		}
		return key, nil
	}
	return nil, nil
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

// parsePKCS8 parses a private key in the form of RFC 5208.
func parsePKCS8(der []byte) (crypto.Signer, error) {
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if len(der) > maxKeySize || unmarshal(der, &info) != nil {
		return nil, errBadKey
	}
	if oid := info.Algorithm.Algorithm; oid.String() != "1.2.840.113549.1.1.1" {
		if kind := otherKeys[oid.String()]; kind != "" {
			return nil, errNotRSA(kind)
		}
		return nil, errNotRSA("a " + dotted(oid))
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errBadKey
	}
	return signer(key)
}

func signer(key any) (crypto.Signer, error) {
	if s, ok := key.(crypto.Signer); ok {
		return s, nil
	}
	return nil, errNotRSA("a key agreement")
}

// unmarshal parses DER with nothing after it.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing data")
	}
	return err
}

// A keyReader reads what one file is encrypted with.
type keyReader struct {
	// convert is the command that makes of a file what can be read here, still
	// encrypted. OpenSSL 3 needs legacy with it for what it keeps apart.
	convert, legacy string
	left            int // of maxIterations
}

type prf struct {
	name   string
	hash   func() hash.Hash
	pkcs12 bool // go-pkcs12 knows it
}

type blockCipher struct {
	name   string
	key    int // length in bytes
	new    func([]byte) (cipher.Block, error)
	pkcs12 bool
}

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBMAC1 = "1.2.840.113549.1.5.14"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
	oidScrypt = "1.3.6.1.4.1.11591.4.11"
)

var (
	prfs = map[string]prf{
		"1.2.840.113549.2.7":  {"HMAC-SHA1", sha1.New, true},
		"1.2.840.113549.2.8":  {"HMAC-SHA224", sha256.New224, false},
		"1.2.840.113549.2.9":  {"HMAC-SHA256", sha256.New, true},
		"1.2.840.113549.2.10": {"HMAC-SHA384", sha512.New384, false},
		"1.2.840.113549.2.11": {"HMAC-SHA512", sha512.New, true},
	}
	ciphers = map[string]blockCipher{
		"2.16.840.1.101.3.4.1.2":  {"AES-128-CBC", 16, aes.NewCipher, true},
		"2.16.840.1.101.3.4.1.22": {"AES-192-CBC", 24, aes.NewCipher, true},
		"2.16.840.1.101.3.4.1.42": {"AES-256-CBC", 32, aes.NewCipher, true},
		"1.2.840.113549.3.7":      {"DES-EDE3-CBC", 24, des.NewTripleDESCipher, false},
	}
	// macDigests are those of PKCS#12's own MAC that go-pkcs12 knows, and
	// pkcs12Ciphers those of PKCS#12's own ciphers, 3DES and RC2.
	macDigests    = map[string]bool{"1.3.14.3.2.26": true, "2.16.840.1.101.3.4.2.1": true, "2.16.840.1.101.3.4.2.3": true}
	pkcs12Ciphers = map[string]bool{"1.2.840.113549.1.12.1.3": true, "1.2.840.113549.1.12.1.5": true, "1.2.840.113549.1.12.1.6": true}

	// otherAlgorithms are the names of what is refused. A star marks those of
	// OpenSSL's legacy provider.
	otherAlgorithms = map[string]string{
		oidScrypt:                   "scrypt",
		"1.2.840.113549.1.5.1":      "*PBE-MD2-DES",
		"1.2.840.113549.1.5.3":      "*PBE-MD5-DES",
		"1.2.840.113549.1.5.4":      "*PBE-MD2-RC2-64",
		"1.2.840.113549.1.5.6":      "*PBE-MD5-RC2-64",
		"1.2.840.113549.1.5.10":     "*PBE-SHA1-DES",
		"1.2.840.113549.1.5.11":     "*PBE-SHA1-RC2-64",
		"1.2.840.113549.1.12.1.1":   "*PBE-SHA1-RC4-128",
		"1.2.840.113549.1.12.1.2":   "*PBE-SHA1-RC4-40",
		"1.2.840.113549.1.12.1.3":   "PBE-SHA1-3DES",
		"1.2.840.113549.1.12.1.4":   "PBE-SHA1-2DES",
		"1.2.840.113549.1.12.1.5":   "*PBE-SHA1-RC2-128",
		"1.2.840.113549.1.12.1.6":   "*PBE-SHA1-RC2-40",
		"1.2.840.113549.3.2":        "*RC2-CBC",
		"1.3.14.3.2.7":              "*DES-CBC",
		"2.16.840.1.101.3.4.1.6":    "AES-128-GCM",
		"2.16.840.1.101.3.4.1.26":   "AES-192-GCM",
		"2.16.840.1.101.3.4.1.46":   "AES-256-GCM",
		"1.2.392.200011.61.1.1.1.2": "Camellia-128-CBC",
		"1.2.392.200011.61.1.1.1.3": "Camellia-192-CBC",
		"1.2.392.200011.61.1.1.1.4": "Camellia-256-CBC",
		"1.2.840.113549.2.5":        "MD5",
		"2.16.840.1.101.3.4.2.4":    "SHA-224",
		"2.16.840.1.101.3.4.2.2":    "SHA-384",
		"1.2.840.113549.1.7.2":      "a signature",
		"1.2.840.113549.1.7.3":      "somebody's public key",
	}
)

// dotted writes an OID that has no name here.
func dotted(oid asn1.ObjectIdentifier) string {
	s := oid.String()
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return s
}

// refuse says that what is not supported, and the command that gets rid of it.
// The text of an Error cuts it off, with the path before it.
func (r *keyReader) refuse(what string) error {
	return errors.New(what + " is not supported; convert with: " + r.convert)
}

// refuseAlgorithm names an algorithm.
func (r *keyReader) refuseAlgorithm(oid asn1.ObjectIdentifier) error {
	id := oid.String()
	name, old := strings.CutPrefix(otherAlgorithms[id], "*")
	switch {
	case name != "":
	case prfs[id].name != "":
		name = prfs[id].name
	case ciphers[id].name != "":
		name = ciphers[id].name
	default:
		name = dotted(oid)
	}
	err := r.refuse(name)
	if old {
		err = errors.New(err.Error() + r.legacy)
	}
	return err
}

// spend takes n from what the file may cost.
func (r *keyReader) spend(n int) error {
	if n < 1 {
		return errBadParams
	}
	if n > r.left {
		return r.refuse("a password hash with more than " + strconv.Itoa(maxIterations) + " iterations")
	}
	r.left -= n
	return nil
}

func errNotRSA(kind string) error {
	return fmt.Errorf("the private key is %s key: entra takes certificates with RSA keys", kind)
}
