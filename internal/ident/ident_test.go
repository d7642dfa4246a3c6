// SPDX-License-Identifier: MIT

package ident_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/apponly/apponly/internal/ident"
)

const guid = "8f3b2a10-4c5d-4e6f-8a9b-0c1d2e3f4a5b"

func TestIsGUID(t *testing.T) {
	for s, want := range map[string]bool{
		guid: true, strings.ToUpper(guid): true,
		"": false, guid[1:]: false, guid + "0": false, "{" + guid + "}": false,
		strings.ReplaceAll(guid, "-", ""):      false,
		strings.Replace(guid, "-", "0", 1):     false,
		"8f3b2a1-04c5d-4e6f-8a9b-0c1d2e3f4a5b": false,
		guid[:35] + "g":                        false,
		guid[:34] + "é":                        false,
	} {
		if got := ident.IsGUID(s); got != want {
			t.Errorf("IsGUID(%q) = %v", s, got)
		}
	}
}

func TestNewGUID(t *testing.T) {
	version4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if a, b := ident.NewGUID(), ident.NewGUID(); a == b || !version4.MatchString(a) || !ident.IsGUID(a) {
		t.Errorf("NewGUID = %s, then %s", a, b)
	}
}

func TestIsDomain(t *testing.T) {
	long := strings.Repeat("a", 63)
	for s, want := range map[string]bool{
		"contoso.onmicrosoft.com": true, "A.B": true, "xn--bcher-kva.example": true, long + ".com": true,
		"": false, "com": false, ".com": false, "a..b": false, "a.b.": false, "-a.b": false, "a-.b": false, "a_b.c": false,
		long + "a.com": false, strings.Repeat(long+".", 4) + "com": false,
		"\u212A.com": false, // the Kelvin sign, whose lower case is an ASCII k
	} {
		if got := ident.IsDomain(s); got != want {
			t.Errorf("IsDomain(%q) = %v", s, got)
		}
	}
}

func TestTenant(t *testing.T) {
	if got, err := ident.Tenant(strings.ToUpper(guid)); got != guid || err != nil {
		t.Errorf("Tenant = %q, %v", got, err)
	}
	for id, authority := range map[string]bool{
		"": false, "contoso": false, "../x": false, "ko\u212Atoso.com": false,
		"common": true, "Organizations": true, "consumers": true, "ADFS": true, "dstsv2": true,
	} {
		_, err := ident.Tenant(id)
		if err == nil || errors.Is(err, ident.ErrAuthority) != authority {
			t.Errorf("Tenant(%q): %v", id, err)
		}
	}
	if _, err := ident.Tenant("Xy8~aSecretThatIsInTheWrongPlace"); err == nil || strings.Contains(err.Error(), "Secret") {
		t.Errorf("a secret in a tenant's place: %v", err)
	}
}
