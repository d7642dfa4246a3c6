// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// Metrics that Prometheus scrapes. In a program apponly.FromEnv stands in place of
// observed, and promhttp.Handler() serves what the exporter registers by default.
func Example_prometheus() {
	entra := entratest.NewServer()
	defer entra.Close()
	registry := prometheus.NewRegistry()

	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		log.Fatal(err)
	}
	telemetry := apponlyotel.New(&apponlyotel.Options{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter)),
	})
	client := observed(entra, telemetry.OnEvent)
	defer telemetry.Watch(client)()

	if err := client.Warm(context.Background(), entra.API().Scope()); err != nil {
		log.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	printMetrics(recorder.Body, "apponly_token_ready", "apponly_token_failures", "apponly_cache_exchanges_total")
	// Output:
	// apponly_cache_exchanges_total 1
	// apponly_token_failures 0
	// apponly_token_ready 1
}

// observed returns a client of the emulator's app with an observer.
func observed(entra *entratest.Server, onEvent func(context.Context, apponly.Event)) *apponly.Client {
	client, err := apponly.New(entra.Tenant().ID(), entra.App().ClientID(), apponly.Secret(entra.Secret()), &apponly.Options{
		Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient(), Cache: apponly.NewCache(nil), OnEvent: onEvent,
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// printMetrics prints some metrics of a scrape, without their labels.
func printMetrics(scrape io.Reader, names ...string) {
	text, err := io.ReadAll(scrape)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		for _, name := range names {
			if strings.HasPrefix(line, name+"{") {
				fmt.Print(name, line[strings.LastIndex(line, " "):])
			}
		}
	}
}
