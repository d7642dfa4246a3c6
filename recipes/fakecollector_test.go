// SPDX-License-Identifier: MIT

package recipes_test

import (
	"bytes"
	"context"
	"log"
	"net"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A collector is what exporters send their spans and metrics to. What it got may be read
// when they are shut down.
type collector struct {
	*grpc.Server
	addr    string
	spans   []*traces.Span
	metrics map[string]bool // by name

	collectortrace.UnimplementedTraceServiceServer
}

func startCollector() *collector {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	c := &collector{Server: grpc.NewServer(), addr: ln.Addr().String(), metrics: map[string]bool{}}
	collectortrace.RegisterTraceServiceServer(c.Server, c)
	collectormetrics.RegisterMetricsServiceServer(c.Server, metricsOf{collector: c})
	go c.Serve(ln)
	return c
}

// Export takes spans.
func (c *collector) Export(_ context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// parentOf returns the name of a span's parent, "" if it is not here.
func (c *collector) parentOf(child *traces.Span) string {
	for _, s := range c.spans {
		if bytes.Equal(s.SpanId, child.ParentSpanId) && bytes.Equal(s.TraceId, child.TraceId) {
			return s.Name
		}
	}
	return ""
}

// metricsOf takes the metrics for a collector.
type metricsOf struct {
	*collector
	collectormetrics.UnimplementedMetricsServiceServer
}

func (m metricsOf) Export(_ context.Context, r *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	for _, resource := range r.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			for _, metric := range scope.Metrics {
				m.metrics[metric.Name] = true
			}
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}
