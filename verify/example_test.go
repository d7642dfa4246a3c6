// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// The examples have the emulator of package entratest for Entra, which is all that
// their Options are for, and daemons of package apponly for callers.

// emulated returns an emulated Entra with an API, in a tenant, that has some roles.
func emulated(roles ...string) (sts *entratest.Server, api *entratest.Resource, opts *verify.Options) {
	sts = entratest.NewServer()
	return sts, sts.Tenant().NewResource("", roles...), &verify.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient()}
}

// tokenFor returns a token of a new app in a tenant that has roles of api.
func tokenFor(sts *entratest.Server, t *entratest.Tenant, api *entratest.Resource, roles ...string) string {
	t.Provide(api)
	app := t.NewApp()
	api.Grant(t, app, roles...)
	client, err := apponly.New(t.ID(), app.ClientID(), apponly.Secret(app.NewSecret(sts.Now().AddDate(1, 0, 0))),
		&apponly.Options{Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), CAE: true})
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.Token(context.Background(), api.Scope())
	if err != nil {
		log.Fatal(err)
	}
	return token.Value()
}

// request sends one to a handler, and returns the answer.
func request(h http.Handler, method, path, token string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// An API that lets in the apps of one tenant that have a role.
func Example() {
	sts, orders, opts := emulated("Orders.Read") // in place of the real Entra
	defer sts.Close()
	clientID, tenantID := orders.AppID(), sts.Tenant().ID()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verify.FromContext(r.Context())
		fmt.Println("called by an app with the roles", caller.Roles())
	})
	verifier, err := verify.New(clientID, []verify.Rule{
		{Tenant: tenantID, Roles: []string{"Orders.Read"}},
	}, opts) // nil will do
	if err != nil {
		log.Fatal(err)
	}
	api := verifier.Middleware(mux) // http.ListenAndServe(addr, api)

	fmt.Println(request(api, "GET", "/orders", tokenFor(sts, sts.Tenant(), orders, "Orders.Read")).Status)
	fmt.Println(request(api, "GET", "/orders", tokenFor(sts, sts.Tenant(), orders)).Status)
	fmt.Println(request(api, "GET", "/orders", "").Status)
	// Output:
	// called by an app with the roles [Orders.Read]
	// 200 OK
	// 403 Forbidden
	// 401 Unauthorized
}

// Rules are alternatives: an app of ours by its client ID, others of ours by a role,
// and those of customers, which are in a database, by a role as well.
func ExampleNew() {
	sts, orders, opts := emulated("Orders.Read")
	defer sts.Close()
	clientID, tenantID := orders.AppID(), sts.Tenant().ID()
	reports := sts.Tenant().NewApp().ClientID()
	customer, stranger := sts.AddTenant(), sts.AddTenant()
	customers := map[string]bool{customer.ID(): true}

	verifier, err := verify.New(clientID, []verify.Rule{
		{Tenant: tenantID, Client: reports},
		{Tenant: tenantID, Roles: []string{"Orders.Read"}},
		{
			TenantFunc: func(ctx context.Context, tenantID string) (bool, error) {
				return customers[tenantID], nil // an error is answered with 503
			},
			Roles: []string{"Orders.Read"},
		},
	}, opts)
	if err != nil {
		log.Fatal(err)
	}

	for _, tenant := range []*entratest.Tenant{sts.Tenant(), customer, stranger} {
		_, err := verifier.Verify(context.Background(), tokenFor(sts, tenant, orders, "Orders.Read"))
		fmt.Println(errors.Is(err, verify.ErrTenant), err == nil)
	}
	// Output:
	// false true
	// false true
	// true false
}

// Whom the rules let in needs the role of the route besides.
func ExampleRequireRole() {
	sts, orders, opts := emulated("Orders.Read", "Orders.Write")
	defer sts.Close()
	verifier, err := verify.New(orders.AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Orders.Read", "Orders.Write"}},
	}, opts)
	if err != nil {
		log.Fatal(err)
	}
	list := func(w http.ResponseWriter, r *http.Request) {}
	create := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) }

	mux := http.NewServeMux()
	mux.Handle("GET /orders", verify.RequireRole("Orders.Read", http.HandlerFunc(list)))
	mux.Handle("POST /orders", verify.RequireRole("Orders.Write", http.HandlerFunc(create)))
	api := verifier.Middleware(mux)

	reader := tokenFor(sts, sts.Tenant(), orders, "Orders.Read")
	fmt.Println(request(api, "GET", "/orders", reader).Status)
	fmt.Println(request(api, "POST", "/orders", reader).Status)
	fmt.Println(request(api, "POST", "/orders", tokenFor(sts, sts.Tenant(), orders, "Orders.Write")).Status)
	// Output:
	// 200 OK
	// 403 Forbidden
	// 201 Created
}

// For a router whose handlers are not those of net/http: here they return errors.
func ExampleWriteError() {
	sts, orders, opts := emulated("Orders.Read")
	defer sts.Close()
	verifier, err := verify.New(orders.AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Orders.Read"}},
	}, opts)
	if err != nil {
		log.Fatal(err)
	}

	type handler func(w http.ResponseWriter, r *http.Request, caller *verify.Caller)
	protect := func(next handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			// Joined, so that of two headers neither is taken for the right one.
			scheme, token, _ := strings.Cut(strings.Join(r.Header.Values("Authorization"), ","), " ")
			if !strings.EqualFold(scheme, "Bearer") {
				token = ""
			}
			caller, err := verifier.Verify(r.Context(), token)
			if err != nil {
				fmt.Println("log:", err)
				verify.WriteError(w, err)
				return
			}
			next(w, r, caller)
		}
	}
	api := protect(func(w http.ResponseWriter, r *http.Request, caller *verify.Caller) {
		fmt.Println("called by", caller.ClientAuth)
	})

	fmt.Println(request(api, "GET", "/orders", tokenFor(sts, sts.Tenant(), orders, "Orders.Read")).Status)
	fmt.Println(request(api, "GET", "/orders", "").Header.Get("WWW-Authenticate"))
	// Output:
	// called by secret
	// 200 OK
	// log: verify: no access token
	// Bearer realm="", authorization_uri="https://login.entra.test/common/oauth2/v2.0/authorize"
}

// A caller shall bring a token from after a role was taken away. One whose client has
// Options.CAE of package apponly gets it by itself, and calls again.
func ExampleVerifier_Challenge() {
	sts, orders, opts := emulated("Orders.Read")
	defer sts.Close()
	verifier, err := verify.New(orders.AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Orders.Read"}},
	}, opts)
	if err != nil {
		log.Fatal(err)
	}
	rolesChanged := sts.Now().Add(time.Second).Truncate(time.Second)

	api := verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verify.FromContext(r.Context())
		if caller.IssuedAt.Before(rolesChanged) {
			verifier.Challenge(w, caller, rolesChanged)
			return
		}
		fmt.Fprintln(w, "orders")
	}))

	resp := request(api, "GET", "/orders", tokenFor(sts, sts.Tenant(), orders, "Orders.Read"))
	fmt.Println(resp.Status, strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="insufficient_claims", claims="`))
	// Output: 401 Unauthorized true
}

// A start-up probe: the first request does not have to wait for Entra's keys. Once
// they are there the API works through an outage, so no other probe should ask.
func ExampleVerifier_Warm() {
	sts, orders, opts := emulated("Orders.Read")
	defer sts.Close()
	verifier, err := verify.New(orders.AppID(), []verify.Rule{
		{Tenant: sts.Tenant().ID(), Roles: []string{"Orders.Read"}},
	}, opts)
	if err != nil {
		log.Fatal(err)
	}

	startup := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := verifier.Warm(r.Context()); err != nil {
			http.Error(w, "no signing keys yet", http.StatusServiceUnavailable)
		}
	})

	fmt.Println(request(startup, "GET", "/startupz", "").Status)
	for _, s := range verifier.Status() {
		fmt.Println(s.Keys, "key, error:", s.Err)
	}
	// Output:
	// 200 OK
	// 1 key, error: <nil>
}
