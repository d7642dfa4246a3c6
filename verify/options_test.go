// SPDX-License-Identifier: MIT

package verify_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/verify"
)

// All that is wrong is said at once.
func TestNewSaysAll(t *testing.T) {
	_, err := verify.New("x", []verify.Rule{{}, {Tenant: "y", Client: "z", Roles: []string{""}}}, &verify.Options{
		Cloud: cloud.Custom("http://x"), AppIDURIs: []string{"orders", "billing"}, Leeway: time.Hour, Remember: math.MaxInt,
	})
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{
		`client ID`, "https", "rule 1", "exactly one", "neither Client", "rule 2", `Tenant "y"`, `Client "z"`, "Roles has one",
		`"orders"`, `"billing"`, "Leeway", "Remember",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}

	long := "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("x", 500) + ".c2lnbmF0dXJl"
	_, err = verify.New(api, []verify.Rule{{Tenant: long, Client: daemon}}, nil)
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("a token for a tenant: %v", err)
	}
}

// New takes what it was given as it was then, in any letter case, and nil.
func TestNewTakes(t *testing.T) {
	k := newSigner("k1")
	roles := []string{"Orders.Read"}
	rules := []verify.Rule{{Tenant: strings.ToUpper(tenant), Client: strings.ToUpper(daemon), Roles: roles}}
	uris := []string{"api://orders/"}
	s := serveKeys(k.entry())
	v := open(t, s, rules, verify.Options{AppIDURIs: uris})
	roles[0], uris[0], rules[0] = "x", "x", verify.Rule{}
	expect(t, v, k.token(claims(nil)), nil)
	expect(t, v, k.token(claimsV1(fields{"aud": "api://orders"})), nil)
	expect(t, v, k.token(claimsV1(nil)), verify.ErrAudience)
	for _, leeway := range []time.Duration{-1, 0, time.Second, 5 * time.Minute} {
		if _, err := verify.New(strings.ToUpper(api), byRole, &verify.Options{Leeway: leeway, Remember: 1_000_000}); err != nil {
			t.Errorf("leeway %v: %v", leeway, err)
		}
	}
	if _, err := verify.New(api, byRole, nil); err != nil {
		t.Error(err)
	}
}

// A verifier needs nothing but itself: what was made outside a bubble of
// testing/synctest is used in one.
func TestNewOutsideOfABubble(t *testing.T) {
	k := newSigner("k1")
	s := serveKeys(k.entry())
	v := open(t, s, byRole, verify.Options{})
	synctest.Test(t, func(t *testing.T) { expect(t, v, k.token(claims(nil)), nil) })
}
