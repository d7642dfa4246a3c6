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
