// SPDX-License-Identifier: MIT

package recipes_test

import (
	"net/http/httptest"
	"testing"

	"github.com/apponly/apponly/entratest"
)

func TestChiRoutes(t *testing.T) {
	sts := entratest.New(t)
	router := ordersRouter(newVerifier(sts, sts.API()))
	reader := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), sts.Secret(), sts.API())
	sts.API().Grant(sts.Tenant(), sts.App(), "Data.Write.All")
	secret := sts.App().NewSecret(sts.Now().AddDate(1, 0, 0)) // another secret: another token
	writer := tokenOf(t, sts, sts.Tenant(), sts.App().ClientID(), secret, sts.API())
	for _, test := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/orders", "", 401},
		{"GET", "/orders", "x", 401},
		{"GET", "/orders", reader, 200},
		{"DELETE", "/orders/1", "", 401},
		{"DELETE", "/orders/1", reader, 403},
		{"DELETE", "/orders/1", writer, 204},
		{"GET", "/elsewhere", "", 404},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		if test.token != "" {
			r.Header.Set("Authorization", "Bearer "+test.token)
		}
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s %s with a token of %d bytes answered %d, want %d", test.method, test.path, len(test.token), w.Code, test.want)
		}
	}
}
