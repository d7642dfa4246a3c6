// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// checkTenant returns the canonical form of a tenant: a GUID or a domain name
// of two labels or more, in lower case. Everything else is refused before a URL
// is built of it: "../x" would change the path, and MSAL gives "adfs" and
// "dstsv2" another meaning.
func checkTenant(id string) (string, error) {
	tenant := strings.ToLower(id)
	switch {
	case id == "":
		return "", faultf(ErrTenantNotFound, "apponly: tenant ID is empty")
	case strings.ContainsFunc(id, func(r rune) bool { return r > '~' }):
		// Not by its lower case: that of the Kelvin sign is an ASCII k.
		return "", faultf(ErrTenantNotFound, "apponly: tenant ID %s is not ASCII: give an international domain name in its xn-- form", shown(id))
	case isGUID(tenant), isDomain(tenant):
		return tenant, nil
	case tenant == "common", tenant == "organizations", tenant == "consumers":
		return "", faultf(ErrAuthorityInvalid, "apponly: tenant ID %q stands for any tenant: an app-only token needs one tenant", id)
	case tenant == "adfs", tenant == "dstsv2":
		return "", faultf(ErrAuthorityInvalid, "apponly: tenant ID %q is another kind of authority, which is not supported", id)
	default:
		return "", faultf(ErrTenantNotFound, "apponly: tenant ID %s is neither a GUID nor a domain name", shown(id))
	}
}

func checkClientID(id string) (string, error) {
	switch lower := strings.ToLower(id); {
	case id == "":
		return "", faultf(ErrAppNotFound, "apponly: client ID is empty")
	case isGUID(lower):
		return lower, nil
	}
	return "", faultf(ErrAppNotFound, "apponly: client ID %s is not a GUID: want the application (client) ID of the app registration", shown(id))
}

// shown returns an identifier that is none, for an error: a mistyped GUID, or a
// word as short as no secret. Variables get swapped, and a secret in the place
// of an ID must not be printed.
func shown(id string) string {
	word := len(id) <= 14 && strings.Trim(strings.ToLower(id), "abcdefghijklmnopqrstuvwxyz0123456789-_./* ") == ""
	if word || strings.Trim(id, "0123456789abcdefABCDEF-{} ") == "" {
		return strconv.Quote(clean(id, 60))
	}
	return fmt.Sprintf("of %d bytes", len(id))
}

func checkAllowed(tenants []string) ([]string, error) {
	var allowed []string
	var errs []error
	for _, id := range tenants {
		if id == "*" {
			allowed = append(allowed, id)
			continue
		}
		tenant, err := checkTenant(id)
		if err != nil {
			errs = append(errs, within("Options.AllowedTenants", err))
			continue
		}
		allowed = append(allowed, tenant)
	}
	return allowed, errors.Join(errs...)
}

// checkScope demands what the client credentials grant demands: one resource
// and "/.default" behind it. A resource that ends in a slash keeps it, so
// "https://x//.default" is right for "https://x/".
func checkScope(scope string) error {
	const suffix = "/.default"
	resource, ok := strings.CutSuffix(scope, suffix)
	switch {
	case scope == "":
		return faultf(ErrScopeInvalid, "scope is empty")
	case len(scope) > 1000:
		return faultf(ErrScopeInvalid, "scope is longer than 1000 bytes")
	case strings.ContainsAny(scope, " \t\r\n"):
		return faultf(ErrScopeInvalid, "want exactly one scope, without white space")
	case strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' }):
		return faultf(ErrScopeInvalid, "scope has characters that no scope has (RFC 6749 section 3.3)")
	case !ok:
		return faultf(ErrScopeInvalid, "want the resource followed by %s", suffix)
	case resource == "" || strings.HasSuffix(resource, "/.default"):
		return faultf(ErrScopeInvalid, "want one resource in front of %s", suffix)
	}
	return nil
}

// isGUID reports whether s is 8-4-4-4-12 lower-case hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// isDomain reports whether s is a lower-case DNS name of two labels or more.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 || len(s) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
