// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// wantedClaims is what this emulator heeds of a claims parameter.
type wantedClaims struct {
	cp1       bool  // the client can answer claims challenges
	notBefore int64 // what an API that revokes tokens asks for, Unix seconds; 0 if nothing
}

// parseClaims reads the claims parameter (OpenID Connect Core, section 5.5).
func parseClaims(text string) (wantedClaims, *refusal) {
	var wanted wantedClaims
	if text == "" {
		return wanted, nil
	}
	sections, err := parseObject([]byte(text))
	if err != nil {
		return wanted, refuse(9002313, "the claims parameter is not a JSON object")
	}
	// A claim may be null: wanted, and no more said about it.
	var token, capabilities, notBefore jsonObject
	var values []string
	var nbf date
	if sections.read("access_token", &token) != nil ||
		token.read("xms_cc", &capabilities) != nil || capabilities.read("values", &values) != nil ||
		token.read("nbf", &notBefore) != nil || notBefore.read("value", &nbf) != nil {
		return wanted, refuse(9002313, "access_token in the claims parameter cannot be read")
	}
	if !nbf.IsZero() {
		wanted.notBefore = nbf.Unix()
	}
	wanted.cp1 = slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, "cp1") })
	return wanted, nil
}
