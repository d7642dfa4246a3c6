// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apponly/apponly/verify"
)

// appOnlyAttacks are users' tokens that look like an app's own, and the reverse.
func appOnlyAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	add := func(want verify.Kind, cases map[string]fields) {
		for name, c := range cases {
			all = append(all, attack{name: name, token: k.token(claims(c)), want: want})
			if acr, ok := c["azpacr"]; ok {
				c = both(c, fields{"azpacr": nil, "appidacr": acr})
			}
			all = append(all, attack{name: name + ", v1", token: k.token(claimsV1(c)), want: want})
		}
	}
	for _, scp := range []any{"Orders.Read", "", " ", null, 1, false, []string{}, []string{"x"}, fields{}} {
		add(verify.ErrNotAppOnly, map[string]fields{
			fmt.Sprintf("scp %v %T", scp, scp):              {"scp": scp},
			fmt.Sprintf("scp %v %T with idtyp", scp, scp):   {"scp": scp, "idtyp": "app", "azpacr": "2"},
			fmt.Sprintf("scp %v %T without role", scp, scp): {"scp": scp, "roles": nil},
		})
	}
	for _, idtyp := range []string{"user", "device", "App", "APP", "app ", " app", "", "application", "app\x00", "apps"} {
		add(verify.ErrNotAppOnly, map[string]fields{"idtyp " + idtyp: {"idtyp": idtyp, "azpacr": "2"}})
	}
	for _, idtyp := range []any{1, null, true, []string{"app"}, fields{"app": 1}} {
		add(verify.ErrMalformed, map[string]fields{fmt.Sprintf("idtyp %v %T", idtyp, idtyp): {"idtyp": idtyp}})
	}
	add("", map[string]fields{
		"idtyp app": {"idtyp": "app"}, "sub_oid_with_idtyp": {"idtyp": "app", "sub": "abc", "azpacr": "2"}, "acr_missing": {"idtyp": "app", "azpacr": nil}, "acr 3 with idtyp": {"idtyp": "app", "azpacr": "3"}, "no oid, with idtyp": {"idtyp": "app", "oid": nil},
		"acr 1": {"azpacr": "1"}, "acr 2": {"azpacr": "2"},
	})
	add(verify.ErrNotAppOnly, map[string]fields{
		"sub is not oid": {"sub": "abc"}, "sub in capitals": {"sub": "EEEEEEEE-0000-4000-8000-00000000000E"}, "no sub": {"sub": nil}, "no oid": {"oid": nil}, "neither": {"sub": nil, "oid": nil}, "both empty": {"sub": "", "oid": ""}, "one empty": {"sub": ""},
		"acr missing without idtyp": {"azpacr": nil}, "acr 0": {"azpacr": "0"}, "acr0_with_idtyp": {"azpacr": "0", "idtyp": "app"}, "acr 3": {"azpacr": "3"}, "acr empty": {"azpacr": ""}, "acr 01": {"azpacr": "01"}, "acr with a blank": {"azpacr": "1 "},
		"a user's roles": {"idtyp": "user", "name": "Adele", "preferred_username": "adele@contoso.com", "sub": "abc"}, "a user who may nothing": {"sub": "abc", "azpacr": "0"}, "a public client": {"azpacr": "0", "sub": object},
	})
	for _, acr := range []any{1, 2, null, true, []string{"1"}, raw("1.0")} {
		add(verify.ErrMalformed, map[string]fields{fmt.Sprintf("acr_number %s %T", acr, acr): {"azpacr": acr}})
	}
	// The claims of the other version say nothing.
	for name, token := range map[string]string{
		"acr of the other version":     k.token(claims(fields{"azpacr": nil, "appidacr": "1"})),
		"acr of the other version, v1": k.token(claimsV1(fields{"appidacr": nil, "azpacr": "1"})),
		"acr 0 beside one":             k.token(claims(fields{"azpacr": "0", "appidacr": "1"})),
	} {
		all = append(all, attack{name: name, token: token, want: verify.ErrNotAppOnly})
	}
	for name, token := range map[string]string{
		"client of the other version":     k.token(claims(fields{"azp": nil, "appid": daemon})),
		"client of the other version, v1": k.token(claimsV1(fields{"appid": nil, "azp": daemon})),
	} {
		all = append(all, attack{name: name, token: token, want: verify.ErrMalformed})
	}
	all = append(all, attack{name: "an app's secret, 0 of the other version", token: k.token(claims(fields{"appidacr": "0"}))})

	strict := setup{opts: verify.Options{RequireIDType: true}}
	noSecrets := setup{opts: verify.Options{RefuseClientSecrets: true}}
	return append(all, []attack{
		{name: "RequireIDType", token: k.token(claims(nil)), want: verify.ErrNotAppOnly, at: strict},
		{name: "RequireIDType, app", token: k.token(claims(fields{"idtyp": "app"})), at: strict},
		{name: "RequireIDType, user", token: k.token(claims(fields{"idtyp": "user"})), want: verify.ErrNotAppOnly, at: strict},
		{name: "RefuseClientSecrets, secret", token: k.token(claims(nil)), want: verify.ErrClientAuth, at: noSecrets},
		{name: "RefuseClientSecrets, secret, v1", token: k.token(claimsV1(nil)), want: verify.ErrClientAuth, at: noSecrets},
		{name: "RefuseClientSecrets, certificate", token: k.token(claims(fields{"azpacr": "2"})), at: noSecrets},
		{name: "RefuseClientSecrets, certificate, v1", token: k.token(claimsV1(fields{"appidacr": "2"})), at: noSecrets},
		{name: "RefuseClientSecrets, unknown", token: k.token(claims(fields{"azpacr": nil, "idtyp": "app"})), want: verify.ErrClientAuth, at: noSecrets},
		{name: "RefuseClientSecrets, acr 3", token: k.token(claims(fields{"azpacr": "3", "idtyp": "app"})), want: verify.ErrClientAuth, at: noSecrets},
		{name: "RefuseClientSecrets, user", token: k.token(claims(fields{"scp": "x"})), want: verify.ErrNotAppOnly, at: noSecrets},
	}...)
}

func ruleAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	add := func(name string, c fields, want verify.Kind, rules ...verify.Rule) {
		all = append(all, attack{name: name, token: k.token(claims(c)), want: want, at: setup{rules: rules}})
	}
	for name, roles := range map[string]any{
		"client_required": nil, "empty": []string{}, "another": []string{"Orders.Write"}, "a prefix": []string{"Orders.Rea"}, "longer": []string{"Orders.ReadWrite"}, "in capitals": []string{"ORDERS.READ"}, "two in one": []string{"Orders.Read Orders.Write"}, "with a comma": []string{"Orders.Read,Orders.Write"},
		"with a blank": []string{" Orders.Read"}, "with a NUL": []string{"Orders.Read\x00"}, "none": []string{""}, "a star": []string{"*"}, "default": []string{"Default Access"},
	} {
		add("roles: "+name, fields{"roles": roles}, verify.ErrNotAllowed)
	}
	add("roles in another claim", fields{"roles": nil, "groups": []string{"Orders.Read"}, "wids": []string{"Orders.Read"}, "role": "Orders.Read"}, verify.ErrNotAllowed)
	add("roles_mixed", fields{"roles": []any{"Orders.Read", 1}}, verify.ErrMalformed)
	add("the second role", nil, "", verify.Rule{Tenant: tenant, Roles: []string{"Admin", "Orders.Write"}})
	add("500 roles", fields{"roles": append(manyRoles(499), "Orders.Read")}, "")
	add("501 roles", fields{"roles": append(manyRoles(500), "Orders.Read")}, verify.ErrMalformed)

	byClient := verify.Rule{Tenant: tenant, Client: daemon}
	another := "dddddddd-0000-4000-8000-00000000000f"
	add("client", fields{"roles": nil}, "", byClient)
	add("a client's ID in capitals", fields{"azp": strings.ToUpper(daemon)}, "", byClient)
	add("another client", fields{"azp": another}, verify.ErrNotAllowed, byClient)
	add("a client's ID in other claims", fields{"azp": another, "appid": daemon, "client_id": daemon, "oid": object, "xms_par_app_azp": daemon}, verify.ErrNotAllowed, byClient)
	add("client in the rule in capitals", nil, "", verify.Rule{Tenant: "11111111-1111-4111-8111-111111111111", Client: "DDDDDDDD-0000-4000-8000-00000000000D"})
	both := verify.Rule{Tenant: tenant, Client: daemon, Roles: []string{"Orders.Read"}}
	add("client and role", nil, "", both)
	add("client without role", fields{"roles": []string{"x"}}, verify.ErrNotAllowed, both)
	add("role without client", fields{"azp": another}, verify.ErrNotAllowed, both)
	add("the conditions of two rules", fields{"azp": another, "roles": []string{"Orders.Write"}}, verify.ErrNotAllowed, both, verify.Rule{Tenant: other, Roles: []string{"Orders.Write"}})
	add("client in another tenant", nil, verify.ErrNotAllowed, verify.Rule{Tenant: other, Client: daemon}, verify.Rule{Tenant: tenant, Client: another})
	add("the last rule", nil, "", verify.Rule{Tenant: other, Client: daemon}, verify.Rule{Tenant: tenant, Client: another}, both)
	add("a user, rule by client", fields{"scp": "x"}, verify.ErrNotAppOnly, byClient)
	return all
}

func manyRoles(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("Role.", i))
	}
	return all
}

var errDatabase = errors.New("the database is down")

// tenantAttacks are about functions: which tenant, and whether it was revoked.
func tenantAttacks() []attack {
	k := newSigner("k1")
	var all []attack
	fromOther := fields{"tid": other, "iss": host + "/" + other + "/v2.0"}
	says := func(ok bool, err error) verify.Rule {
		return verify.Rule{Roles: []string{"Orders.Read"}, TenantFunc: func(_ context.Context, id string) (bool, error) {
			if id != other {
				panic("asked about " + id)
			}
			return ok, err
		}}
	}
	add := func(name string, c fields, want verify.Kind, rules ...verify.Rule) {
		all = append(all, attack{name: name, token: k.token(claims(both(fromOther, c))), want: want, at: setup{rules: rules}})
	}
	yes, no, down, mixed := says(true, nil), says(false, nil), says(false, errDatabase), says(true, errDatabase)
	add("yes", nil, "", yes)
	add("no", nil, verify.ErrTenant, no)
	add("error", nil, verify.ErrTenantUnknown, down)
	add("yes and error", nil, verify.ErrTenantUnknown, mixed)
	add("error, then yes", nil, "", down, yes)
	add("error, then no", nil, verify.ErrTenantUnknown, down, no)
	add("no, then yes", nil, "", no, yes)
	add("yes, no role", fields{"roles": nil}, verify.ErrNotAllowed, yes)
	add("no, no role", fields{"roles": nil}, verify.ErrTenant, no)
	add("yes, user", fields{"scp": "x"}, verify.ErrNotAppOnly, yes)
	add("no, user", fields{"scp": "x"}, verify.ErrTenant, no)
	add("error, user", fields{"scp": "x"}, verify.ErrNotAppOnly, down)
	add("yes, expired", fields{"exp": time.Now().Unix() - 100}, verify.ErrExpired, yes)
	add("a rule for it beside", nil, "", append([]verify.Rule{down}, verify.Rule{Tenant: other, Client: daemon})...)
	add("a rule for it by another client, and yes", nil, "", verify.Rule{Tenant: other, Client: api}, yes)
	all = append(all, attack{name: "a rule for the tenant asks nobody", token: k.token(claims(nil)), at: setup{rules: append([]verify.Rule{down}, byRole...)}})
	for name, c := range map[string]fields{"tid a name": {"tid": "contoso.com"}, "no tid": {"tid": nil}, "guid_case": {"tid": "ABCDEFAB-0000-4000-8000-000000000000"}, "tid with a path": {"tid": other + "/x"}, "tid of another issuer": {"iss": host + "/" + tenant + "/v2.0"}} {
		add("function, "+name, c, verify.ErrIssuer, yes)
	}
	all = append(all,
		attack{name: "another tenant's key, function", token: newSigner("k2").named("theirs").token(claims(fromOther)), at: setup{rules: []verify.Rule{yes}}},
		attack{name: "forged, function", token: newSigner(evilKey).named("k1").token(claims(fromOther)), want: verify.ErrSignature, at: setup{rules: []verify.Rule{yes}}},
	)

	issued := time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		since   time.Time
		revoked bool
		claims  fields
		want    verify.Kind
	}{
		"revoked":                         {time.Time{}, true, nil, verify.ErrRevoked},
		"revoked since":                   {issued.Add(time.Second), true, nil, verify.ErrRevoked},
		"issued in that second":           {issued.Add(time.Millisecond), true, nil, ""},
		"issued when the others were":     {issued, true, nil, ""},
		"issued afterwards":               {issued.Add(-time.Second), true, nil, ""},
		"nobody is revoked":               {issued.Add(time.Hour), false, nil, ""},
		"revoked, no iat":                 {issued.Add(-time.Hour), true, fields{"iat": nil}, verify.ErrRevoked},
		"revoked, and a user":             {time.Time{}, true, fields{"scp": "x"}, verify.ErrRevoked},
		"revoked, and nothing is allowed": {time.Time{}, true, fields{"roles": nil}, verify.ErrRevoked},
		"expired, and revoked":            {time.Time{}, true, fields{"exp": time.Now().Unix() - 100}, verify.ErrExpired},
	} {
		all = append(all, attack{name: name, token: k.token(claims(c.claims)), want: c.want, at: setup{opts: verify.Options{
			Revoked: func(_ context.Context, caller *verify.Caller) (time.Time, bool) {
				if caller.ClientID != daemon {
					panic("asked about " + caller.String())
				}
				return c.since, c.revoked
			},
		}}})
	}
	return all
}
