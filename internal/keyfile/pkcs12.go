// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
	"unicode/utf16"
)

// The parts of PKCS#12 (RFC 7292 section 4, with the ContentInfo and
// EncryptedData of RFC 2315).
type (
	pfx struct {
		Version int
		Content contentInfo
		MAC     macData `asn1:"optional"`
	}
	contentInfo struct {
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
			Data      asn1.RawValue `asn1:"tag:0,optional"`
		}
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"set,optional"`
	}
	certBag struct {
		ID   asn1.ObjectIdentifier
		Cert []byte `asn1:"tag:0,explicit"`
	}
)

func (f *pfx) hasMAC() bool { return f.MAC.Digest.Algorithm.Algorithm != nil }

// A pkcs12File is a file while it is read.
type pkcs12File struct {
	*decoder
	*Contents
	opened bool // the MAC is the password's
	// passwords are the forms of the password that may be meant.
	passwords []string
}

// parsePKCS12 reads one file of PKCS#12 into c. go-pkcs12 and x/crypto read two
// parts at most, in DER, and with no limit on what the keys cost.
func (c *Contents) parsePKCS12(b []byte, password string) error {
	f := &pkcs12File{
		decoder:   &decoder{convert: "openssl pkcs12 -in OLD -out NEW.pem", legacy: " -legacy", spent: &c.spent},
		Contents:  c,
		passwords: formsOf(password),
	}
	had := c.Key
	err := f.read(b)
	switch {
	case errors.Is(err, errWrongPassword) && f.opened:
		return errors.New("damaged, or the key has another password than the file; convert with: " + f.convert + " -twopass")
	case errors.Is(err, errWrongPassword):
		return wrongPassword(password)
	case err == nil && c.Key == had:
		return errors.New("no private key in it")
	}
	return err
}

func (f *pkcs12File) read(b []byte) error {
	der, err := toDER(b)
	if err != nil {
		return errBadFile
	}
	var file pfx
	if unmarshal(der, &file) != nil || file.Version != 3 {
		return errBadFile
	}
	if file.Content.Type.String() != oidData {
		return f.refuseAlgorithm(file.Content.Type)
	}
	content, err := f.octets(file.Content)
	if err != nil {
		return err
	}
	if file.hasMAC() {
		if err := f.verifyMAC(file.MAC, content); err != nil {
			return err
		}
	}
	var parts []contentInfo
	if f.parseInner(content, &parts) != nil {
		return f.badInside()
	}
	for _, part := range parts {
		if err := f.readPart(part); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) badInside() error { return d.refuse("damaged PKCS#12") }

// octets returns the string that is the content of type data.
func (d *decoder) octets(c contentInfo) (octets []byte, err error) {
	if unmarshal(c.Content.Bytes, &octets) != nil {
		return nil, d.badInside()
	}
	return octets, nil
}

// parseInner parses what a string holds, in BER.
func (d *decoder) parseInner(b []byte, v any) error {
	der, err := toDER(b)
	if err != nil {
		return err
	}
	return unmarshal(der, v)
}

// readPart reads one part, which is plain or encrypted with the password.
func (f *pkcs12File) readPart(part contentInfo) error {
	switch part.Type.String() {
	case oidData:
		octets, err := f.octets(part)
		if err != nil {
			return err
		}
		if err = f.readBags(octets, maxDepth); errors.Is(err, errGibberish) {
			err = f.badInside()
		}
		return err
	case oidEncryptedData:
		var data encryptedData
		if unmarshal(part.Content.Bytes, &data) != nil {
			return f.badInside()
		}
		return f.decrypt(data.Info.Algorithm, joined(data.Info.Data), f.passwords, func(plain []byte) error {
			return f.readBags(plain, maxDepth)
		})
	}
	return f.refuseAlgorithm(part.Type)
}

// joined returns the string in an implicit tag, which BER may have in pieces.
func joined(v asn1.RawValue) []byte {
	if !v.IsCompound {
		return v.Bytes
	}
	var all, piece []byte
	for rest, err := v.Bytes, error(nil); len(rest) > 0; all = append(all, piece...) {
		if rest, err = asn1.Unmarshal(rest, &piece); err != nil {
			return nil
		}
	}
	return all
}

// readBags reads the bags of a part that is plain now. What does not parse at
// all is what a wrong password makes of it.
func (f *pkcs12File) readBags(b []byte, depth int) error {
	var bags []safeBag
	if f.parseInner(b, &bags) != nil || depth == 0 {
		return errGibberish
	}
	for _, bag := range bags {
		if err := f.readBag(bag, depth); err != nil {
			return err
		}
	}
	return nil
}

func (f *pkcs12File) readBag(bag safeBag, depth int) error {
	switch bag.ID.String() {
	case oidKeyBag, oidShroudedKey: // GnuTLS has plain keys in the latter, too
		key, err := f.parseAnyKey(bag.Value.Bytes, f.passwords)
		if err != nil {
			return err
		}
		return f.addKey(key)
	case oidCertBag:
		var cert certBag
		if unmarshal(bag.Value.Bytes, &cert) != nil || cert.ID.String() != oidX509 {
			return nil // an SDSI certificate, if anything
		}
		return f.add(cert.Cert)
	case oidSafeContents:
		return f.readBags(bag.Value.Bytes, depth-1)
	}
	return nil // a CRL or somebody's own
}

// verifyMAC finds the form of the password that the file was sealed with.
func (f *pkcs12File) verifyMAC(mac macData, content []byte) error {
	for _, password := range f.passwords {
		sum, err := f.mac(mac, password, content)
		if err != nil {
			return err
		}
		if hmac.Equal(sum, mac.Digest.Value) {
			f.opened, f.passwords = true, []string{password}
			return nil
		}
	}
	return errWrongPassword
}

func (f *pkcs12File) mac(mac macData, password string, content []byte) (sum []byte, err error) {
	defer noPanic(&err)
	algorithm := mac.Digest.Algorithm
	hash, ok := digests[algorithm.Algorithm.String()]
	var key []byte
	switch {
	case ok:
		if err := f.spend(mac.Iterations); err != nil {
			return nil, err
		}
		key = pkcs12Key(hash, 3, mac.Salt, bmpString(password), mac.Iterations, hash().Size())
	case algorithm.Algorithm.String() == oidPBMAC1:
		if hash, key, err = f.pbmac1Key(algorithm, password); err != nil {
			return nil, err
		}
	default:
		return nil, f.refuseAlgorithm(algorithm.Algorithm)
	}
	h := hmac.New(hash, key)
	h.Write(content)
	return h.Sum(nil), nil
}

// pkcs12Key derives a key as RFC 7292 appendix B.2 does, for the purpose id: 1 a
// key, 2 an IV, 3 a MAC.
func pkcs12Key(newHash func() hash.Hash, id byte, salt, password []byte, iterations, size int) []byte {
	h := newHash()
	v := h.BlockSize()
	fill := func(b []byte) []byte { // to whole blocks
		if len(b) == 0 {
			return nil
		}
		n := (len(b) + v - 1) / v * v
		return bytes.Repeat(b, n/len(b)+1)[:n]
	}
	in := append(fill(salt), fill(password)...)
	var key []byte
	for {
		h.Reset()
		h.Write(bytes.Repeat([]byte{id}, v))
		h.Write(in)
		a := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		if key = append(key, a...); len(key) >= size {
			return key[:size]
		}
		b := fill(a)[:v]
		for block := in; len(block) > 0; block = block[v:] { // plus b plus one
			carry := 1
			for i := v - 1; i >= 0; i-- {
				carry += int(block[i]) + int(b[i])
				block[i] = byte(carry)
				carry >>= 8
			}
		}
	}
}

// noPassword stands for the empty password in the form of no bytes at all. Some
// tools write that, some the two zero bytes that end a BMPString.
const noPassword = "\x00none"

// formsOf returns the forms of a password that may be meant.
func formsOf(password string) []string {
	if password == "" {
		return []string{"", noPassword}
	}
	return []string{password}
}

// bmpString encodes a password for PKCS#12's own functions (RFC 7292 appendix
// B.1): UTF-16, and a zero.
func bmpString(s string) (b []byte) {
	if s == noPassword {
		return nil
	}
	for _, c := range append(utf16.Encode([]rune(s)), 0) {
		b = append(b, byte(c>>8), byte(c))
	}
	return b
}

// utf8Password is what the functions of PKCS#5 take.
func utf8Password(s string) string {
	if s == noPassword {
		return ""
	}
	return s
}
