// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"slices"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/apponly/apponly/verify"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
)

// A check says whether an access token is one of an app that may read orders. The
// three functions below make the same one, of an API that serves one tenant.
type check func(ctx context.Context, token string) error

var errForbidden = errors.New("the app may not read orders")

func withGoOIDC(ctx context.Context, issuer, apiID string) (check, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: apiID})
	return func(ctx context.Context, token string) error {
		t, err := verifier.Verify(ctx, token)
		if err != nil {
			return err
		}
		var claims struct {
			Scope string   `json:"scp"`
			Roles []string `json:"roles"`
		}
		if err := t.Claims(&claims); err != nil {
			return err
		}
		if claims.Scope != "" || !slices.Contains(claims.Roles, "Orders.Read") {
			return errForbidden
		}
		return nil
	}, nil
}

func withKeyfunc(ctx context.Context, issuer, keysURL, apiID string, httpClient *http.Client) (check, error) {
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{keysURL}, keyfunc.Override{Client: httpClient})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(issuer),
		jwt.WithAudience(apiID), jwt.WithExpirationRequired())
	return func(ctx context.Context, token string) error {
		var claims struct {
			jwt.RegisteredClaims
			Scope string   `json:"scp"`
			Roles []string `json:"roles"`
		}
		if _, err := parser.ParseWithClaims(token, &claims, keys.KeyfuncCtx(ctx)); err != nil {
			return err
		}
		if claims.Scope != "" || !slices.Contains(claims.Roles, "Orders.Read") {
			return errForbidden
		}
		return nil
	}, nil
}

func withVerify(tenantID, apiID string, opts *verify.Options) (check, error) {
	verifier, err := verify.New(apiID, []verify.Rule{
		{Tenant: tenantID, Roles: []string{"Orders.Read"}},
	}, opts)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, token string) error {
		_, err := verifier.Verify(ctx, token)
		return err
	}, nil
}

// One token, three libraries.
func Example_migrate() {
	sts, client := emulated()
	defer sts.Close()
	api := sts.Tenant().NewResource("api://orders", "Orders.Read")
	api.Grant(sts.Tenant(), sts.App(), "Orders.Read")
	tenantID, apiID := sts.Tenant().ID(), api.AppID()
	issuer, _ := sts.Cloud().Issuer(2, tenantID)
	ctx, stop := context.WithCancel(oidc.ClientContext(context.Background(), sts.HTTPClient()))
	defer stop()

	before, err := withGoOIDC(ctx, issuer, apiID)
	if err != nil {
		log.Fatal(err)
	}
	orBefore, err := withKeyfunc(ctx, issuer, sts.Cloud().Authority()+"/"+tenantID+"/discovery/v2.0/keys", apiID, sts.HTTPClient())
	if err != nil {
		log.Fatal(err)
	}
	after, err := withVerify(tenantID, apiID, &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()})
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(ctx, api.Scope())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before(ctx, token.Value()), orBefore(ctx, token.Value()), after(ctx, token.Value()))
	// Output: <nil> <nil> <nil>
}
