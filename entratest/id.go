// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/apponly/apponly/internal/ident"
)

// newOpaque returns n random bytes as unpadded base64url.
func newOpaque(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// emptyGUID is what an identifier that was never filled in looks like.
const emptyGUID = "00000000-0000-0000-0000-000000000000"

// checkID says what is wrong with an ID that somebody has chosen.
func checkID(id string) error {
	if !ident.IsGUID(id) || id == emptyGUID {
		return fmt.Errorf("%q is not a GUID that something can have", id)
	}
	return nil
}
