// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A bench is an emulated Entra, and what is told of its clients.
type bench struct {
	testing.TB
	*entratest.Server
	*apponlyotel.Telemetry
	reader *metric.ManualReader
	spans  *tracetest.SpanRecorder
	tracer *trace.TracerProvider
}

func newBench(t testing.TB, opts apponlyotel.Options) *bench {
	b := &bench{TB: t, Server: entratest.NewServer(), reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	t.Cleanup(b.Server.Close)
	b.tracer = trace.NewTracerProvider(trace.WithSpanProcessor(b.spans))
	opts.MeterProvider, opts.TracerProvider = metric.NewMeterProvider(metric.WithReader(b.reader)), b.tracer
	b.Telemetry = apponlyotel.New(&opts)
	return b
}

// client returns a client of the emulator's app that is observed.
func (b *bench) client(change ...func(*apponly.Options)) *apponly.Client {
	b.Helper()
	return b.clientWith(apponly.Secret(b.Secret()), change...)
}

func (b *bench) clientWith(cred apponly.Credential, change ...func(*apponly.Options)) *apponly.Client {
	b.Helper()
	o := &apponly.Options{
		Cloud: b.Cloud(), HTTPClient: b.HTTPClient(), Cache: apponly.NewCache(nil),
		AllowedTenants: []string{"*"}, OnEvent: b.OnEvent,
	}
	for _, f := range change {
		f(o)
	}
	c, err := apponly.New(b.Tenant().ID(), b.App().ClientID(), cred, o)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// token gets a token for the emulator's API, of which there has to be one.
func (b *bench) token(c *apponly.Client) apponly.Token {
	b.Helper()
	tok, err := c.Token(b.Context(), b.API().Scope())
	if err != nil {
		b.Fatal(err)
	}
	return tok
}

// fail has token requests refused until the emulator is told to stop.
func (b *bench) fail(f entratest.Fault) (stop func()) {
	b.Helper()
	f.Endpoint = "token"
	stop, err := b.AddFault(f)
	if err != nil {
		b.Fatal(err)
	}
	return stop
}

// series returns the value of each series, the number of records for a histogram. What
// its name holds besides attributes is cut off: apponly.token.ready is token.ready.
func (b *bench) series() map[string]float64 {
	b.Helper()
	var data metricdata.ResourceMetrics
	if err := b.reader.Collect(b.Context(), &data); err != nil {
		b.Fatal(err)
	}
	all := map[string]float64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			name := strings.TrimPrefix(m.Name, "apponly.")
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				addPoints(all, name, d.DataPoints)
			case metricdata.Gauge[float64]:
				addPoints(all, name, d.DataPoints)
			case metricdata.Sum[int64]:
				addPoints(all, name, d.DataPoints)
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					all[name+labels(p.Attributes)] = float64(p.Count)
				}
			default:
				b.Fatalf("%s is a %T", m.Name, d)
			}
		}
	}
	return all
}

func addPoints[N int64 | float64](all map[string]float64, name string, points []metricdata.DataPoint[N]) {
	for _, p := range points {
		all[name+labels(p.Attributes)] = float64(p.Value)
	}
}

// labels writes attributes as {reason=miss scope=…}.
func labels(set attribute.Set) string {
	var all []string
	for _, kv := range set.ToSlice() {
		all = append(all, fmt.Sprint(strings.TrimPrefix(string(kv.Key), "apponly."), "=", kv.Value.String()))
	}
	slices.Sort(all)
	return "{" + strings.Join(all, " ") + "}"
}

// want checks the values of some series.
func (b *bench) want(when string, values map[string]float64) {
	b.Helper()
	got := b.series()
	for name, value := range values {
		if v, ok := got[name]; !ok || v != value {
			b.Errorf("%s: %s is %v (%v), want %v", when, name, v, ok, value)
		}
	}
	if b.Failed() {
		b.Logf("%s: %v", when, got)
	}
}
