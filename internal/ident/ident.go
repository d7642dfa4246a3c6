// SPDX-License-Identifier: MIT

// Package ident checks the identifiers of Entra ID (tenants, client IDs,
// scopes) before anything is built from them, and makes text from outside fit
// for an error.
package ident

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrAuthority is the fault of a word in a tenant's place that names an
// authority without one tenant, such as "common".
var ErrAuthority = errors.New("not one tenant")

// Tenant returns the canonical form of a tenant: a GUID or a domain name of two
// labels or more, in lower case. Everything else is refused before a URL is
// built from it: "../x" would change the path, and MSAL gives "adfs" and
// "dstsv2" another meaning. The error is [ErrAuthority] for such words.
func Tenant(id string) (string, error) {
	tenant := strings.ToLower(id)
	switch {
	case id == "":
		return "", errors.New("tenant ID is empty")
	case strings.ContainsFunc(id, func(r rune) bool { return r > '~' }):
		// Not by its lower case: that of the Kelvin sign is an ASCII k.
		return "", fmt.Errorf("tenant ID %s is not ASCII: give an international domain name in its xn-- form", Quote(id))
	case IsGUID(id), IsDomain(id):
		return tenant, nil
	case tenant == "common", tenant == "organizations", tenant == "consumers":
		return "", &authorityError{fmt.Sprintf("tenant ID %q stands for any tenant: an app-only token needs one tenant", id)}
	case tenant == "adfs", tenant == "dstsv2":
		return "", &authorityError{fmt.Sprintf("tenant ID %q is another kind of authority, which is not supported", id)}
	}
	return "", fmt.Errorf("tenant ID %s is neither a GUID nor a domain name", Quote(id))
}

type authorityError struct{ text string }

func (e *authorityError) Error() string        { return e.text }
func (e *authorityError) Is(target error) bool { return target == ErrAuthority }

// ClientID returns the canonical form of an application's ID: a GUID in lower
// case.
func ClientID(id string) (string, error) {
	switch {
	case id == "":
		return "", errors.New("client ID is empty")
	case IsGUID(id):
		return strings.ToLower(id), nil
	}
	return "", fmt.Errorf("client ID %s is not a GUID: want the application (client) ID of the app registration", Quote(id))
}

// CheckScope demands what the client credentials grant demands: one resource
// followed by "/.default". A resource that ends in a slash keeps it, so
// "https://x//.default" is right for "https://x/".
func CheckScope(scope string) error {
	const suffix = "/.default"
	resource, ok := strings.CutSuffix(scope, suffix)
	switch {
	case scope == "":
		return errors.New("scope is empty")
	case len(scope) > 1000:
		return errors.New("scope is longer than 1000 bytes")
	case strings.ContainsAny(scope, " \t\r\n"):
		return errors.New("want exactly one scope, without white space")
	case strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("scope has characters that no scope has (RFC 6749 section 3.3)")
	case !ok:
		return errors.New("want the resource followed by " + suffix)
	case resource == "" || strings.HasSuffix(resource, suffix):
		return errors.New("want one resource in front of " + suffix)
	}
	return nil
}

// IsGUID reports whether s is 8-4-4-4-12 hexadecimal digits, in either letter
// case.
func IsGUID(s string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if form[i] == 'x' && !hex || form[i] == '-' && c != '-' {
			return false
		}
	}
	return true
}

// NewGUID returns a random GUID (RFC 9562, version 4), in lower case.
func NewGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// IsDomain reports whether s is a DNS name of two labels or more, in either
// letter case.
func IsDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 || len(s) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return true
}

// OneLine makes s fit for one line of a log: printable, without line breaks, of
// at most limit bytes.
func OneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		cut := limit - len("…")
		for cut > 0 && s[cut]&0xC0 == 0x80 { // not inside a rune
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}
