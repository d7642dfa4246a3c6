// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// oidcScopes are what MSAL adds to every request. They mean nothing without a
// user, and Entra passes over them.
var oidcScopes = []string{"openid", "offline_access", "profile", "email"}

// parseScope returns the resource that a scope names. App-only requests name
// one, and take all roles granted on it.
func parseScope(scope string) (resource string, f *refusal) {
	asked := slices.DeleteFunc(strings.Fields(scope), func(s string) bool { return slices.Contains(oidcScopes, s) })
	var all bool
	for i, s := range asked {
		// What is before the last slash is the resource to the letter: a URI
		// that ends in a slash is asked for with two.
		slash := max(strings.LastIndex(s, "/"), 0)
		if i > 0 && s[:slash] != resource {
			return "", refuse(700022, scope)
		}
		resource = s[:slash]
		all = all || s[slash:] == "/.default"
	}
	switch {
	case !all || resource == "":
		return "", refuse(1002012, scope)
	case len(asked) > 1:
		return "", refuse(70011, scope)
	}
	return resource, nil
}

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
