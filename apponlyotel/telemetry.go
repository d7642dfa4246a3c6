// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"context"
	"errors"

	"github.com/apponly/apponly"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const instrumentation = "github.com/apponly/apponly/apponlyotel"

// Options are the settings of a [Telemetry]; nil is fine.
type Options struct {
	// MeterProvider and TracerProvider are those of the process by default, see
	// [otel.SetMeterProvider] and [otel.SetTracerProvider].
	MeterProvider  metric.MeterProvider
	TracerProvider trace.TracerProvider

	// Tenants are the tenants that metrics name, by GUID or domain name as the client
	// does; all others are "other". nil: no metric has a tenant. Spans always do.
	Tenants []string
	// Scopes are the scopes that metrics name; all others are "other". nil: the first
	// 32 that are seen. Spans always name theirs.
	Scopes []string
}

// A Telemetry makes metrics and spans of what clients tell. One is enough for any number
// of clients. It is safe for concurrent use, owns no goroutine and needs no Close.
type Telemetry struct {
	tracer  trace.Tracer
	meters  instruments
	tenants *names // nil: metrics have none
	scopes  *names
	watched watched
}

// New returns a Telemetry. What OpenTelemetry finds wrong goes to [otel.Handle].
func New(opts *Options) *Telemetry {
	if opts == nil {
		opts = &Options{}
	}
	meters, tracers := opts.MeterProvider, opts.TracerProvider
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	t := &Telemetry{tracer: tracers.Tracer(instrumentation), scopes: newNames(opts.Scopes)}
	if opts.Tenants != nil {
		t.tenants = newNames(opts.Tenants)
	}
	meter := meters.Meter(instrumentation)
	var err error
	if t.meters, err = newInstruments(meter); err != nil {
		otel.Handle(err)
	}
	// For good: who is watched changes, this does not.
	if _, err := meter.RegisterCallback(t.collect, t.meters.observed()...); err != nil {
		otel.Handle(err)
	}
	return t
}

// ofCredentials are the events that are counted. Of the others, requests have a
// histogram, the shared cache has counters of its own, and the rest is in the log.
var ofCredentials = map[apponly.EventKind]bool{
	apponly.EventCredentialChanged:    true,
	apponly.EventCredentialUnreadable: true,
	apponly.EventCredentialSetAside:   true,
	apponly.EventCredentialExpiring:   true,
	apponly.EventChainIncomplete:      true,
	apponly.EventIdentityBinding:      true,
}

// OnEvent is for [apponly.Options.OnEvent], of any number of clients. A program that
// observes events itself calls it from its own function, with the same context: the span
// of whoever waits for the token is in it.
func (t *Telemetry) OnEvent(ctx context.Context, ev apponly.Event) {
	switch ev.Kind {
	case apponly.EventTokenRequest:
		ctx = t.trace(ctx, ev)
		attrs := append(t.about(ev.TenantID, ev.Scope), attribute.String("apponly.reason", string(ev.Reason)))
		if ev.Err != nil {
			attrs = append(attrs, errorType(ev.Err))
		}
		t.meters.requests.Record(ctx, ev.Duration.Seconds(), metric.WithAttributes(attrs...))
	case apponly.EventShared:
		t.trace(ctx, ev)
	case apponly.EventAttemptFailed:
		noteAttempt(ctx, ev)
	default:
		if ofCredentials[ev.Kind] {
			t.meters.changes.Add(ctx, 1, metric.WithAttributes(attribute.String("apponly.event", string(ev.Kind))))
		}
	}
}

// about returns what metrics say of a token.
func (t *Telemetry) about(tenant, scope string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{attribute.String("apponly.scope", t.scopes.of(scope))}
	if t.tenants != nil {
		attrs = append(attrs, attribute.String("apponly.tenant_id", t.tenants.of(tenant)))
	}
	return attrs
}

// errorType returns the kind of an error: of a few dozen, so that it may be an attribute.
func errorType(err error) attribute.KeyValue {
	kind := apponly.ErrOther
	if e, ok := errors.AsType[*apponly.Error](err); ok {
		kind = e.Kind
	}
	return attribute.String("error.type", string(kind))
}
