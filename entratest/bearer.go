// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// hasBearer says whether the request is authorized with this token (RFC 6750,
// section 2.1).
func (c *call) hasBearer(token string) bool {
	return sameSecret(bearerToken(c.r), token)
}

// bearerToken returns the token of the Authorization header, "" if there is none.
func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
