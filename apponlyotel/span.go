// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"context"
	"errors"

	"github.com/apponly/apponly"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// trace makes a span of what has ended, and returns a context with it.
//
// It is a child of the span of whoever waited. Of a refresh that nobody waited for it is
// the root, with a link to whom it began behind: a request that was served long ago did
// not take so long.
func (t *Telemetry) trace(ctx context.Context, ev apponly.Event) context.Context {
	opts := []trace.SpanStartOption{trace.WithTimestamp(ev.Time)}
	if ev.Behind {
		opts = append(opts, trace.WithNewRoot())
		if link := trace.LinkFromContext(ctx); link.SpanContext.IsValid() {
			opts = append(opts, trace.WithLinks(link))
		}
	}
	ctx, span := t.tracer.Start(ctx, "apponly.token", opts...)
	if span.IsRecording() {
		describe(span, ev)
	}
	span.End(trace.WithTimestamp(ev.Time.Add(ev.Duration)))
	return ctx
}

// describe says what a span is about. A trace may name what a metric must not.
func describe(span trace.Span, ev apponly.Event) {
	span.SetAttributes(
		attribute.String("apponly.reason", string(ev.Reason)),
		attribute.String("apponly.scope", ev.Scope),
		attribute.String("apponly.tenant_id", ev.TenantID),
		attribute.String("apponly.client_id", ev.ClientID),
		attribute.Bool("apponly.shared", ev.Kind == apponly.EventShared),
	)
	if ev.Err == nil {
		return
	}
	span.SetStatus(codes.Error, ev.Err.Error()) // one line, with no secret in it
	span.SetAttributes(errorType(ev.Err))
	if e, ok := errors.AsType[*apponly.Error](ev.Err); ok && e.HTTPStatus != 0 {
		span.SetAttributes(
			attribute.Int("apponly.aadsts", e.Code),
			attribute.String("apponly.correlation_id", e.CorrelationID),
		)
	}
}

// noteAttempt tells the span of whoever waits that it will take longer, and why.
func noteAttempt(ctx context.Context, ev apponly.Event) {
	trace.SpanFromContext(ctx).AddEvent("apponly.attempt_failed",
		trace.WithTimestamp(ev.Time), trace.WithAttributes(errorType(ev.Err)))
}
