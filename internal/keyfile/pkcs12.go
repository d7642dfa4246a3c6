// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// The parts of PKCS#12 (RFC 7292 section 4, with the ContentInfo and
// EncryptedData of RFC 2315) that tell what a file costs.
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

func (f *pfx) hasMAC() bool { return f.MAC.Digest.Algorithm.Algorithm != nil }

// parsePKCS12 looks at the structure first, so that what cannot be read gets a
// name and nothing costs more than it may. go-pkcs12, which limits nothing, does
// the rest.
func parsePKCS12(b []byte, password string) ([]*x509.Certificate, crypto.Signer, error) {
	d := &decoder{convert: "openssl pkcs12 -in OLD -out NEW.pem", legacy: " -legacy", iterations: maxIterations}
	file, parts, err := d.parsePFX(b)
	if err != nil {
		return nil, nil, err
	}
	if strings.ContainsFunc(password, func(c rune) bool { return c > 0xffff }) {
		// Passwords are BMPStrings (RFC 7292 appendix B.1), without surrogates.
		return nil, nil, d.refuse("a PKCS#12 password with characters beyond U+FFFF")
	}
	if file.hasMAC() {
		if err := verifyMAC(b, password); err != nil {
			return nil, nil, err
		}
	}
	chain, key, err := decodeParts(file, parts, password)
	switch {
	case err != nil && file.hasMAC(): // which the password has just opened
		return nil, nil, errors.New("damaged, or the key has another password than the file; convert with: " + d.convert + " -twopass")
	case err != nil:
		return nil, nil, wrongPassword(password)
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, NotRSA("a key agreement")
	}
	return chain, s, checkModuli(chain)
}

// parsePFX reads the structure of a file and demands that all of it can be read.
func (d *decoder) parsePFX(b []byte) (file pfx, parts []contentInfo, err error) {
	if unmarshal(b, &file) != nil || file.Version != 3 {
		return file, nil, d.notPKCS12(b)
	}
	if file.Content.Type.String() != oidData {
		return file, nil, d.refuseAlgorithm(file.Content.Type)
	}
	if err := d.parseData(file.Content, &parts); err != nil {
		return file, nil, err
	}
	if file.hasMAC() {
		if err := d.checkMAC(file.MAC); err != nil {
			return file, nil, err
		}
	}
	return file, parts, d.checkParts(parts)
}

// notPKCS12 says what else b is.
func (d *decoder) notPKCS12(b []byte) error {
	if b[1] == 0x80 { // of indefinite length, as some tools write it
		return d.refuse("PKCS#12 in BER")
	}
	if _, err := x509.ParseCertificate(b); err == nil {
		return errors.New("a certificate in DER; convert with: openssl x509 -inform der -in OLD -out NEW.pem")
	}
	if _, err := parsePKCS8(b); !errors.Is(err, errBadKey) {
		return errors.New("a private key in DER; convert with: openssl pkey -inform der -in OLD -out NEW.pem")
	}
	return errBadFile
}

// parseData parses the DER in an OCTET STRING, the content of type data.
func (d *decoder) parseData(c contentInfo, v any) error {
	var octets []byte
	if unmarshal(c.Content.Bytes, &octets) != nil || unmarshal(octets, v) != nil {
		return d.badInside()
	}
	return nil
}

// badInside is the error for files that are PKCS#12 on the outside only. RFC
// 7292 allows BER, and some tools write it in the inner parts.
func (d *decoder) badInside() error { return d.refuse("damaged PKCS#12, or BER inside,") }

// checkParts demands one private key in sight, and puts the part with it first:
// when go-pkcs12 comes upon another that is hidden in an encrypted part, behind
// as many iterations as that one asks for, it has a key already and stops.
func (d *decoder) checkParts(parts []contentInfo) error {
	for _, part := range parts {
		if err := d.checkPart(part); err != nil {
			return err
		}
	}
	encrypted := func(part contentInfo) bool { return part.Type.String() == oidEncryptedData }
	switch {
	case d.keys > 1:
		return ErrSecondKey
	case d.keys == 0 && slices.ContainsFunc(parts, encrypted):
		return errors.New("no private key in it, or only inside the encrypted part; if so, convert with: " + d.convert)
	case d.keys == 0:
		return errors.New("no private key in it")
	case len(parts) > 2: // go-pkcs12 takes no more
		return d.refuse("PKCS#12 in more than two parts")
	case encrypted(parts[0]):
		slices.Reverse(parts)
	}
	return nil
}

// checkPart counts the private keys in a part, if it is plain.
func (d *decoder) checkPart(part contentInfo) error {
	switch part.Type.String() {
	case oidData:
		var bags []safeBag
		if err := d.parseData(part, &bags); err != nil {
			return err
		}
		for _, bag := range bags {
			if err := d.checkBag(bag); err != nil {
				return err
			}
		}
		return nil
	case oidEncryptedData:
		var data encryptedData
		if unmarshal(part.Content.Bytes, &data) != nil {
			return d.badInside()
		}
		return d.checkCipher(data.Info.Algorithm)
	}
	return d.refuseAlgorithm(part.Type)
}

func (d *decoder) checkBag(bag safeBag) error {
	switch bag.ID.String() {
	case oidKeyBag:
		d.keys++
		_, err := parsePKCS8(bag.Value.Bytes)
		return err
	case oidShroudedKey:
		d.keys++
		var info encryptedKey
		if len(bag.Value.Bytes) > maxKeySize || unmarshal(bag.Value.Bytes, &info) != nil {
			return errBadKey
		}
		return d.checkCipher(info.Algorithm)
	}
	return nil
}

func (d *decoder) checkCipher(a pkix.AlgorithmIdentifier) error {
	oid := a.Algorithm.String()
	if oid == oidPBES2 {
		_, err := d.parsePBES2(a.Parameters.FullBytes, true)
		return err
	}
	if !pkcs12Ciphers[oid] {
		return d.refuseAlgorithm(a.Algorithm)
	}
	var p struct { // RFC 7292 appendix C
		Salt       []byte
		Iterations int
	}
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return errBadParams
	}
	return d.spend(p.Iterations)
}

func (d *decoder) checkMAC(mac macData) error {
	a := mac.Digest.Algorithm
	if oid := a.Algorithm.String(); oid != oidPBMAC1 {
		if !macDigests[oid] {
			return d.refuseAlgorithm(a.Algorithm)
		}
		return d.spend(mac.Iterations)
	}
	var p struct{ KDF, MAC pkix.AlgorithmIdentifier } // RFC 9579
	if unmarshal(a.Parameters.FullBytes, &p) != nil {
		return errBadParams
	}
	if !prfs[p.MAC.Algorithm.String()].pkcs12 {
		return d.refuseAlgorithm(p.MAC.Algorithm)
	}
	k, _, err := d.parsePBKDF2(p.KDF, true)
	if err != nil {
		return err
	}
	if k.KeyLength < 20 || k.KeyLength > 64 { // what go-pkcs12 takes
		return errBadParams
	}
	return nil
}

// noPanic makes an error of a panic, which go-pkcs12 and scrypt have in FIPS 140
// mode.
func noPanic(err *error) {
	if recover() != nil {
		*err = errBadFile
	}
}

// verifyMAC reports whether password opens the file.
func verifyMAC(b []byte, password string) (err error) {
	defer noPanic(&err)
	// go-pkcs12 verifies the MAC before anything else. The errors after that
	// tell nothing, as a file with a key is no trust store.
	if _, err := pkcs12.DecodeTrustStore(b, password); errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return wrongPassword(password)
	}
	return nil
}

// decodeParts has go-pkcs12 decode the parts of a file. That takes no file
// without a MAC, and the MAC tells it how to write an empty password: as two zero
// bytes or as none, which are both in use. So the file gets a new MAC.
func decodeParts(file pfx, parts []contentInfo, password string) (chain []*x509.Certificate, key any, err error) {
	defer noPanic(&err)
	content, err := asn1.Marshal(parts)
	if err != nil {
		return nil, nil, err
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, nil, err
	}
	file.Content = contentInfo{Type: file.Content.Type, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: octets}}
	file.MAC = macData{Salt: make([]byte, 8), Iterations: 1}
	file.MAC.Digest.Algorithm.Algorithm = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} // SHA-256
	encodings := [][]byte{bmpString(password)}
	if password == "" {
		encodings = append(encodings, nil)
	}
	for _, encoded := range encodings {
		mac := hmac.New(sha256.New, macKey(file.MAC.Salt, encoded))
		mac.Write(content)
		file.MAC.Digest.Value = mac.Sum(nil)
		der, err := asn1.Marshal(file)
		if err != nil {
			return nil, nil, err
		}
		if key, leaf, chain, err := pkcs12.DecodeChain(der, password); err == nil {
			return append(chain, leaf), key, nil
		}
	}
	return nil, nil, errBadFile
}

// macKey derives the key of a MAC as RFC 7292 appendix B.2 does for one block
// and one iteration: from the purpose (3), the salt and the password, each
// repeated to full blocks of 64 bytes.
func macKey(salt, password []byte) []byte {
	in := append(bytes.Repeat([]byte{3}, 64), bytes.Repeat(salt, 64/len(salt))...)
	if n := len(password); n > 0 {
		blocks := (n + 63) / 64
		in = append(in, bytes.Repeat(password, blocks*64/n+1)[:blocks*64]...)
	}
	key := sha256.Sum256(in)
	return key[:]
}

// bmpString encodes a password for PKCS#12's own functions (RFC 7292 appendix
// B.1): UTF-16, and a zero.
func bmpString(s string) []byte {
	var b []byte
	for _, c := range s {
		b = append(b, byte(c>>8), byte(c))
	}
	return append(b, 0, 0)
}
