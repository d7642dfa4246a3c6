// SPDX-License-Identifier: MIT

// Api is a protected API, and daemons that call it with and without success:
//
//	go run ./examples/api
//
// It shows what each of them is told, and what the API's log says. Entra is emulated,
// and so are the daemons (see daemons.go). What an API of your own needs is all in
// this file.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", kit.Explain(err))
		os.Exit(1)
	}
}

// An api is what an API has in its configuration and in its database.
type api struct {
	clientID string // of the API's own registration
	tenantID string // ours
	reports  string // the client ID of a daemon of ours that is let in without a role

	isCustomer func(ctx context.Context, tenantID string) (bool, error)
	revoked    func(ctx context.Context, c *verify.Caller) (since time.Time, revoked bool)
	log        *slog.Logger
}

func (a *api) handler(entra *entratest.Server) (http.Handler, error) {
	verifier, err := verify.New(a.clientID, []verify.Rule{
		{Tenant: a.tenantID, Client: a.reports},
		{Tenant: a.tenantID, Roles: []string{"Orders.Read"}},
		// A customer's administrator can grant the role to any app of that tenant.
		{TenantFunc: a.isCustomer, Roles: []string{"Orders.Read"}},
	}, &verify.Options{
		Cloud:         entra.Cloud(),      // the real Entra needs neither this
		HTTPClient:    entra.HTTPClient(), // nor this
		RequireIDType: true,               // the API's registration asks for the claim
		Revoked:       a.revoked,
		Logger:        a.log,
	})
	if err != nil {
		return nil, err
	}

	orders := http.NewServeMux()
	orders.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verify.FromContext(r.Context())
		a.log.InfoContext(r.Context(), "orders read", "caller", caller)
		fmt.Fprintln(w, "the orders of tenant", caller.TenantID) // and of no other
	})
	orders.Handle("DELETE /orders", verify.RequireRole("Orders.Delete", http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })))

	mux := http.NewServeMux()
	mux.Handle("/", verifier.Middleware(orders))
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, r *http.Request) { // who probes has no token
		if err := verifier.Warm(r.Context()); err != nil {
			a.log.WarnContext(r.Context(), "not ready", "error", err)
			http.Error(w, "no signing keys yet", http.StatusServiceUnavailable)
		}
	})
	return mux, nil
}
