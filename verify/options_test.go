// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/verify"
)

// What New refuses, and what it says.
func TestNewRefuses(t *testing.T) {
	asked := func(context.Context, string) (bool, error) { return true, nil }
	rule := func(r verify.Rule) []verify.Rule { return []verify.Rule{r} }
	for name, tc := range map[string]struct {
		clientID string
		rules    []verify.Rule
		o        verify.Options
		says     string
	}{
		"no client ID":            {"", byRole, verify.Options{}, "client ID"},
		"client ID a URI":         {"api://" + api, byRole, verify.Options{}, "client ID"},
		"no rules":                {api, nil, verify.Options{}, "no rules"},
		"no rules at all":         {api, []verify.Rule{}, verify.Options{}, "no rules"},
		"an empty rule":           {api, rule(verify.Rule{}), verify.Options{}, "rule 1"},
		"no tenant":               {api, rule(verify.Rule{Client: daemon}), verify.Options{}, "exactly one of Tenant and TenantFunc"},
		"two kinds of tenant":     {api, rule(verify.Rule{Tenant: tenant, TenantFunc: asked, Client: daemon}), verify.Options{}, "exactly one of Tenant and TenantFunc"},
		"a domain":                {api, rule(verify.Rule{Tenant: "contoso.com", Client: daemon}), verify.Options{}, "contoso.com"},
		"common":                  {api, rule(verify.Rule{Tenant: "common", Client: daemon}), verify.Options{}, "not a GUID"},
		"client a name":           {api, rule(verify.Rule{Tenant: tenant, Client: "daemon"}), verify.Options{}, "Client"},
		"anybody":                 {api, rule(verify.Rule{Tenant: tenant}), verify.Options{}, "neither Client nor Roles"},
		"anybody of any tenant":   {api, rule(verify.Rule{TenantFunc: asked, Roles: []string{}}), verify.Options{}, "neither Client nor Roles"},
		"no role is enough":       {api, rule(verify.Rule{Tenant: tenant, Client: daemon, Roles: []string{}}), verify.Options{}, "no role would be enough"},
		"an empty role":           {api, rule(verify.Rule{Tenant: tenant, Roles: []string{"A", ""}}), verify.Options{}, "Roles"},
		"two roles in one":        {api, rule(verify.Rule{Tenant: tenant, Roles: []string{"A B"}}), verify.Options{}, "white space"},
		"the second rule":         {api, append(rule(verify.Rule{Tenant: tenant, Client: daemon}), verify.Rule{}), verify.Options{}, "rule 2"},
		"keys of one for all":     {api, rule(verify.Rule{TenantFunc: asked, Client: daemon}), verify.Options{CustomSigningKeys: true}, "CustomSigningKeys"},
		"too much leeway":         {api, byRole, verify.Options{Leeway: 5*time.Minute + 1}, "Leeway"},
		"too much memory":         {api, byRole, verify.Options{Remember: math.MaxInt}, "Remember"},
		"App ID URI without one":  {api, byRole, verify.Options{AppIDURIs: []string{"orders"}}, "AppIDURIs"},
		"App ID URI a client ID":  {api, byRole, verify.Options{AppIDURIs: []string{api}}, "audience anyway"},
		"App ID URI empty":        {api, byRole, verify.Options{AppIDURIs: []string{"api://a", ""}}, "AppIDURIs"},
		"App ID URI of no end":    {api, byRole, verify.Options{AppIDURIs: []string{"api://" + strings.Repeat("a", 1000)}}, "AppIDURIs"},
		"cloud over plain HTTP":   {api, byRole, verify.Options{Cloud: cloud.Custom("http://sts.example")}, "https"},
		"something with a secret": {api, rule(verify.Rule{Tenant: "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl" + strings.Repeat("x", 500), Client: daemon}), verify.Options{}, "not a GUID"},
	} {
		v, err := verify.New(tc.clientID, tc.rules, &tc.o)
		if v != nil || err == nil || !strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), "verify: ") {
			t.Errorf("%s: %v, want something about %q", name, err, tc.says)
		}
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

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

// Microsoft asks for idtyp where apps are let in by their client IDs. New says so once.
func TestNewWarns(t *testing.T) {
	list := verify.Rule{Tenant: tenant, Client: daemon}
	for name, tc := range map[string]struct {
		rules   []verify.Rule
		require bool
		want    int
	}{
		"by role":                 {byRole, false, 0},
		"by role and client ID":   {[]verify.Rule{{Tenant: tenant, Client: daemon, Roles: []string{"A"}}}, false, 0},
		"by client ID":            {[]verify.Rule{list}, false, 1},
		"by either":               {append(byRole, list, list), false, 1},
		"by client ID with idtyp": {[]verify.Rule{list}, true, 0},
	} {
		log := new(logbook)
		if _, err := verify.New(api, tc.rules, &verify.Options{RequireIDType: tc.require, Logger: slog.New(log)}); err != nil {
			t.Error(err)
		}
		if n := log.count("RequireIDType"); n != tc.want || len(log.lines) != n {
			t.Errorf("%s: %q", name, log.lines)
		}
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

// TestRulesAreCopied: what the caller does with its slices afterwards changes nothing.
func TestRulesAreCopied(t *testing.T) {
	roles := []string{"Orders.Read"}
	rules := []verify.Rule{{Tenant: tenant, Roles: roles}}
	k := newSigner("k1")
	v := open(t, serveKeys(k.entry()), rules, verify.Options{})
	roles[0], rules[0] = "x", verify.Rule{}
	if _, err := v.Verify(t.Context(), k.token(claims(nil))); err != nil {
		t.Error(err)
	}
}
