// SPDX-License-Identifier: MIT

package recipes_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
	"github.com/coreos/go-oidc/v3/oidc"
)

// What docs/verify.md says of the three.
func TestMigrate(t *testing.T) {
	sts := entratest.New(t)
	api := sts.Tenant().NewResource("api://orders", "Orders.Read")
	tenantID := sts.Tenant().ID()
	issuer, _ := sts.Cloud().Issuer(2, tenantID)
	keysURL := sts.Cloud().Authority() + "/" + tenantID + "/discovery/v2.0/keys"
	ctx := oidc.ClientContext(t.Context(), sts.HTTPClient())

	without := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), api)
	api.Grant(sts.Tenant(), sts.App(), "Orders.Read")
	with := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.App().NewSecret(sts.Now().AddDate(1, 0, 0)), api)
	forged := with[:len(with)-4] + "AAAA"
	for name, test := range map[string]struct {
		open      func() (check, error)
		forbidden error
		// Whether forgeries that name a key which is known have the keys fetched.
		fetches bool
		// Whether it can be made while Entra is down.
		starts bool
	}{
		"go-oidc": {func() (check, error) { return withGoOIDC(ctx, issuer, api.AppID()) }, errForbidden, true, false},
		"keyfunc": {func() (check, error) { return withKeyfunc(ctx, issuer, keysURL, api.AppID(), sts.HTTPClient()) }, errForbidden, false, true},
		"verify": {func() (check, error) {
			return withVerify(tenantID, api.AppID(), &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()})
		}, verify.ErrForbidden, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			check, err := test.open()
			if err != nil {
				t.Fatal(err)
			}
			if err := check(ctx, with); err != nil {
				t.Errorf("with the role: %v", err)
			}
			if err := check(ctx, without); !errors.Is(err, test.forbidden) {
				t.Errorf("without the role: %v", err)
			}
			before := sts.Counters().Endpoints["keys"]
			for range 10 {
				if check(ctx, forged) == nil {
					t.Error("a forged token was accepted")
				}
			}
			if n := sts.Counters().Endpoints["keys"] - before; (n > 0) != test.fetches {
				t.Errorf("ten forged tokens cost %d fetches of the keys, want some: %v", n, test.fetches)
			}

			remove, err := sts.AddFault(entratest.Fault{Status: http.StatusServiceUnavailable})
			if err != nil {
				t.Fatal(err)
			}
			defer remove()
			if _, err := test.open(); (err == nil) != test.starts {
				t.Errorf("made while Entra is down: %v, want it to work: %v", err, test.starts)
			}
		})
	}
}
