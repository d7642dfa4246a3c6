// SPDX-License-Identifier: MIT

package entratest_test

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// TestRolloverTwice has a key that was retired not come back at once under
// another name.
func TestRolloverTwice(t *testing.T) {
	s := entratest.New(t)
	seen := make(map[string]bool) // moduli
	for range 3 {
		for _, k := range fetchKeys(t, s.HTTPClient(), s.Cloud().Authority()+"/common/discovery/keys") {
			seen[k.N.String()] = true
		}
		s.Rollover()
	}
	if len(seen) != 3 {
		t.Errorf("%d keys in two rollovers, want 3", len(seen))
	}
}

// TestRolloversTogether has no rollover undone by another.
func TestRolloversTogether(t *testing.T) {
	s := entratest.New(t)
	uri := s.Cloud().Authority() + "/common/discovery/keys"
	for range 50 {
		before := fetchKeys(t, s.HTTPClient(), uri)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(s.Rollover)
		}
		wg.Wait()
		var moduli []string
		for kid, key := range fetchKeys(t, s.HTTPClient(), uri) {
			moduli = append(moduli, key.N.String())
			if before[kid] != nil {
				t.Errorf("after two rollovers %s is still published", kid)
			}
		}
		if len(moduli) != 2 || moduli[0] == moduli[1] {
			t.Fatalf("%d keys published, want two different ones", len(moduli))
		}
	}
}

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
