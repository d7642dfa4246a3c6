// SPDX-License-Identifier: MIT

package recipes_test

import (
	"fmt"
	"log"
	"net/http"

	"github.com/apponly/apponly"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// OpenTelemetry's transport goes outside. There its span is of the request that
// the program made: the wait for a token counts, a failure to get one is seen,
// and a 401 that another token has answered is no second request. And what it is
// given to record has no token in it. Inside, it would be handed the
// Authorization header, and a span for each sending.
func Example_otelhttp() {
	sts, client := emulated()
	defer sts.Close()
	api := serveAPI(sts, sts.API(), nil)
	defer api.Close()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	rt, err := apponly.NewTransport(client, sts.API().Scope(), &apponly.TransportOptions{
		Base:  api.Client().Transport,
		Hosts: []string{addr(api)},
	})
	if err != nil {
		log.Fatal(err)
	}
	httpClient := &http.Client{Transport: otelhttp.NewTransport(rt, otelhttp.WithTracerProvider(provider))}

	_, body, err := get(httpClient, api.URL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(body)
	for _, span := range spans.GetSpans() {
		fmt.Println("span:", span.Name)
	}
	// Output:
	// hello, app
	// span: HTTP GET
}
