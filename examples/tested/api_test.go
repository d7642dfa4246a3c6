// SPDX-License-Identifier: MIT

package tested_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// An API is sent what Entra signs, and what it would never sign.
func TestAPI(t *testing.T) {
	sts := entratest.New(t)
	verifier, err := verify.New(sts.API().AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Data.Read.All"}},
	}, &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	api := verifier.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))

	issuer, _ := sts.Cloud().Issuer(2, sts.Tenant().ID())
	good := map[string]any{
		"ver": "2.0", "iss": issuer, "tid": sts.Tenant().ID(), "aud": sts.API().AppID(), "azp": sts.App().ClientID(), "azpacr": "1",
		"oid": "o", "sub": "o", "idtyp": "app", "roles": []string{"Data.Read.All"},
		"iat": sts.Now().Unix(), "nbf": sts.Now().Unix(), "exp": sts.Now().Add(time.Hour).Unix(),
	}
	with := func(claim string, value any) map[string]any {
		forged := maps.Clone(good)
		forged[claim] = value
		return forged
	}
	stranger := sts.AddKey(entratest.KeyOptions{Hidden: true})
	for name, tt := range map[string]struct {
		token  string
		status int
	}{
		"good":           {sts.Sign(nil, good, nil), 200},
		"no role":        {sts.Sign(nil, with("roles", []string{}), nil), 403},
		"another tenant": {sts.Sign(nil, with("tid", "11111111-1111-4111-8111-111111111111"), nil), 401},
		"another API":    {sts.Sign(nil, with("aud", "22222222-2222-4222-8222-222222222222"), nil), 401},
		"expired":        {sts.Sign(nil, with("exp", sts.Now().Add(-time.Hour).Unix()), nil), 401},
		"not signed":     {sts.Sign(map[string]any{"alg": "none"}, good, nil), 401},
		"another key":    {sts.Sign(nil, good, stranger), 401},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+tt.token)
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, req)
		if rec.Code != tt.status {
			t.Errorf("%s: got %d, want %d", name, rec.Code, tt.status)
		}
	}
}
