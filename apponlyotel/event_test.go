// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/apponlyotel"
	"github.com/apponly/apponly/entratest"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Each token request is counted by its reason and, if it failed, its kind; what came from
// memory or from another process is none.
func TestRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		b.SetTokenLifetime(time.Hour)
		c := b.client()
		tok := b.token(c)
		b.token(c)
		time.Sleep(time.Until(tok.RefreshOn()))
		b.token(c)
		synctest.Wait()
		b.fail(entratest.Fault{Status: 429, Code: 90033})
		time.Sleep(2 * time.Hour)
		c.Token(t.Context(), b.API().Scope())
		b.OnEvent(t.Context(), apponly.Event{Kind: apponly.EventShared, Reason: apponly.ReasonMiss, Scope: b.API().Scope()})
		b.OnEvent(t.Context(), apponly.Event{Kind: apponly.EventTokenRequest, Reason: apponly.ReasonMiss, Scope: "odd", Err: errors.New("odd")})
		about := " scope=" + b.API().Scope() + "}"
		want := map[string]float64{
			"token.request.duration{reason=miss" + about: 1, "token.request.duration{reason=stale" + about: 1,
			"token.request.duration{error.type=throttled reason=expired" + about: 1,
			"token.request.duration{error.type=other reason=miss scope=odd}":     1,
		}
		b.want("counted", want)
		n := 0
		for name := range b.series() {
			if strings.HasPrefix(name, "token.request.") {
				n++
			}
		}
		if n != len(want) {
			t.Errorf("%d series, want %d", n, len(want))
		}
	})
}

func TestCredentialEventsAreCounted(t *testing.T) {
	b := newBench(t, apponlyotel.Options{})
	kinds := []apponly.EventKind{
		apponly.EventTokenRequest, apponly.EventAttemptFailed, apponly.EventCredentialChanged, apponly.EventCredentialUnreadable,
		apponly.EventCredentialSetAside, apponly.EventCredentialExpiring, apponly.EventChainIncomplete, apponly.EventChallengeUnreadable,
		apponly.EventIdentityBinding, apponly.EventShared, apponly.EventSharedUnavailable, apponly.EventSharedRejected, apponly.EventClockSkew,
	}
	for _, kind := range kinds {
		b.OnEvent(t.Context(), apponly.Event{Kind: kind, Err: errors.New("why")})
	}
	got := map[string]bool{}
	for name, n := range b.series() {
		if event, ok := strings.CutPrefix(name, "credential.events{event="); ok && n == 1 {
			got[strings.TrimSuffix(event, "}")] = true
		}
	}
	for _, want := range []string{"credential-changed", "credential-unreadable", "credential-set-aside", "credential-expiring", "chain-incomplete", "identity-binding"} {
		if !got[want] {
			t.Errorf("%s is not counted", want)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("counted besides: %v", got)
	}
}

// A million tenants and as many scopes are as many series as a handful, and so are the
// views that are watched.
func TestSeriesAreBounded(t *testing.T) {
	for name, opts := range map[string]apponlyotel.Options{
		"no tenants":          {},
		"two tenants":         {Tenants: []string{tenantID(1), tenantID(2)}},
		"none of the tenants": {Tenants: []string{}},
		"one scope":           {Scopes: []string{"api://1/.default"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts)
			c := b.client()
			views := 0
			grow := func(from, n int) int {
				for i := from; i < n; i++ {
					ev := apponly.Event{Kind: apponly.EventTokenRequest, Reason: apponly.ReasonMiss, TenantID: tenantID(i), Scope: fmt.Sprintf("api://%d/.default", i)}
					if i%2 == 0 {
						ev.Err = &apponly.Error{Kind: apponly.ErrThrottled}
					}
					b.OnEvent(t.Context(), ev)
				}
				for ; views < n/1000; views++ {
					v, err := c.Tenant(tenantID(views))
					if err != nil {
						t.Fatal(err)
					}
					b.Watch(v)
					v.Token(t.Context(), b.API().Scope()) // is refused: the emulator knows no such tenant
				}
				return len(b.series())
			}
			few, most := 10_000, 1_000_000
			if raceEnabled || name != "two tenants" { // it takes 10 s
				most = 30_000
			}
			before := grow(0, few)
			after := grow(few, most)
			t.Logf("%d series for %d tenants, %d for %d, %d views watched", before, few, after, most, views)
			if before != after || after > 250 {
				t.Errorf("%d series became %d", before, after)
			}
		})
	}
}

func tenantID(i int) string { return fmt.Sprintf("%08x-0000-0000-0000-000000000000", i+1) }

// What a program observes itself goes along.
func TestTwoObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, apponlyotel.Options{})
		seen := 0
		c := b.client(func(o *apponly.Options) {
			o.OnEvent = func(ctx context.Context, ev apponly.Event) {
				b.OnEvent(ctx, ev)
				seen++
			}
		})
		b.token(c)
		b.want("chained", map[string]float64{"token.request.duration{reason=miss scope=" + b.API().Scope() + "}": 1})
		if seen != 1 || len(b.spans.Ended()) != 1 {
			t.Errorf("%d events, %d spans", seen, len(b.spans.Ended()))
		}
	})
}

// costOfAnEvent calls OnEvent with a token request of an observer whose spans are recorded,
// below the span of a caller.
func costOfAnEvent(tb testing.TB, failed bool) (call func()) {
	b := newBench(tb, apponlyotel.Options{Tenants: []string{tenantID(0)}})
	b.tracer.UnregisterSpanProcessor(b.spans) // it keeps them all
	b.tracer.RegisterSpanProcessor(discarded{})
	ctx, _ := b.tracer.Tracer("").Start(tb.Context(), "caller")
	ev := apponly.Event{
		Kind: apponly.EventTokenRequest, Time: time.Now(), Duration: time.Second, Reason: apponly.ReasonMiss,
		TenantID: tenantID(0), ClientID: tenantID(9), Scope: "api://x/.default",
	}
	if failed {
		ev.Err = &apponly.Error{Kind: apponly.ErrThrottled, HTTPStatus: 429, Code: 90033, TenantID: tenantID(0), ClientID: tenantID(9), Scope: ev.Scope}
	}
	return func() { b.OnEvent(ctx, ev) }
}

// discarded are spans that are recorded and kept by nobody.
type discarded struct{ trace.SpanProcessor }

func (discarded) OnStart(context.Context, trace.ReadWriteSpan) {}
func (discarded) OnEnd(trace.ReadOnlySpan)                     {}

func BenchmarkOnEvent(b *testing.B) {
	for _, failed := range []bool{false, true} {
		b.Run(fmt.Sprint("failed=", failed), func(b *testing.B) {
			call := costOfAnEvent(b, failed)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

// A token request takes some ten milliseconds at best. What is made of it must not count.
func TestOnEventCostsLittle(t *testing.T) {
	const limit, times = 20 * time.Microsecond, 1000
	if raceEnabled {
		t.Skip("the race detector makes every memory access a call: times mean nothing")
	}
	call := costOfAnEvent(t, true)
	best := time.Hour
	for range 50 { // the machine may have no quiet moment
		began := time.Now()
		for range times {
			call()
		}
		best = min(best, time.Since(began)/times)
	}
	if t.Logf("an event costs %v", best); best > limit {
		t.Errorf("an event costs %v, want at most %v", best, limit)
	}
}
