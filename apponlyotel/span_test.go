// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// last returns the last span of a token, of which there have to be n.
func (b *bench) last(n int) sdktrace.ReadOnlySpan {
	b.Helper()
	var tokens []sdktrace.ReadOnlySpan
	for _, s := range b.spans.Ended() {
		if s.Name() == "apponly.token" {
			tokens = append(tokens, s)
		}
	}
	if len(tokens) != n {
		b.Fatalf("%d spans of tokens, want %d", len(tokens), n)
	}
	return tokens[n-1]
}

// under calls f below a span of the program.
func (b *bench) under(name string, f func(context.Context)) trace.SpanContext {
	ctx, span := b.tracer.Tracer("program").Start(b.Context(), name)
	defer span.End()
	f(ctx)
	return span.SpanContext()
}

// Whoever waits for a token request has its span below the own one, as long as it took.
func TestSpanOfWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{Tenants: []string{}, Scopes: []string{}})
		b.SetTokenLifetime(time.Hour)
		c, scope := b.client(), b.API().Scope()
		b.fail(entratest.Fault{Delay: 3 * time.Second})
		n, began := 0, time.Now()
		waits := func(reason apponly.Reason, req apponly.TokenRequest) sdktrace.ReadOnlySpan {
			t.Helper()
			n++
			began = time.Now()
			req.Scope = scope
			caller := b.under("caller", func(ctx context.Context) { c.TokenFor(ctx, req) })
			s := b.last(n)
			if s.Parent().SpanID() != caller.SpanID() || s.SpanContext().TraceID() != caller.TraceID() || len(s.Links()) > 0 {
				t.Errorf("%s: parent %v of trace %v, want %v", string(reason), s.Parent().SpanID(), s.SpanContext().TraceID(), caller)
			}
			if !s.StartTime().Equal(began) || !s.EndTime().Equal(time.Now()) || time.Since(began) < 3*time.Second {
				t.Errorf("%s: from %v to %v, want %v to %v", string(reason), s.StartTime(), s.EndTime(), began, time.Now())
			}
			if got := attributes(s)["apponly.reason"]; got != string(reason) {
				t.Errorf("reason %q, want %q", got, string(reason))
			}
			return s
		}
		s := waits(apponly.ReasonMiss, apponly.TokenRequest{})
		got := attributes(s)
		for key, want := range map[string]string{
			"apponly.scope": scope, "apponly.tenant_id": b.Tenant().ID(), "apponly.client_id": c.ClientID(), "apponly.shared": "false",
		} {
			if got[key] != want {
				t.Errorf("%s = %q, want %q, whatever metrics may name", key, got[key], want)
			}
		}
		if _, failed := got["error.type"]; failed || s.Status().Code != codes.Unset {
			t.Errorf("a token came, and the span says %v, %v", got, s.Status())
		}
		time.Sleep(20 * time.Minute)
		waits(apponly.ReasonStale, apponly.TokenRequest{MinValid: 50 * time.Minute})
		time.Sleep(time.Minute)
		waits(apponly.ReasonForced, apponly.TokenRequest{Force: true})
		time.Sleep(2 * time.Hour)

		b.ClearFaults()
		b.fail(entratest.Fault{Delay: 3 * time.Second, Code: 7000215})
		s = waits(apponly.ReasonExpired, apponly.TokenRequest{})
		got = attributes(s)
		if s.Status().Code != codes.Error || !strings.HasSuffix(s.Status().Description, "TROUBLESHOOTING.md#secret_invalid") ||
			got["error.type"] != "secret_invalid" || got["apponly.aadsts"] != "7000215" || got["apponly.correlation_id"] == "" {
			t.Errorf("of a refusal: %v, %v", s.Status(), got)
		}
	})
}

// A refresh that nobody waited for is no part of the call that it began behind, but leads
// there.
func TestSpanOfARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		b.SetTokenLifetime(time.Hour)
		c := b.client()
		tok := b.token(c)
		b.last(1)
		time.Sleep(time.Until(tok.RefreshOn()))
		caller := b.under("caller", func(ctx context.Context) { c.Token(ctx, b.API().Scope()) })
		synctest.Wait()
		s := b.last(2)
		if s.Parent().IsValid() || s.SpanContext().TraceID() == caller.TraceID() {
			t.Errorf("the parent is %v", s.Parent())
		}
		if links := s.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != caller.SpanID() {
			t.Errorf("links %v, want one to %v", links, caller)
		}
		time.Sleep(50 * time.Minute)
		b.token(c) // without a span
		synctest.Wait()
		if s := b.last(3); len(s.Links()) > 0 || s.Parent().IsValid() {
			t.Errorf("behind nobody: %v, %v", s.Links(), s.Parent())
		}
	})
}

// The first token that KeepWarm gets is waited for, by the start of the program; those
// of the months after are not.
func TestSpanOfKeepWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		b.SetTokenLifetime(time.Hour)
		c := b.client()
		start := b.under("start", func(ctx context.Context) { go c.KeepWarm(ctx, b.API().Scope()) })
		time.Sleep(time.Second)
		if s := b.last(1); s.Parent().SpanID() != start.SpanID() {
			t.Errorf("the parent of the first is %v", s.Parent())
		}
		time.Sleep(time.Until(b.token(c).RefreshOn()) + time.Minute) // not for longer: the third may come within the hour
		if s := b.last(2); s.Parent().IsValid() || len(s.Links()) != 1 {
			t.Errorf("the second has the parent %v and the links %v", s.Parent(), s.Links())
		}
	})
}

// A call that takes long because the first attempt failed says so while it waits.
func TestSpanOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		c := b.client()
		b.fail(entratest.Fault{Status: 503, Times: 1})
		b.under("caller", func(ctx context.Context) { c.Token(ctx, b.API().Scope()) })
		for _, s := range b.spans.Ended() {
			if s.Name() != "caller" {
				continue
			}
			if ev := s.Events(); len(ev) != 1 || ev[0].Name != "apponly.attempt_failed" || fmt.Sprint(ev[0].Attributes[0].Value.AsString()) != "transient_service" {
				t.Errorf("events %+v", ev)
			}
		}
		if s := b.last(1); s.Status().Code == codes.Error {
			t.Errorf("the status is %v, and a token came", s.Status())
		}
	})
}

// What another process has brought took its time, too.
func TestSpanOfASharedToken(t *testing.T) {
	b := newBench(t, apponlyotel.Options{})
	caller := b.under("caller", func(ctx context.Context) {
		b.OnEvent(ctx, apponly.Event{Kind: apponly.EventShared, Time: time.Now(), Duration: time.Second, Reason: apponly.ReasonMiss})
	})
	if s := b.last(1); s.Parent().SpanID() != caller.SpanID() || attributes(s)["apponly.shared"] != "true" || s.EndTime().Sub(s.StartTime()) != time.Second {
		t.Errorf("%v, %v", s.Parent(), attributes(s))
	}
}

// Nothing that is told is secret, whatever goes wrong.
func TestNothingSecretIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		c := b.client()
		b.Watch(c)
		tok := b.token(c)
		for _, f := range []entratest.Fault{{Code: 7000215}, {Status: 200, Connection: "garble"}, {Code: 50196}} {
			if f.Connection != "" {
				f.Status = 0
			}
			stop := b.fail(f)
			time.Sleep(time.Hour)
			c.TokenFor(t.Context(), apponly.TokenRequest{Scope: b.API().Scope(), Force: true})
			stop()
		}
		var text strings.Builder
		text.WriteString(fmt.Sprint(b.series()))
		for _, s := range b.spans.Ended() {
			text.WriteString(fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events(), s.Links()))
		}
		if !strings.Contains(text.String(), "secret_invalid") {
			t.Fatalf("nothing was told: %s", text.String())
		}
		for _, secret := range []string{b.Secret(), tok.Value(), strings.Split(tok.Value(), ".")[2]} {
			if strings.Contains(text.String(), secret) {
				t.Errorf("told: %s", text.String())
			}
		}
	})
}

func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	set := attribute.NewSet(s.Attributes()...)
	all := map[string]string{}
	for _, kv := range set.ToSlice() {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}
