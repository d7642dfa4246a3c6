// SPDX-License-Identifier: MIT

package health_test

import (
	"context"
	"crypto/x509"
	"errors"
	"html"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/health"
)

// noStore is a shared store that works and is empty, or is down.
type noStore struct{ err error }

func (s *noStore) Get(context.Context, string) ([]byte, time.Duration, error) { return nil, 0, s.err }
func (s *noStore) Set(context.Context, string, []byte, time.Duration) error   { return s.err }
func (s *noStore) Add(context.Context, string, []byte, time.Duration) (bool, error) {
	return true, s.err
}

var (
	markup = regexp.MustCompile(`(?s)<style>.*</style>|<[^>]*>`)
	blanks = regexp.MustCompile(`\s+`)
)

// text is what stands on the page.
func text(checks ...*health.Check) string {
	page := get(health.Page("the page", checks...)).Body.String()
	return blanks.ReplaceAllString(html.UnescapeString(markup.ReplaceAllString(page, " ")), " ")
}

func want(t *testing.T, when, page string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(page, s) {
			t.Errorf("%s: %q is missing from %s", when, s, page)
		}
	}
}

// What stands below the table.
func TestFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &noStore{}
		key := make([]byte, 32)
		key[0] = 1
		w := newWorld(t, &apponly.CacheOptions{Shared: store, SharedKeys: apponly.SharedKey(key)})
		second := &health.Check{Client: w.with(apponly.Certificate([]*x509.Certificate{w.Certificate().Leaf}, w.Certificate().Key, nil), nil), Scopes: []string{w.scope}}
		want(t, "at first", text(w.check(), second), "Not ready", "0 of 2 scopes have", "Credential ends not known", "Clock not compared yet", "Cache 0 entries 0 token requests, 0 evictions", "Shared cache not in use", runtime.Version())

		w.mustToken()
		page := text(w.check())
		want(t, "one", page, "the page Ready Every token", w.Tenant().ID(), w.App().ClientID(), w.scope, "Ready fresh", "in 1 h 2000-01-01 01:00:00 UTC",
			"Clock right", "Cache 1 entry 1 token request, 0 evictions", "Shared cache in use 0 hits, 1 miss, 0 failures, 0 rejected")
		if _, err := second.Client.Token(t.Context(), w.scope); err != nil {
			t.Fatal(err)
		}
		want(t, "two caches", text(w.check(), second, w.check()), "Cache 2 entries 2 token requests", "Credential ends in "+health.Relative(w.Certificate().Leaf.NotAfter, time.Now())[3:])

		store.err = errors.New("down")
		w.SetClockOffset(-3 * time.Minute)
		if _, err := w.client.TokenFor(t.Context(), apponly.TokenRequest{Scope: w.scope, Force: true}); err != nil {
			t.Fatal(err)
		}
		want(t, "trouble", text(w.check()), "Shared cache not available: Entra is asked", "Clock 3 min fast compared with Entra's")
	})
}

func TestRelative(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 400 * time.Millisecond: "now", time.Second: "in 1 s", -59 * time.Second: "59 s ago", time.Minute: "in 1 min",
		time.Hour - time.Second: "in 59 min 59 s", time.Hour + 59*time.Second: "in 1 h", -25 * time.Hour: "1 d 1 h ago", 91*24*time.Hour + 23*time.Hour: "in 91 d 23 h",
	} {
		if got := health.Relative(now.Add(d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
