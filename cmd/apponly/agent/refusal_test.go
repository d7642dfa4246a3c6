// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// An SDK comes back after 503 and 429, and shows all else to its developer.
func TestRefusalOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for name, tc := range map[string]struct {
		err    error
		status int
		after  int
		error  string
	}{
		"unreachable":            {&apponly.Error{Kind: apponly.ErrUnreachable}, 503, 1, "temporarily_unavailable"},
		"until later":            {&apponly.Error{Kind: apponly.ErrService, RetryAt: in(7 * time.Second)}, 503, 7, "temporarily_unavailable"},
		"a part of a second":     {&apponly.Error{Kind: apponly.ErrService, RetryAt: in(6100 * time.Millisecond)}, 503, 7, "temporarily_unavailable"},
		"it is past":             {&apponly.Error{Kind: apponly.ErrService, RetryAt: in(-time.Hour)}, 503, 1, "temporarily_unavailable"},
		"for long":               {&apponly.Error{Kind: apponly.ErrService, RetryAt: in(time.Hour)}, 503, 3600, "temporarily_unavailable"},
		"issuer":                 {&apponly.Error{Kind: apponly.ErrIssuerUnreachable}, 503, 1, "temporarily_unavailable"},
		"throttled":              {&apponly.Error{Kind: apponly.ErrThrottled, RetryAt: in(30 * time.Second)}, 429, 30, "slow_down"},
		"secret expired":         {&apponly.Error{Kind: apponly.ErrSecretExpired, OAuthError: "invalid_client", RetryAt: in(time.Minute)}, 400, 0, "invalid_client"},
		"credential unavailable": {&apponly.Error{Kind: apponly.ErrCredentialUnavailable}, 400, 0, "invalid_request"},
		"no such resource":       {&apponly.Error{Kind: apponly.ErrResourceNotFound, OAuthError: "invalid_resource"}, 400, 0, "invalid_resource"},
		"policy":                 {&apponly.Error{Kind: apponly.ErrConditionalAccess}, 400, 0, "invalid_request"},
		"other":                  {&apponly.Error{Kind: apponly.ErrOther}, 400, 0, "invalid_request"},
		"held for too long":      {context.DeadlineExceeded, 503, 1, "temporarily_unavailable"},
		"not allowed":            {&apponly.Error{Kind: apponly.ErrTenantNotAllowed}, 403, 0, "access_denied"},
		"something else":         {errors.New("x"), 400, 0, "invalid_request"},
	} {
		got := agent.RefusalOf(tc.err, now)
		if got.Status != tc.status || got.RetryAfter != tc.after || got.Error != tc.error {
			t.Errorf("%s: %d %d %s, want %d %d %s", name, got.Status, got.RetryAfter, got.Error, tc.status, tc.after, tc.error)
		}
		var e *apponly.Error
		if errors.As(tc.err, &e) && (got.Kind != e.Kind || !strings.HasSuffix(got.Description, e.Kind.Remedy())) {
			t.Errorf("%s: %+v, want the kind and the remedy", name, got)
		}
	}
}

// What a person has to mend is told with its remedy, from memory.
func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.App().RemoveSecret(w.Server.Secret())
	for range 200 {
		a := w.ask(w.request())
		if a.status != 400 || a.text("kind") != "secret_invalid" || a.json["code"] != float64(7000215) ||
			!strings.Contains(a.text("error_description"), "AADSTS7000215") || !strings.HasSuffix(a.text("error_description"), a.text("remedy")) || a.text("remedy") == "" {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if got := w.TokenRequests(); got > 3 {
		t.Errorf("%d token requests for 200 calls, want 3 at most", got)
	}
}

// A call is held for 10 s. What it waited for goes on, and whoever asks again gets it.
func TestHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.AddFault(entratest.Fault{Endpoint: "token", Delay: 15 * time.Second, Times: 1}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a := w.ask(w.request())
		if took := time.Since(start); a.status != 503 || took != 10*time.Second || retryAfter(a.header) != 1 {
			t.Errorf("after %v: %d, Retry-After %d; want 503 after 10 s, and 1", took, a.status, retryAfter(a.header))
		}
		time.Sleep(time.Second)
		a = w.ask(w.request())
		if took := time.Since(start); a.status != 200 || took > 20*time.Second {
			t.Errorf("after %v: %d %s", took, a.status, a.body)
		}
	})
}

func retryAfter(h http.Header) int { n, _ := strconv.Atoi(h.Get("Retry-After")); return n }

// Entra wants to be left alone for 30 s: who does what Retry-After says has the token
// then, and nobody asks Entra meanwhile.
func TestThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.AddFault(entratest.Fault{Endpoint: "token", Status: 429, RetryAfter: "30", Times: 1}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		refused := 0
		for {
			a := w.ask(w.request())
			if a.status == 200 {
				break
			}
			if a.status != 429 && a.status != 503 || retryAfter(a.header) < 1 || refused > 10 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			refused++
			time.Sleep(time.Duration(retryAfter(a.header)) * time.Second)
		}
		if took := time.Since(start); took < 30*time.Second || took > 45*time.Second || w.TokenRequests() != 2 {
			t.Errorf("a token after %v and %d token requests, want 30 s and 2", took, w.TokenRequests())
		}
		t.Logf("%d refusals", refused)
	})
}
