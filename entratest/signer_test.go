// SPDX-License-Identifier: MIT

package entratest_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/apponly/apponly/entratest"
)

func TestRollover(t *testing.T) {
	s := entratest.New(t)
	uri := s.Cloud().Authority() + "/common/discovery/v2.0/keys"
	kids := func() []string { return slices.Sorted(maps.Keys(fetchKeys(t, s.HTTPClient(), uri))) }
	check := func(token string) string {
		t.Helper()
		header, _ := verify(t, s.HTTPClient(), s.Cloud().Authority(), s.Tenant().ID(), token)
		return header["kid"].(string)
	}

	first := tokenOf(s)
	oldKid, oldKey := check(first), fetchKeys(t, s.HTTPClient(), uri)[check(first)]
	s.Rollover()
	newKid := check(tokenOf(s))
	if got := check(first); got != oldKid || newKid == oldKid {
		t.Errorf("kid %s before, %s after; the old token has %s", oldKid, newKid, got)
	}
	if got, want := kids(), slices.Sorted(slices.Values([]string{oldKid, newKid})); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
	if fetchKeys(t, s.HTTPClient(), uri)[newKid].Equal(oldKey) {
		t.Error("the new kid is the old key")
	}
	s.Rollover()
	if got := kids(); len(got) != 2 || slices.Contains(got, oldKid) || !slices.Contains(got, newKid) {
		t.Errorf("published %v after the second rollover, want %s and a new one", got, newKid)
	}
}
