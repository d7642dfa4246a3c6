// SPDX-License-Identifier: MIT

package sharedcache

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	keySize  = 32
	mostKeys = 8
	version  = 1
)

// A Ring is the keys of a fleet. The first seals, all open.
type Ring []*key

// A key names and seals what lies in a store. Its parts are closures because fmt, spew
// and the like cannot see what a func has captured.
type key struct {
	mac  func(parts ...string) [sha256.Size]byte
	seal func(name string, plain []byte) []byte
	open func(name string, sealed []byte) (plain []byte, ok bool)
}

// NewRing returns the ring of keys of 32 bytes each. Its errors hold nothing of them.
func NewRing(masters ...[]byte) (Ring, error) {
	if len(masters) == 0 {
		return nil, errors.New("there is no key")
	}
	if len(masters) > mostKeys {
		return nil, fmt.Errorf("there are %d keys, at most %d can be used", len(masters), mostKeys)
	}
	var ring Ring
	for i, master := range masters {
		switch {
		case len(master) != keySize:
			return nil, fmt.Errorf("key %d has %d bytes, want %d random ones", i+1, len(master), keySize)
		case bytes.Count(master, master[:1]) == keySize: // a buffer that nobody has filled
			return nil, fmt.Errorf("key %d is one byte repeated, want %d random ones", i+1, keySize)
		}
		k, err := newKey(master)
		if err != nil {
			return nil, err
		}
		ring = append(ring, k)
	}
	return ring, nil
}

// ParseRing returns the ring of keys in a text, one a line in base64 of either alphabet,
// padded or not.
func ParseRing(text []byte) (Ring, error) {
	var masters [][]byte
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(strings.TrimSpace(line), "=")
		if line == "" {
			continue
		}
		master, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(line))
		if err != nil {
			return nil, fmt.Errorf("line %d is not base64", n)
		}
		masters = append(masters, master)
	}
	return NewRing(masters...)
}

// newKey derives a key by HKDF (RFC 5869), one for each of its uses.
func newKey(master []byte) (*key, error) {
	derive := func(use string, size int) (out []byte, err error) {
		return hkdf.Key(sha256.New, master, nil, fmt.Sprintf("apponly shared cache v%d %s", version, use), size)
	}
	nameKey, err1 := derive("name", sha256.Size)
	sealKey, err2 := derive("seal", keySize)
	id, err3 := derive("id", 1)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // 96 bits at random will do for some writes an hour
	if err != nil {
		return nil, err
	}
	header := []byte{version, id[0]}
	// The name is authenticated along: an entry that was moved to another name does
	// not open.
	bound := func(name string) []byte { return append(bytes.Clone(header), name...) }
	return &key{
		mac: func(parts ...string) [sha256.Size]byte {
			h := hmac.New(sha256.New, nameKey)
			for _, p := range parts { // none of which has a zero in it
				h.Write(append([]byte(p), 0))
			}
			return [sha256.Size]byte(h.Sum(nil))
		},
		seal: func(name string, plain []byte) []byte { return aead.Seal(bytes.Clone(header), nil, plain, bound(name)) },
		open: func(name string, sealed []byte) ([]byte, bool) {
			if !bytes.HasPrefix(sealed, header) {
				return nil, false
			}
			plain, err := aead.Open(nil, nil, sealed[len(header):], bound(name))
			return plain, err == nil
		},
	}, nil
}

// nameSize is how much of a MAC a name is made of: 192 bits, in 32 characters.
const nameSize = 24

// name returns what an entry of some kind is found by, which tells nothing of what it is
// about.
func (k *key) name(kind string, about ...string) string {
	sum := k.mac(append([]string{kind}, about...)...)
	return base64.RawURLEncoding.EncodeToString(sum[:nameSize])
}

// claimsMAC identifies the claims that a token was obtained with, zero if none.
func (k *key) claimsMAC(claims string) (mac [16]byte) {
	if claims != "" {
		sum := k.mac("claims", claims)
		copy(mac[:], sum[:])
	}
	return mac
}
