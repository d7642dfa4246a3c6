// SPDX-License-Identifier: MIT

package main

import (
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A hit costs the same with OpenTelemetry's observer and without: it tells nobody.
func TestHitWithTelemetry(t *testing.T) {
	const limit = 1.02
	reader := metric.NewManualReader()
	telemetry := apponlyotel.New(&apponlyotel.Options{MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	hits := func(o apponly.Options) (*apponly.Client, contender) {
		o.Cache, o.HTTPClient = apponly.NewCache(nil), new(sts).client()
		c, err := apponly.New(home, clientID, apponly.Secret(secret), &o)
		if err != nil {
			t.Fatal(err)
		}
		l := contender{name: ours.name, loops: []loop{hitting(c)}}
		if err := l.loops[0](1); err != nil {
			t.Fatal(err)
		}
		return c, l
	}
	_, alone := hits(apponly.Options{})
	c, observed := hits(apponly.Options{OnEvent: telemetry.OnEvent})
	defer telemetry.Watch(c)()
	holdTogether(t, limit, alone, observed)
	var told metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &told); err != nil || len(told.ScopeMetrics) != 1 || len(told.ScopeMetrics[0].Metrics) < 8 {
		t.Errorf("nobody was watching: %v, %+v", err, told)
	}
}
