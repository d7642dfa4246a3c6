// SPDX-License-Identifier: MIT

package ops_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/health"
)

// A daemon with all that is to be seen of it: probes, the page, metrics, spans and a log.
// The emulated Entra is for the example: in a pod apponly.FromEnv(options) makes the
// client, and needs neither Cloud nor HTTPClient.
func Example() {
	entra := entratest.NewServer()
	defer entra.Close()
	scope := entra.API().Scope()
	ctx := context.Background()

	telemetry := apponlyotel.New(nil) // with the providers that the program has set
	options := &apponly.Options{
		OnEvent: telemetry.OnEvent,
		Logger:  slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}
	options.Cloud, options.HTTPClient, options.Cache = entra.Cloud(), entra.HTTPClient(), apponly.NewCache(nil)
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), options)
	if err != nil {
		log.Fatal(err)
	}
	defer telemetry.Watch(client)()

	ready := &health.Check{Client: client, Scopes: []string{scope}}
	public, debug := http.NewServeMux(), http.NewServeMux()
	public.Handle("GET /readyz", ready.Handler())
	public.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {}) // the process runs, and that is all
	debug.Handle("GET /tokens", health.Page("orders", ready))

	probe := func() int {
		answer := httptest.NewRecorder()
		public.ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
		return answer.Code
	}
	fmt.Println("before the first token:", probe())
	if err := client.Warm(ctx, scope); err != nil { // go client.KeepWarm(ctx, scope) goes on to
		log.Fatal(err)
	}
	fmt.Println("after it:", probe())
	// Output:
	// before the first token: 503
	// after it: 200
}

// Events go to one function, which may call any number of others.
func Example_observers() {
	entra := entratest.NewServer()
	defer entra.Close()
	telemetry := apponlyotel.New(nil)
	options := &apponly.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), Cache: apponly.NewCache(nil)}

	options.OnEvent = func(ctx context.Context, ev apponly.Event) {
		telemetry.OnEvent(ctx, ev)
		if ev.Kind == apponly.EventTokenRequest {
			fmt.Println("asked for", string(ev.Reason))
		}
	}

	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), options)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Token(context.Background(), entra.API().Scope()); err != nil {
		log.Fatal(err)
	}
	// Output: asked for miss
}
