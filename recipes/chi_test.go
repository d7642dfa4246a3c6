// SPDX-License-Identifier: MIT

package recipes_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/apponly/apponly/verify"
	"github.com/go-chi/chi/v5"
)

// withRole is verify.RequireRole in the form that chi's Use and With take, and those of
// most other routers.
func withRole(role string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return verify.RequireRole(role, next) }
}

// ordersRouter protects all routes of a group but no others, and one of them by a role.
func ordersRouter(verifier *verify.Verifier) http.Handler {
	r := chi.NewRouter()
	r.Get("/healthz", func(http.ResponseWriter, *http.Request) {}) // probes have no token
	r.Route("/orders", func(r chi.Router) {
		r.Use(verifier.Middleware)
		r.Get("/", func(w http.ResponseWriter, r *http.Request) {
			caller, _ := verify.FromContext(r.Context())
			fmt.Fprint(w, "orders, for roles ", caller.Roles())
		})
		r.With(withRole("Data.Write.All")).Delete("/{id}", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		})
	})
	return r
}

func Example_chi() {
	sts, client := emulated()
	defer sts.Close()
	verifier, err := verify.New(sts.API().AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Data.Read.All", "Data.Write.All"}},
	}, &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()}) // nil for the real Entra
	if err != nil {
		log.Fatal(err)
	}
	api := httptest.NewTLSServer(ordersRouter(verifier))
	defer api.Close()

	httpClient := calling(client, sts.API().Scope(), api)
	fmt.Println(get(httpClient, api.URL+"/orders"))
	fmt.Println(get(api.Client(), api.URL+"/orders")) // without a token
	// Output:
	// 200 orders, for roles [Data.Read.All] <nil>
	// 401 Unauthorized
	//  <nil>
}
