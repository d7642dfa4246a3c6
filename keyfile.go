// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"hash"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/scrypt"
	"software.sslmate.com/src/go-pkcs12"
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
// It is cut off after 200 characters, with the path before it.
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

// A pbes2 is how something is encrypted with a password (RFC 8018 section 6.2).
type pbes2 struct {
	cipher blockCipher
	iv     []byte
	derive func(password string) ([]byte, error)
}

// parsePBES2 reads the parameters of PBES2. pkcs12 leaves out what go-pkcs12
// does not know.
func (r *keyReader) parsePBES2(params []byte, pkcs12 bool) (*pbes2, error) {
	var p struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if unmarshal(params, &p) != nil {
		return nil, errBadParams
	}
	s := &pbes2{cipher: ciphers[p.Cipher.Algorithm.String()]}
	if s.cipher.new == nil || pkcs12 && !s.cipher.pkcs12 {
		return nil, r.refuseAlgorithm(p.Cipher.Algorithm)
	}
	if unmarshal(p.Cipher.Parameters.FullBytes, &s.iv) != nil {
		return nil, errBadParams
	}
	if !pkcs12 && p.KDF.Algorithm.String() == oidScrypt {
		return s, r.parseScrypt(p.KDF.Parameters.FullBytes, s)
	}
	k, err := r.parsePBKDF2(p.KDF, pkcs12)
	if err != nil {
		return nil, err
	}
	if k.KeyLength != 0 && k.KeyLength != s.cipher.key {
		return nil, errBadParams
	}
	s.derive = func(password string) ([]byte, error) {
		return pbkdf2.Key(k.hash, password, k.Salt, k.Iterations, s.cipher.key)
	}
	return s, nil
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type pbkdf2Function struct {
	pbkdf2Params
	hash func() hash.Hash
}

func (r *keyReader) parsePBKDF2(kdf pkix.AlgorithmIdentifier, pkcs12 bool) (k pbkdf2Function, err error) {
	if kdf.Algorithm.String() != oidPBKDF2 {
		return k, r.refuseAlgorithm(kdf.Algorithm)
	}
	if unmarshal(kdf.Parameters.FullBytes, &k.pbkdf2Params) != nil {
		return k, errBadParams
	}
	k.hash = sha1.New // the default of RFC 8018
	if oid := k.PRF.Algorithm; oid != nil {
		f := prfs[oid.String()]
		if f.hash == nil || pkcs12 && !f.pkcs12 {
			return k, r.refuseAlgorithm(oid)
		}
		k.hash = f.hash
	}
	return k, r.spend(k.Iterations)
}

func (r *keyReader) parseScrypt(params []byte, s *pbes2) error {
	var p struct { // RFC 7914 section 7.1
		Salt      []byte
		N, R, P   int
		KeyLength int `asn1:"optional"`
	}
	if unmarshal(params, &p) != nil || min(p.N, p.R, p.P) < 1 || p.N&(p.N-1) != 0 || p.KeyLength != 0 && p.KeyLength != s.cipher.key {
		return errBadParams
	}
	if p.N > maxScrypt || p.R > maxScrypt/p.N || p.P > maxScrypt/p.N/p.R {
		return r.refuse("scrypt with N·r·p above " + strconv.Itoa(maxScrypt))
	}
	s.derive = func(password string) ([]byte, error) {
		return scrypt.Key([]byte(password), p.Salt, p.N, p.R, p.P, s.cipher.key)
	}
	return nil
}

// An encryptedKey is an EncryptedPrivateKeyInfo of RFC 5208.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// decrypt opens an encrypted PKCS#8 key.
func (r *keyReader) decrypt(der []byte, password string) ([]byte, error) {
	var info encryptedKey
	if unmarshal(der, &info) != nil {
		return nil, errBadKey
	}
	if info.Algorithm.Algorithm.String() != oidPBES2 {
		return nil, r.refuseAlgorithm(info.Algorithm.Algorithm)
	}
	s, err := r.parsePBES2(info.Algorithm.Parameters.FullBytes, false)
	if err != nil {
		return nil, err
	}
	key, err := s.derive(password)
	if err != nil {
		return nil, errors.New("its encryption is not allowed in this process (FIPS 140)")
	}
	block, err := s.cipher.new(key)
	if err != nil || len(s.iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%len(s.iv) != 0 {
		return nil, errBadParams
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, info.Data)
	pad := plain[len(plain)-1]
	body := len(plain) - int(pad)
	if pad == 0 || int(pad) > len(s.iv) || !bytes.Equal(plain[body:], bytes.Repeat([]byte{pad}, int(pad))) {
		return nil, wrongPassword(password)
	}
	return plain[:body], nil
}

// The parts of PKCS#12 (RFC 7292 section 4) that tell what it will cost.
type (
	pfx struct {
		Version int
		Content contentInfo
		MAC     macData `asn1:"optional"`
	}
	contentInfo struct {
		Raw     asn1.RawContent
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Value     []byte
		}
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	}
	encryptedData struct {
		Version int
		Info    struct {
			Type      asn1.ObjectIdentifier
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte `asn1:"tag:0,optional"`
		}
	}
	safeBag struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue `asn1:"tag:0,explicit"`
	}
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKeyBag        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKey   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// parsePKCS12 reads the structure, so that what cannot be read has a name and
// nothing costs more than it may, and leaves the rest to go-pkcs12.
func parsePKCS12(b []byte, password string) ([]*x509.Certificate, crypto.Signer, error) {
	r := &keyReader{convert: "openssl pkcs12 -in OLD -out NEW.pem", legacy: " -legacy", left: maxIterations}
	var file pfx
	var content []byte
	var parts []contentInfo
	if unmarshal(b, &file) != nil || file.Version != 3 {
		return nil, nil, r.notPKCS12(b)
	}
	if !file.Content.Type.Equal(oidData) {
		return nil, nil, r.refuseAlgorithm(file.Content.Type)
	}
	if unmarshal(file.Content.Content.Bytes, &content) != nil || unmarshal(content, &parts) != nil {
		return nil, nil, r.badInside()
	}
	sealed := file.MAC.Digest.Algorithm.Algorithm != nil
	if sealed {
		if err := r.checkMAC(file.MAC); err != nil {
			return nil, nil, err
		}
	}
	plain, encrypted, keys, err := r.checkParts(parts)
	switch {
	case err != nil:
		return nil, nil, err
	case keys > 1:
		return nil, nil, errSecondKey
	case keys == 0 && len(encrypted) > 0:
		return nil, nil, errors.New("no private key in it, or only inside the encrypted part; if so, convert with: " + r.convert)
	case keys == 0:
		return nil, nil, errors.New("no private key in it")
	case len(parts) > 2:
		return nil, nil, r.refuse("PKCS#12 in more than two parts")
	}
	if strings.ContainsFunc(password, func(c rune) bool { return c > 0xffff }) {
		return nil, nil, r.refuse("a PKCS#12 password with characters beyond U+FFFF")
	}
	if sealed {
		if err := verifyMAC(b, password); err != nil {
			return nil, nil, err
		}
	}
	// The plain part, with the key, goes first: when the library comes upon a
	// key that is hidden in the encrypted part, after as many iterations as that
	// one asks for, it knows one already and stops.
	parts = append(plain, encrypted...)
	encodings := [][]byte{bmpString(password)}
	if password == "" {
		encodings = append(encodings, nil) // "" is written in two ways
	}
	for _, encoded := range encodings {
		chain, key, err := decodeParts(parts, encoded, password)
		if err != nil {
			continue
		}
		s, err := signer(key)
		if err != nil {
			return nil, nil, err
		}
		return chain, s, checkModuli(chain)
	}
	if sealed {
		return nil, nil, errors.New("damaged, or the key has another password than the file; convert with: " + r.convert + " -twopass")
	}
	return nil, nil, wrongPassword(password)
}

// notPKCS12 says what else b is.
func (r *keyReader) notPKCS12(b []byte) error {
	if b[1] == 0x80 { // of indefinite length, as some tools write it
		return r.refuse("PKCS#12 in BER")
	}
	if _, err := x509.ParseCertificate(b); err == nil {
		return errors.New("a certificate in DER; convert with: openssl x509 -inform der -in OLD -out NEW.pem")
	}
	if _, err := parsePKCS8(b); !errors.Is(err, errBadKey) {
		return errors.New("a private key in DER; convert with: openssl pkey -inform der -in OLD -out NEW.pem")
	}
	return errBadFile
}

// badInside is for what is PKCS#12 only outside: some write BER there.
func (r *keyReader) badInside() error { return r.refuse("damaged PKCS#12, or BER inside,") }

// checkParts sorts the parts and counts the keys.
func (r *keyReader) checkParts(parts []contentInfo) (plain, encrypted []contentInfo, keys int, err error) {
	for _, part := range parts {
		switch {
		case part.Type.Equal(oidData):
			var content []byte
			var bags []safeBag
			if unmarshal(part.Content.Bytes, &content) != nil || unmarshal(content, &bags) != nil {
				return nil, nil, 0, r.badInside()
			}
			for _, bag := range bags {
				if err := r.checkBag(bag); err != nil {
					return nil, nil, 0, err
				}
				if bag.ID.Equal(oidKeyBag) || bag.ID.Equal(oidShroudedKey) {
					keys++
				}
			}
			plain = append(plain, part)
		case part.Type.Equal(oidEncryptedData):
			var data encryptedData
			if unmarshal(part.Content.Bytes, &data) != nil {
				return nil, nil, 0, r.badInside()
			}
			if err := r.checkCipher(data.Info.Algorithm); err != nil {
				return nil, nil, 0, err
			}
			encrypted = append(encrypted, part)
		default:
			return nil, nil, 0, r.refuseAlgorithm(part.Type)
		}
	}
	return plain, encrypted, keys, nil
}

func (r *keyReader) checkBag(bag safeBag) error {
	switch {
	case bag.ID.Equal(oidKeyBag):
		_, err := parsePKCS8(bag.Value.Bytes)
		return err
	case bag.ID.Equal(oidShroudedKey):
		var info encryptedKey
		if len(bag.Value.Bytes) > maxKeySize || unmarshal(bag.Value.Bytes, &info) != nil {
			return errBadKey
		}
		return r.checkCipher(info.Algorithm)
	}
	return nil
}

func (r *keyReader) checkCipher(a pkix.AlgorithmIdentifier) error {
	oid := a.Algorithm.String()
	if oid == oidPBES2 {
		_, err := r.parsePBES2(a.Parameters.FullBytes, true)
		return err
	}
	if !pkcs12Ciphers[oid] {
		return r.refuseAlgorithm(a.Algorithm)
	}
	var p struct {
		Salt       []byte
		Iterations int
	}
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return errBadParams
	}
	return r.spend(p.Iterations)
}

func (r *keyReader) checkMAC(mac macData) error {
	a := mac.Digest.Algorithm
	if oid := a.Algorithm.String(); oid != oidPBMAC1 {
		if !macDigests[oid] {
			return r.refuseAlgorithm(a.Algorithm)
		}
		return r.spend(mac.Iterations)
	}
	var p struct{ KDF, MAC pkix.AlgorithmIdentifier } // RFC 9579
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return errBadParams
	}
	if !prfs[p.MAC.Algorithm.String()].pkcs12 {
		return r.refuseAlgorithm(p.MAC.Algorithm)
	}
	k, err := r.parsePBKDF2(p.KDF, true)
	if err != nil {
		return err
	}
	if k.KeyLength < 20 || k.KeyLength > 64 { // what the library takes
		return errBadParams
	}
	return nil
}

// verifyMAC reports whether password opens the file.
func verifyMAC(b []byte, password string) (err error) {
	defer func() {
		if recover() != nil {
			err = errBadFile
		}
	}()
	// After the MAC it fails: no file with a key is a trust store.
	if _, err := pkcs12.DecodeTrustStore(b, password); errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return wrongPassword(password)
	}
	return nil
}

// decodeParts has the library decode parts, put together to a file with a MAC of
// one iteration. encoded is the password as PKCS#12's own functions take it.
func decodeParts(parts []contentInfo, encoded []byte, password string) (chain []*x509.Certificate, key any, err error) {
	defer func() {
		if recover() != nil { // it panics under FIPS 140 only
			err = errBadFile
		}
	}()
	content, err := asn1.Marshal(parts)
	if err != nil {
		return nil, nil, err
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, nil, err
	}
	// RFC 7292 appendix B.2 for one block and one iteration: the purpose, the
	// salt and the password, each repeated to full blocks of 64 bytes.
	salt := make([]byte, 8)
	in := append(bytes.Repeat([]byte{3}, 64), bytes.Repeat(salt, 8)...)
	if n := len(encoded); n > 0 {
		blocks := (n + 63) / 64
		in = append(in, bytes.Repeat(encoded, blocks*64/n+1)[:blocks*64]...)
	}
	macKey := sha256.Sum256(in)
	mac := hmac.New(sha256.New, macKey[:])
	mac.Write(content)
	file := pfx{Version: 3, MAC: macData{Salt: salt, Iterations: 1}}
	file.Content = contentInfo{Type: oidData, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: octets}}
	file.MAC.Digest.Algorithm.Algorithm = oidSHA256
	file.MAC.Digest.Value = mac.Sum(nil)
	der, err := asn1.Marshal(file)
	if err != nil {
		return nil, nil, err
	}
	key, leaf, chain, err := pkcs12.DecodeChain(der, password)
	if err != nil {
		return nil, nil, err
	}
	return append(chain, leaf), key, nil
}

// bmpString is s as PKCS#12's own functions take passwords: UTF-16, and a zero.
func bmpString(s string) []byte {
	var b []byte
	for _, c := range s {
		b = append(b, byte(c>>8), byte(c))
	}
	return append(b, 0, 0)
}
