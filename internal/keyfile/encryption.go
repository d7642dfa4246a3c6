// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"golang.org/x/crypto/scrypt"
)

// A prf is the pseudorandom function of PBKDF2 or PBMAC1.
type prf struct {
	name   string
	hash   func() hash.Hash
	pkcs12 bool // go-pkcs12 knows it
}

type blockCipher struct {
	name    string
	keySize int // in bytes
	new     func([]byte) (cipher.Block, error)
	pkcs12  bool
}

const (
	oidRSA           = "1.2.840.113549.1.1.1"
	oidPBKDF2        = "1.2.840.113549.1.5.12"
	oidPBES2         = "1.2.840.113549.1.5.13"
	oidPBMAC1        = "1.2.840.113549.1.5.14"
	oidScrypt        = "1.3.6.1.4.1.11591.4.11"
	oidData          = "1.2.840.113549.1.7.1"
	oidEncryptedData = "1.2.840.113549.1.7.6"
	oidKeyBag        = "1.2.840.113549.1.12.10.1.1"
	oidShroudedKey   = "1.2.840.113549.1.12.10.1.2"
)

// What is read, by OID. RFC 8018 appendix B lists the functions and ciphers of
// PBES2, RFC 7292 appendix C the ciphers that PKCS#12 has of its own.
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
	// macDigests are SHA-1, SHA-256 and SHA-512, pkcs12Ciphers 3DES and RC2.
	macDigests    = map[string]bool{"1.3.14.3.2.26": true, "2.16.840.1.101.3.4.2.1": true, "2.16.840.1.101.3.4.2.3": true}
	pkcs12Ciphers = map[string]bool{"1.2.840.113549.1.12.1.3": true, "1.2.840.113549.1.12.1.5": true, "1.2.840.113549.1.12.1.6": true}
)

// refusedAlgorithms have a name here because files in use have them. A star
// marks those of OpenSSL 3's legacy provider.
var refusedAlgorithms = map[string]string{
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

// A decoder reads one file, within the limits of what a file may cost.
type decoder struct {
	// convert is the command that turns the file into one that can be read,
	// still encrypted. OpenSSL 3 needs legacy with it for old algorithms.
	convert, legacy string
	iterations      int // what is left of maxIterations
	keys            int // found in the plain parts of PKCS#12
}

// spend takes n from the iterations that are left.
func (d *decoder) spend(n int) error {
	if n < 1 {
		return errBadParams
	}
	if n > d.iterations {
		return d.refuse("a password hash with more than " + strconv.Itoa(maxIterations) + " iterations")
	}
	d.iterations -= n
	return nil
}

// refuse says that what is not supported, and which command gets rid of it. The
// command comes last: an error with a long path in it loses its end.
func (d *decoder) refuse(what string) error {
	return errors.New(what + " is not supported; convert with: " + d.convert)
}

// refuseAlgorithm is refuse with the name of an algorithm.
func (d *decoder) refuseAlgorithm(oid asn1.ObjectIdentifier) error {
	id := oid.String()
	name, legacy := strings.CutPrefix(cmp.Or(refusedAlgorithms[id], prfs[id].name, ciphers[id].name, ident.OneLine(id, 64)), "*")
	if !legacy {
		return d.refuse(name)
	}
	return errors.New(d.refuse(name).Error() + d.legacy)
}

// A pbes2 is encryption with a password as in RFC 8018 section 6.2: a function
// derives a key from the password, for a block cipher in CBC mode.
type pbes2 struct {
	cipher blockCipher
	iv     []byte
	derive func(password string) ([]byte, error)
}

// parsePBES2 reads the parameters of PBES2 (RFC 8018 appendix A.4). With pkcs12
// it refuses what go-pkcs12 does not know.
func (d *decoder) parsePBES2(params []byte, pkcs12 bool) (*pbes2, error) {
	var p struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if unmarshal(params, &p) != nil {
		return nil, errBadParams
	}
	s := &pbes2{cipher: ciphers[p.Cipher.Algorithm.String()]}
	if s.cipher.new == nil || pkcs12 && !s.cipher.pkcs12 {
		return nil, d.refuseAlgorithm(p.Cipher.Algorithm)
	}
	if unmarshal(p.Cipher.Parameters.FullBytes, &s.iv) != nil {
		return nil, errBadParams
	}
	if !pkcs12 && p.KDF.Algorithm.String() == oidScrypt {
		return s, d.parseScrypt(p.KDF.Parameters.FullBytes, s)
	}
	k, hash, err := d.parsePBKDF2(p.KDF, pkcs12)
	if err != nil {
		return nil, err
	}
	if k.KeyLength != 0 && k.KeyLength != s.cipher.keySize {
		return nil, errBadParams
	}
	s.derive = func(password string) ([]byte, error) {
		return pbkdf2.Key(hash, password, k.Salt, k.Iterations, s.cipher.keySize)
	}
	return s, nil
}

// pbkdf2Params are those of RFC 8018 appendix A.2.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

func (d *decoder) parsePBKDF2(kdf pkix.AlgorithmIdentifier, pkcs12 bool) (k pbkdf2Params, hash func() hash.Hash, err error) {
	if kdf.Algorithm.String() != oidPBKDF2 {
		return k, nil, d.refuseAlgorithm(kdf.Algorithm)
	}
	if unmarshal(kdf.Parameters.FullBytes, &k) != nil {
		return k, nil, errBadParams
	}
	if k.PRF.Algorithm == nil {
		return k, sha1.New, d.spend(k.Iterations) // the default of RFC 8018
	}
	f := prfs[k.PRF.Algorithm.String()]
	if f.hash == nil || pkcs12 && !f.pkcs12 {
		return k, nil, d.refuseAlgorithm(k.PRF.Algorithm)
	}
	return k, f.hash, d.spend(k.Iterations)
}

func (d *decoder) parseScrypt(params []byte, s *pbes2) error {
	var p struct { // RFC 7914 section 7.1
		Salt      []byte
		N, R, P   int
		KeyLength int `asn1:"optional"`
	}
	if unmarshal(params, &p) != nil || min(p.N, p.R, p.P) < 1 || p.N&(p.N-1) != 0 || p.KeyLength != 0 && p.KeyLength != s.cipher.keySize {
		return errBadParams
	}
	if p.N > maxScrypt || p.R > maxScrypt/p.N || p.P > maxScrypt/p.N/p.R { // not N·r·p, which may overflow
		return d.refuse("scrypt with N·r·p above " + strconv.Itoa(maxScrypt))
	}
	s.derive = func(password string) (key []byte, err error) {
		defer noPanic(&err)
		return scrypt.Key([]byte(password), p.Salt, p.N, p.R, p.P, s.cipher.keySize)
	}
	return nil
}

// An encryptedKey is an EncryptedPrivateKeyInfo of RFC 5208.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

func (d *decoder) decryptPKCS8(der []byte, password string) (crypto.Signer, error) {
	var info encryptedKey
	if unmarshal(der, &info) != nil {
		return nil, errBadKey
	}
	if info.Algorithm.Algorithm.String() != oidPBES2 {
		return nil, d.refuseAlgorithm(info.Algorithm.Algorithm)
	}
	s, err := d.parsePBES2(info.Algorithm.Parameters.FullBytes, false)
	if err != nil {
		return nil, err
	}
	secret, err := s.derive(password)
	if err != nil {
		return nil, errors.New("its encryption is not allowed in this process (FIPS 140)")
	}
	block, err := s.cipher.new(secret)
	if err != nil || len(s.iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%len(s.iv) != 0 {
		return nil, errBadParams
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, info.Data)
	// No MAC tells a wrong password. The padding (RFC 8018 section 6.1.1) tells
	// all but about one in 256, and that one leaves no key before it.
	pad := plain[len(plain)-1]
	body := len(plain) - int(pad)
	if pad == 0 || int(pad) > len(s.iv) || !bytes.Equal(plain[body:], bytes.Repeat([]byte{pad}, int(pad))) {
		return nil, wrongPassword(password)
	}
	key, err := parsePKCS8(plain[:body])
	if errors.Is(err, errBadKey) {
		err = wrongPassword(password)
	}
	return key, err
}
