// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// serveHosts runs all hosts below example.com on one port of this machine, over
// TLS; the server's own client connects all of these names to it.
func serveHosts(entra *entratest.Server) (*httptest.Server, error) {
	const read, write = "Data.Read.All", "Data.Write.All"
	entra.API().Grant(entra.Tenant(), entra.App(), write) // it has the other one already
	verifier, err := verify.New(entra.API().AppID(), []verify.Rule{
		{Tenant: entra.Tenant().ID(), Roles: []string{read, write}},
	}, &verify.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()})
	if err != nil {
		return nil, fmt.Errorf("protected API: %w", err)
	}
	protect := func(role string, next http.HandlerFunc) http.Handler {
		return verifier.Middleware(verify.RequireRole(role, next))
	}

	mux := http.NewServeMux()
	mux.Handle("GET api.example.com/orders", protect(read, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "no orders yet")
	}))
	mux.Handle("POST api.example.com/orders", protect(write, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "ordered %s", body)
	}))
	mux.Handle("POST api.example.com/payments", protect(write, stepUp(verifier, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "paid %s", body)
	})))
	mux.Handle("GET api.example.com/report", protect(read, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://files.example.com/report", http.StatusFound)
	}))
	mux.HandleFunc("GET files.example.com/report", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "a report, to a request with %d tokens", len(r.Header["Authorization"]))
	})
	mux.HandleFunc("elsewhere.example.com/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "nobody should be here")
	})
	return httptest.NewTLSServer(mux), nil
}

// stepUp serves no request with the first token it sees, as an API does with one
// from before a password was changed or a policy was made: it asks for a newer
// one. See https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func stepUp(verifier *verify.Verifier, serve http.HandlerFunc) http.HandlerFunc {
	made := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	var first atomic.Pointer[string]
	return func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verify.FromContext(r.Context())
		first.CompareAndSwap(nil, &caller.TokenID)
		if caller.TokenID == *first.Load() {
			verifier.Challenge(w, caller, made)
			return
		}
		serve(w, r)
	}
}
