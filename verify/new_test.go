// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/verify"
)

// TestNewRefuses: what lets everybody in cannot be written, and what lets nobody in
// is told.
func TestNewRefuses(t *testing.T) {
	anybody := func(context.Context, string) (bool, error) { return true, nil }
	role := []string{"Orders.Read"}
	for name, c := range map[string]struct {
		clientID string
		rules    []verify.Rule
		opts     *verify.Options
		want     string // "": it is fine
	}{
		"good":                           {api, byRole, nil, ""},
		"by client":                      {api, []verify.Rule{{Tenant: tenant, Client: daemon}}, nil, ""},
		"function":                       {api, []verify.Rule{{TenantFunc: anybody, Roles: role}}, nil, ""},
		"capitals":                       {strings.ToUpper(api), []verify.Rule{{Tenant: strings.ToUpper(other), Client: strings.ToUpper(daemon)}}, nil, ""},
		"no client ID":                   {"", byRole, nil, "client ID is empty"},
		"URI for a client ID":            {"api://" + api, byRole, nil, "is not a GUID"},
		"no rules":                       {api, nil, nil, "there are no rules"},
		"empty rule":                     {api, []verify.Rule{{}}, nil, "exactly one of Tenant and TenantFunc"},
		"tenant and function":            {api, []verify.Rule{{Tenant: tenant, TenantFunc: anybody, Roles: role}}, nil, "exactly one of Tenant and TenantFunc"},
		"neither":                        {api, []verify.Rule{{Client: daemon, Roles: role}}, nil, "exactly one of Tenant and TenantFunc"},
		"domain":                         {api, []verify.Rule{{Tenant: "contoso.com", Roles: role}}, nil, "never a domain name"},
		"common":                         {api, []verify.Rule{{Tenant: "common", Roles: role}}, nil, "is not a GUID"},
		"client's name":                  {api, []verify.Rule{{Tenant: tenant, Client: "daemon"}}, nil, "Client \"daemon\" is not a GUID"},
		"everybody":                      {api, []verify.Rule{{Tenant: tenant}}, nil, "neither Client nor Roles"},
		"everybody, by empty roles":      {api, []verify.Rule{{Tenant: tenant, Roles: []string{}}}, nil, "neither Client nor Roles"},
		"empty roles":                    {api, []verify.Rule{{Tenant: tenant, Client: daemon, Roles: []string{}}}, nil, "no role would be enough"},
		"empty role":                     {api, []verify.Rule{{Tenant: tenant, Roles: []string{"A", ""}}}, nil, "Roles has one that is empty"},
		"two roles in one":               {api, []verify.Rule{{Tenant: tenant, Roles: []string{"A B"}}}, nil, "Roles has one that is empty or has white space"},
		"role with a line break":         {api, []verify.Rule{{Tenant: tenant, Roles: []string{"A\n"}}}, nil, "white space"},
		"the second rule":                {api, append([]verify.Rule{{Tenant: tenant, Client: daemon}}, verify.Rule{}), nil, "rule 2:"},
		"function with the API's keys":   {api, []verify.Rule{{TenantFunc: anybody, Roles: role}}, &verify.Options{CustomSigningKeys: true}, "CustomSigningKeys"},
		"tenant with the API's keys":     {api, byRole, &verify.Options{CustomSigningKeys: true}, ""},
		"URIs":                           {api, byRole, &verify.Options{AppIDURIs: []string{"api://x", "https://orders.contoso.com/", "spn:x", "urn:a:b"}}, ""},
		"client ID for a URI":            {api, byRole, &verify.Options{AppIDURIs: []string{api}}, "is not an App ID URI"},
		"empty URI":                      {api, byRole, &verify.Options{AppIDURIs: []string{""}}, "is not an App ID URI"},
		"scheme alone":                   {api, byRole, &verify.Options{AppIDURIs: []string{"api://"}}, "is not an App ID URI"},
		"no scheme":                      {api, byRole, &verify.Options{AppIDURIs: []string{"//orders.contoso.com"}}, "is not an App ID URI"},
		"odd URI":                        {api, byRole, &verify.Options{AppIDURIs: []string{"api://x\n"}}, "is not an App ID URI"},
		"long URI":                       {api, byRole, &verify.Options{AppIDURIs: []string{"api://" + strings.Repeat("x", 995)}}, "is not an App ID URI"},
		"five minutes":                   {api, byRole, &verify.Options{Leeway: 5 * time.Minute}, ""},
		"more than five minutes":         {api, byRole, &verify.Options{Leeway: 5*time.Minute + 1}, "Options.Leeway"},
		"cloud":                          {api, byRole, &verify.Options{Cloud: cloud.Custom("http://x/y z")}, "cloud"},
		"all of it, and the client's ID": {"x", []verify.Rule{{Tenant: "x"}}, &verify.Options{Leeway: time.Hour}, "Options.Leeway"},
	} {
		v, err := verify.New(c.clientID, c.rules, c.opts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || v != nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if strings.HasPrefix(name, "all of it") && (err == nil || !strings.Contains(err.Error(), `client ID "x"`) || !strings.Contains(err.Error(), "neither Client nor Roles")) {
			t.Errorf("%s: %v", name, err)
		}
	}
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

func TestNewWarns(t *testing.T) {
	byClient := verify.Rule{Tenant: tenant, Client: daemon}
	for name, c := range map[string]struct {
		rules []verify.Rule
		opts  verify.Options
		want  bool
	}{"by role": {byRole, verify.Options{}, false}, "by client": {append(byRole[:1:1], byClient), verify.Options{}, true}, "idtyp": {[]verify.Rule{byClient}, verify.Options{RequireIDType: true}, false}} {
		var log strings.Builder
		c.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		open(t, serveKeys(), c.rules, c.opts)
		if got := strings.Contains(log.String(), "set RequireIDType"); got != c.want || strings.Count(log.String(), "\n") > 1 {
			t.Errorf("%s: %q", name, log.String())
		}
	}
}
