// SPDX-License-Identifier: MIT

package recipes_test

import (
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
	"github.com/coreos/go-oidc/v3/oidc"
)

// forgeries returns tokens that an API should refuse: what Entra never signs for it,
// and what it signs with keys that are in its documents for something else.
func forgeries(sts *entratest.Server, api *entratest.Resource) map[string]string {
	tenantID := sts.Tenant().ID()
	issuer, _ := sts.Cloud().Issuer(2, tenantID)
	consumers, _ := sts.Cloud().Issuer(2, entratest.ConsumerTenant)
	right := map[string]any{
		"ver": "2.0", "iss": issuer, "tid": tenantID, "aud": api.AppID(), "azp": sts.App().ClientID(), "azpacr": "1",
		"oid": tenantID, "sub": tenantID, "idtyp": "app", "roles": []string{"Orders.Read"},
		"iat": sts.Now().Unix(), "nbf": sts.Now().Unix(), "exp": sts.Now().Add(time.Hour).Unix(),
	}
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(right)
		claims[name] = value
		return claims
	}
	return map[string]string{
		"of a user":                        sts.Sign(nil, with("idtyp", "user"), nil),
		"of another tenant":                sts.Sign(nil, with("tid", entratest.ConsumerTenant), nil),
		"by a key of the government cloud": sts.Sign(nil, right, sts.AddKey(entratest.KeyOptions{CloudInstance: cloud.USGovernment.InstanceName()})),
		"by a key of personal accounts":    sts.Sign(nil, right, sts.AddKey(entratest.KeyOptions{Issuer: consumers})),
	}
}

// A library is what is different in one that makes a check.
type library struct {
	open      func() (check, error)
	forbidden error
	refuses   bool // all that it should
	fetches   bool // keys, for forgeries that name one which is known
	starts    bool // while Entra is down
}

// What docs/verify.md says of the three.
func TestMigrate(t *testing.T) {
	sts := entratest.New(t)
	sts.SetCloud(cloud.Public)
	api := sts.Tenant().NewResource("api://orders", "Orders.Read")
	tenantID := sts.Tenant().ID()
	issuer, _ := sts.Cloud().Issuer(2, tenantID)
	keysURL := sts.Cloud().Authority() + "/" + tenantID + "/discovery/v2.0/keys"
	ctx := oidc.ClientContext(t.Context(), sts.HTTPClient())

	without := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), api)
	api.Grant(sts.Tenant(), sts.App(), "Orders.Read")
	with := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.App().NewSecret(sts.Now().AddDate(1, 0, 0)), api)
	refused := forgeries(sts, api)
	for name, lib := range map[string]library{
		"go-oidc": {func() (check, error) { return withGoOIDC(ctx, issuer, api.AppID()) }, errForbidden, false, true, false},
		"keyfunc": {func() (check, error) { return withKeyfunc(ctx, issuer, keysURL, api.AppID(), sts.HTTPClient()) }, errForbidden, false, false, true},
		"verify": {func() (check, error) {
			return withVerify(tenantID, api.AppID(), &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()})
		}, verify.ErrForbidden, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			check, err := lib.open()
			if err != nil {
				t.Fatal(err)
			}
			if err := check(ctx, with); err != nil {
				t.Errorf("with the role: %v", err)
			}
			if err := check(ctx, without); !errors.Is(err, lib.forbidden) {
				t.Errorf("without the role: %v", err)
			}
			for what, token := range refused {
				if err := check(ctx, token); (err != nil) != lib.refuses {
					t.Errorf("a token %s: %v, want it refused: %v", what, err, lib.refuses)
				}
			}
			lib.testForgeries(t, sts, check, with[:len(with)-4]+"AAAA")
			lib.testOutage(t, sts)
		})
	}
}

func (lib library) testForgeries(t *testing.T, sts *entratest.Server, check check, forged string) {
	before := sts.Counters().Endpoints["keys"]
	for range 10 {
		if check(t.Context(), forged) == nil {
			t.Error("a forged token was accepted")
		}
	}
	if n := sts.Counters().Endpoints["keys"] - before; (n > 0) != lib.fetches {
		t.Errorf("ten forged tokens cost %d fetches of the keys, want some: %v", n, lib.fetches)
	}
}

func (lib library) testOutage(t *testing.T, sts *entratest.Server) {
	remove, err := sts.AddFault(entratest.Fault{Status: http.StatusServiceUnavailable})
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if _, err := lib.open(); (err == nil) != lib.starts {
		t.Errorf("made while Entra is down: %v, want it to work: %v", err, lib.starts)
	}
}
