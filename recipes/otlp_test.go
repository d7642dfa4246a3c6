// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"

	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Metrics and spans that go to an OpenTelemetry collector: the token request is in the
// trace of the call that waited for it. The collector is one in this process, and the
// exporters need no WithEndpoint where OTEL_EXPORTER_OTLP_ENDPOINT is set.
func Example_otlp() {
	ctx := context.Background()
	entra := entratest.NewServer()
	defer entra.Close()
	collector := startCollector()
	defer collector.Stop()

	spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(collector.addr), otlptracegrpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	metrics, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(collector.addr), otlpmetricgrpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	tracers := trace.NewTracerProvider(trace.WithBatcher(spans))
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(metrics)))
	telemetry := apponlyotel.New(&apponlyotel.Options{TracerProvider: tracers, MeterProvider: meters})
	client := observed(entra, telemetry.OnEvent)
	defer telemetry.Watch(client)()

	call, span := tracers.Tracer("program").Start(ctx, "GET /orders")
	if _, err := client.Token(call, entra.API().Scope()); err != nil {
		log.Fatal(err)
	}
	span.End()
	tracers.Shutdown(ctx) // sends what is left
	meters.Shutdown(ctx)

	for _, s := range collector.spans {
		if s.Name == "apponly.token" {
			fmt.Println(s.Name, "below", collector.parentOf(s))
		}
	}
	fmt.Println("apponly.token.ready:", collector.metrics["apponly.token.ready"])
	// Output:
	// apponly.token below GET /orders
	// apponly.token.ready: true
}
