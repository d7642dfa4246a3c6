// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"encoding/base64"
)

// newOpaque returns n random bytes as unpadded base64url.
func newOpaque(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
