// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	mathrand "math/rand/v2"
)

// guid is an identifier in the form in which a million of them fit in memory.
type guid [16]byte

// newID returns a random (version 4) identifier. Nothing is kept secret by it,
// so it is drawn from the fast generator.
func newID() (g guid) {
	binary.LittleEndian.PutUint64(g[:8], mathrand.Uint64())
	binary.LittleEndian.PutUint64(g[8:], mathrand.Uint64())
	g[6] = g[6]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// String returns the form Entra writes identifiers in.
func (g guid) String() string {
	var b [36]byte
	hex.Encode(b[:8], g[:4])
	hex.Encode(b[9:13], g[4:6])
	hex.Encode(b[14:18], g[6:8])
	hex.Encode(b[19:23], g[8:10])
	hex.Encode(b[24:], g[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func newGUID() string { return newID().String() }

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// newOpaque returns n random bytes as unpadded base64url.
func newOpaque(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
