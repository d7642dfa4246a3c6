// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/x509/pkix"
	"errors"
	"hash"
	"strconv"

	"golang.org/x/crypto/scrypt"
)

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
