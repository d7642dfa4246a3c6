// SPDX-License-Identifier: MIT

package ops_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

const (
	directory = "../../ops"
	manual    = "../../docs/operations.md"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A program has a client of an emulated Entra, and metrics to be scraped.
type program struct {
	*testing.T
	*entratest.Server
	*apponly.Client
	telemetry *apponlyotel.Telemetry
	registry  *prometheus.Registry
}

func newProgram(t *testing.T, tokenLeg func(*entratest.Server) *http.Client) *program {
	t.Helper()
	p := &program{T: t, Server: entratest.New(t), registry: prometheus.NewRegistry()}
	leg := tokenLeg(p.Server)
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(p.registry))
	if err != nil {
		t.Fatal(err)
	}
	p.telemetry = apponlyotel.New(&apponlyotel.Options{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter)),
		Tenants:       []string{p.Tenant().ID()},
	})
	cert := p.Certificate()
	p.Client, err = apponly.New(p.Tenant().ID(), p.App().ClientID(), apponly.Certificate([]*x509.Certificate{cert.Leaf}, cert.Key, nil), &apponly.Options{
		Cloud: p.Cloud(), HTTPClient: leg, Cache: apponly.NewCache(nil), OnEvent: p.telemetry.OnEvent,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.telemetry.Watch(p.Client))
	return p
}

// Tenant is the emulator's; the client has one, too.
func (p *program) Tenant() *entratest.Tenant { return p.Server.Tenant() }

func (p *program) metrics() http.Handler {
	return promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{})
}

// exported returns the labels of each metric that there can be, by its name in PromQL.
func exported(t *testing.T) map[string]map[string]bool {
	t.Helper()
	p := newProgram(t, (*entratest.Server).HTTPClient)
	p.Token(t.Context(), p.API().Scope())
	p.Token(t.Context(), "api://unknown/.default")
	p.telemetry.OnEvent(context.Background(), apponly.Event{Kind: apponly.EventCredentialChanged})
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]bool{}
	for _, f := range families {
		labels := map[string]bool{"job": true, "instance": true, "pod": true} // of the scrape
		for _, m := range f.Metric {
			for _, l := range m.Label {
				labels[l.GetName()] = true
			}
		}
		if f.Metric[0].Histogram == nil {
			all[f.GetName()] = labels
			continue
		}
		labels["le"] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[f.GetName()+suffix] = labels
		}
	}
	return all
}
