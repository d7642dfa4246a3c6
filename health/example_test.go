// SPDX-License-Identifier: MIT

package health_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/health"
)

// A pod is ready once it has its token. In a program KeepWarm takes the place of Warm.
func ExampleCheck_Handler() {
	entra := entratest.NewServer()
	defer entra.Close()
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), // the real Entra needs neither
	})
	if err != nil {
		log.Fatal(err)
	}
	ready := &health.Check{Client: client, Scopes: []string{entra.API().Scope()}}
	mux := http.NewServeMux()
	mux.Handle("/readyz", ready.Handler())
	mux.Handle("/statusz", health.Page("orders-sync", ready))

	probe := func() int {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return rec.Code
	}
	fmt.Println("before the first token:", probe(), ready.Now().Verdict)
	if err := client.Warm(context.Background(), ready.Scopes...); err != nil {
		log.Fatal(err)
	}
	fmt.Println("with a token:", probe(), ready.Now().Verdict)
	// Output:
	// before the first token: 503 not-ready
	// with a token: 200 ready
}
