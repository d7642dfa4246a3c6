// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/fips140"
	"crypto/pbkdf2"
	"crypto/rsa"
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

const (
	oidRSA           = "1.2.840.113549.1.1.1"
	oidPBKDF2        = "1.2.840.113549.1.5.12"
	oidPBES2         = "1.2.840.113549.1.5.13"
	oidPBMAC1        = "1.2.840.113549.1.5.14"
	oidScrypt        = "1.3.6.1.4.1.11591.4.11"
	oidData          = "1.2.840.113549.1.7.1"
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidEncryptedData = "1.2.840.113549.1.7.6"
	oidX509          = "1.2.840.113549.1.9.22.1"
	oidKeyBag        = "1.2.840.113549.1.12.10.1.1"
	oidShroudedKey   = "1.2.840.113549.1.12.10.1.2"
	oidCertBag       = "1.2.840.113549.1.12.10.1.3"
	oidSafeContents  = "1.2.840.113549.1.12.10.1.6"
)

type blockCipher struct {
	keySize int // in bytes
	new     func([]byte) (cipher.Block, error)
}

// What is read, by OID. RFC 8018 appendix B lists the functions and ciphers of
// PBES2, RFC 7292 appendix C the ciphers that PKCS#12 has of its own.
var (
	prfs = map[string]func() hash.Hash{
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	digests = map[string]func() hash.Hash{
		"1.3.14.3.2.26":          sha1.New,
		"2.16.840.1.101.3.4.2.4": sha256.New224,
		"2.16.840.1.101.3.4.2.1": sha256.New,
		"2.16.840.1.101.3.4.2.2": sha512.New384,
		"2.16.840.1.101.3.4.2.3": sha512.New,
	}
	ciphers = map[string]blockCipher{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
	pkcs12Ciphers = map[string]blockCipher{
		"1.2.840.113549.1.12.1.3": {24, des.NewTripleDESCipher},
		"1.2.840.113549.1.12.1.4": {16, func(k []byte) (cipher.Block, error) { return des.NewTripleDESCipher(append(k, k[:8]...)) }},
		"1.2.840.113549.1.12.1.5": {16, newRC2},
		"1.2.840.113549.1.12.1.6": {5, newRC2},
	}
)

// refusedAlgorithms have a name here because files in use have them. A star
// marks those of OpenSSL 3's legacy provider.
var refusedAlgorithms = map[string]string{
	"1.2.840.113549.1.5.1":      "*PBE-MD2-DES",
	"1.2.840.113549.1.5.3":      "*PBE-MD5-DES",
	"1.2.840.113549.1.5.4":      "*PBE-MD2-RC2-64",
	"1.2.840.113549.1.5.6":      "*PBE-MD5-RC2-64",
	"1.2.840.113549.1.5.10":     "*PBE-SHA1-DES",
	"1.2.840.113549.1.5.11":     "*PBE-SHA1-RC2-64",
	"1.2.840.113549.1.12.1.1":   "*PBE-SHA1-RC4-128",
	"1.2.840.113549.1.12.1.2":   "*PBE-SHA1-RC4-40",
	"1.2.840.113549.3.2":        "*RC2-CBC",
	"1.3.14.3.2.7":              "*DES-CBC",
	"2.16.840.1.101.3.4.1.6":    "AES-128-GCM",
	"2.16.840.1.101.3.4.1.26":   "AES-192-GCM",
	"2.16.840.1.101.3.4.1.46":   "AES-256-GCM",
	"1.2.392.200011.61.1.1.1.2": "Camellia-128-CBC",
	"1.2.392.200011.61.1.1.1.3": "Camellia-192-CBC",
	"1.2.392.200011.61.1.1.1.4": "Camellia-256-CBC",
	"1.2.840.113549.2.5":        "MD5",
	"2.16.840.1.101.3.4.2.5":    "SHA-512/224",
	"2.16.840.1.101.3.4.2.6":    "SHA-512/256",
	"1.2.840.113549.2.12":       "HMAC-SHA-512/224",
	"1.2.840.113549.2.13":       "HMAC-SHA-512/256",
	oidSignedData:               "a signature",
	"1.2.840.113549.1.7.3":      "somebody's public key",
	"1.2.643.7.1.1.2.2":         "GOST R 34.11-2012",
	"1.2.643.7.1.1.4.2":         "HMAC GOST R 34.11-2012",
	"1.2.643.2.2.21":            "GOST 28147-89",
}

// A decoder reads one file, within the limits of what a file may cost.
type decoder struct {
	// convert is the command that turns the file into one that can be read,
	// still encrypted. OpenSSL 3 needs legacy with it for old algorithms.
	convert, legacy string
	spent           *int // of maxIterations, by the whole file
}

// spend takes n of the iterations that a file may ask for.
func (d *decoder) spend(n int) error {
	if n < 1 {
		return errBadParams
	}
	if n > maxIterations-*d.spent {
		return d.refuse("a password hash with more than " + strconv.Itoa(maxIterations) + " iterations")
	}
	*d.spent += n
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
	name, legacy := strings.CutPrefix(cmp.Or(refusedAlgorithms[id], ident.OneLine(id, 64)), "*")
	if !legacy {
		return d.refuse(name)
	}
	return errors.New(d.refuse(name).Error() + d.legacy)
}

// A pbe is encryption with a password: a function derives a key for a block
// cipher in CBC mode from it.
type pbe struct {
	cipher blockCipher
	derive func(password string) (key, iv []byte, err error)
}

// parsePBE reads the algorithm that something is encrypted with.
func (d *decoder) parsePBE(a pkix.AlgorithmIdentifier) (*pbe, error) {
	oid := a.Algorithm.String()
	if oid == oidPBES2 {
		return d.parsePBES2(a.Parameters.FullBytes)
	}
	c, ok := pkcs12Ciphers[oid]
	if !ok {
		return nil, d.refuseAlgorithm(a.Algorithm)
	}
	var p struct { // RFC 7292 appendix C
		Salt       []byte
		Iterations int
	}
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return nil, errBadParams
	}
	return &pbe{c, func(password string) (key, iv []byte, err error) {
		if err := d.spend(p.Iterations); err != nil {
			return nil, nil, err
		}
		secret := bmpString(password)
		return pkcs12Key(sha1.New, 1, p.Salt, secret, p.Iterations, c.keySize), pkcs12Key(sha1.New, 2, p.Salt, secret, p.Iterations, 8), nil
	}}, nil
}

// parsePBES2 reads the parameters of PBES2 (RFC 8018 appendix A.4).
func (d *decoder) parsePBES2(params []byte) (*pbe, error) {
	var p struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if unmarshal(params, &p) != nil {
		return nil, errBadParams
	}
	c, ok := ciphers[p.Cipher.Algorithm.String()]
	if !ok {
		return nil, d.refuseAlgorithm(p.Cipher.Algorithm)
	}
	var iv []byte
	if unmarshal(p.Cipher.Parameters.FullBytes, &iv) != nil {
		return nil, errBadParams
	}
	derive, err := d.parseKDF(p.KDF, c.keySize)
	if err != nil {
		return nil, err
	}
	return &pbe{c, func(password string) (key, _ []byte, err error) {
		key, err = derive(utf8Password(password))
		return key, iv, err
	}}, nil
}

// parseKDF reads the function that derives a key of size bytes.
func (d *decoder) parseKDF(kdf pkix.AlgorithmIdentifier, size int) (derive func(password string) ([]byte, error), err error) {
	if kdf.Algorithm.String() == oidScrypt {
		return d.parseScrypt(kdf.Parameters.FullBytes, size)
	}
	k, hash, err := d.parsePBKDF2(kdf)
	if err != nil {
		return nil, err
	}
	if k.KeyLength != 0 && k.KeyLength != size {
		return nil, errBadParams
	}
	return func(password string) ([]byte, error) {
		if err := d.spend(k.Iterations); err != nil {
			return nil, err
		}
		key, err := pbkdf2.Key(hash, password, k.Salt, k.Iterations, size)
		if err != nil {
			return nil, errFIPS // which asks for a longer salt and the like
		}
		return key, nil
	}, nil
}

// pbkdf2Params are those of RFC 8018 appendix A.2.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

func (d *decoder) parsePBKDF2(kdf pkix.AlgorithmIdentifier) (k pbkdf2Params, hash func() hash.Hash, err error) {
	if kdf.Algorithm.String() != oidPBKDF2 {
		return k, nil, d.refuseAlgorithm(kdf.Algorithm)
	}
	if unmarshal(kdf.Parameters.FullBytes, &k) != nil {
		return k, nil, errBadParams
	}
	if k.PRF.Algorithm == nil {
		return k, sha1.New, nil // the default of RFC 8018
	}
	if hash = prfs[k.PRF.Algorithm.String()]; hash == nil {
		return k, nil, d.refuseAlgorithm(k.PRF.Algorithm)
	}
	return k, hash, nil
}

func (d *decoder) parseScrypt(params []byte, size int) (derive func(password string) ([]byte, error), err error) {
	var p struct { // RFC 7914 section 7.1
		Salt      []byte
		N, R, P   int
		KeyLength int `asn1:"optional"`
	}
	if unmarshal(params, &p) != nil || p.N < 2 || min(p.R, p.P) < 1 || p.N&(p.N-1) != 0 || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errBadParams
	}
	if p.N > maxScrypt || p.R > maxScrypt/p.N || p.P > maxScrypt/p.N/p.R { // not N·r·p, which may overflow
		return nil, d.refuse("scrypt with N·r·p above " + strconv.Itoa(maxScrypt))
	}
	return func(password string) ([]byte, error) {
		if err := d.spend(p.N * p.R * p.P); err != nil {
			return nil, err
		}
		return scrypt.Key([]byte(password), p.Salt, p.N, p.R, p.P, size)
	}, nil
}

// pbmac1Key derives the key of a MAC as in RFC 9579.
func (d *decoder) pbmac1Key(a pkix.AlgorithmIdentifier, password string) (hash func() hash.Hash, key []byte, err error) {
	var p struct{ KDF, MAC pkix.AlgorithmIdentifier }
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return nil, nil, errBadParams
	}
	if hash = prfs[p.MAC.Algorithm.String()]; hash == nil {
		return nil, nil, d.refuseAlgorithm(p.MAC.Algorithm)
	}
	k, _, err := d.parsePBKDF2(p.KDF)
	if err != nil {
		return nil, nil, err
	}
	if k.KeyLength < 16 || k.KeyLength > 64 {
		return nil, nil, errBadParams
	}
	derive, err := d.parseKDF(p.KDF, k.KeyLength)
	if err != nil {
		return nil, nil, err
	}
	key, err = derive(utf8Password(password))
	return hash, key, err
}

var (
	errWrongPassword = errors.New("wrong password")
	errGibberish     = errors.New("what was decrypted makes no sense")
)

// noPanic makes an error of the panics that hashes, ciphers and scrypt have where
// FIPS 140 is enforced.
func noPanic(err *error) {
	switch {
	case recover() == nil:
	case fips140.Enforced():
		*err = errFIPS
	default:
		*err = errBadFile
	}
}

// decrypt has read take what data is with the first of the passwords that fits.
// errWrongPassword is for read's errGibberish too.
func (d *decoder) decrypt(a pkix.AlgorithmIdentifier, data []byte, passwords []string, read func(plain []byte) error) error {
	p, err := d.parsePBE(a)
	if err != nil {
		return err
	}
	for _, password := range passwords {
		plain, err := p.open(data, password)
		if err == nil {
			err = read(plain)
		}
		if !errors.Is(err, errWrongPassword) && !errors.Is(err, errGibberish) {
			return err
		}
	}
	return errWrongPassword
}

func (p *pbe) open(data []byte, password string) (plain []byte, err error) {
	defer noPanic(&err)
	key, iv, err := p.derive(password)
	if err != nil {
		return nil, err
	}
	block, err := p.cipher.new(key)
	if err != nil || len(iv) != block.BlockSize() || len(data) == 0 || len(data)%len(iv) != 0 {
		return nil, errBadParams
	}
	plain = make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	// The padding (RFC 8018 section 6.1.1) tells all wrong passwords but about one
	// in 256, which leaves gibberish before it.
	pad := plain[len(plain)-1]
	body := len(plain) - int(pad)
	if pad == 0 || int(pad) > len(iv) || !bytes.Equal(plain[body:], bytes.Repeat([]byte{pad}, int(pad))) {
		return nil, errWrongPassword
	}
	return plain[:body], nil
}

// An encryptedKey is an EncryptedPrivateKeyInfo of RFC 5208.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

func (d *decoder) decryptKey(sealed encryptedKey, passwords []string) (key *rsa.PrivateKey, err error) {
	err = d.decrypt(sealed.Algorithm, sealed.Data, passwords, func(plain []byte) error {
		if key, err = parseKey(plain); errors.Is(err, errBadKey) {
			return errGibberish
		}
		return err
	})
	return key, err
}
