// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

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
