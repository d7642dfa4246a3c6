// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
)

// serveHosts runs all hosts below example.com on one port of this machine, over
// TLS; the server's own client connects all of these names to it.
func serveHosts(ctx context.Context, entra *entratest.Server) (*httptest.Server, error) {
	issuer := entra.Cloud().Authority() + "/" + entra.Tenant().ID() + "/v2.0"
	api, err := kit.NewAPI(ctx, entra.HTTPClient(), issuer, entra.API().AppID(), time.Minute)
	if err != nil {
		return nil, fmt.Errorf("protected API: %w", err)
	}
	const read, write = "Data.Read.All", "Data.Write.All"
	entra.API().Grant(entra.Tenant(), entra.App(), write) // it has the other one already

	mux := http.NewServeMux()
	mux.Handle("GET api.example.com/orders", api.Protect(read, func(w http.ResponseWriter, _ *http.Request, _ string) {
		fmt.Fprint(w, "no orders yet")
	}))
	mux.Handle("POST api.example.com/orders", api.Protect(write, func(w http.ResponseWriter, r *http.Request, _ string) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "ordered %s", body)
	}))
	mux.Handle("POST api.example.com/payments", api.Protect(write, stepUp(func(w http.ResponseWriter, r *http.Request, _ string) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "paid %s", body)
	})))
	mux.Handle("GET api.example.com/report", api.Protect(read, func(w http.ResponseWriter, r *http.Request, _ string) {
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

type handler = func(w http.ResponseWriter, r *http.Request, app string)

// stepUp serves no request with the first token it sees, as an API does with one
// from before a password was changed or a policy was made: it asks for a newer
// one. See https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func stepUp(serve handler) handler {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}`
	var first atomic.Pointer[string]
	return func(w http.ResponseWriter, r *http.Request, app string) {
		token := r.Header.Get("Authorization")
		first.CompareAndSwap(nil, &token)
		if token != *first.Load() {
			serve(w, r, app)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="`+
			base64.StdEncoding.EncodeToString([]byte(claims))+`"`)
		http.Error(w, "a newer token, please", http.StatusUnauthorized)
	}
}
