// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
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
	var sections map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &sections) != nil || sections == nil {
		return wanted, refuse(9002313, "the claims parameter is not a JSON object")
	}
	var token struct {
		Capabilities struct {
			Values []string `json:"values"`
		} `json:"xms_cc"`
		NotBefore struct {
			Value date `json:"value"`
		} `json:"nbf"`
	}
	if raw, ok := sections["access_token"]; ok && json.Unmarshal(raw, &token) != nil {
		return wanted, refuse(9002313, "access_token in the claims parameter cannot be read")
	}
	if nbf := token.NotBefore.Value; !nbf.IsZero() {
		wanted.notBefore = nbf.Unix()
	}
	wanted.cp1 = slices.ContainsFunc(token.Capabilities.Values, func(v string) bool { return strings.EqualFold(v, "cp1") })
	return wanted, nil
}
