// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A start during an outage is not silent until the flight ends.
func TestFirstFailureIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		times int64
		fault func(*http.Request) (*http.Response, error)
		kind  apponly.Kind // "": nobody is told
		after time.Duration
	}{
		"unreachable":           {100, fails(refused()), apponly.ErrUnreachable, 0},
		"hanging":               {100, hang, apponly.ErrUnreachable, 10 * time.Second},
		"busy once":             {1, status(503, "busy"), apponly.ErrService, 0},
		"busy":                  {100, status(503, "busy"), apponly.ErrService, 0},
		"throttled":             {1, status(429, "", "Retry-After", "5"), apponly.ErrThrottled, 0},
		"throttled for long":    {100, status(429, "", "Retry-After", "500"), "", 0},
		"a refusal":             {100, status(401, `{"error":"invalid_client","error_codes":[7000215]}`), "", 0},
		"a web page":            {100, status(403, "<html>", "Content-Type", "text/html"), "", 0},
		"nothing is the matter": {0, hang, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(firstly(tc.times, tc.fault))
				opts := s.options()
				var told []apponly.Event
				var at time.Duration
				var log bytes.Buffer
				start := time.Now()
				opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
				opts.OnEvent = func(_ context.Context, ev apponly.Event) {
					if ev.Kind == apponly.EventAttemptFailed {
						told, at = append(told, ev), time.Since(start)
					}
				}
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = c.Token(t.Context(), s.API().Scope())
				if tc.kind == "" {
					if len(told) > 0 {
						t.Errorf("told of %v", told)
					}
					return
				}
				if len(told) != 1 || at != tc.after {
					t.Fatalf("told %d times, the last one after %v; want once after %v", len(told), at, tc.after)
				}
				ev := told[0]
				wantKind(t, ev.Err, tc.kind, s.Tenant().ID(), s.App().ClientID(), s.API().Scope())
				if ev.Reason != apponly.ReasonMiss || ev.TenantID != s.Tenant().ID() || ev.Scope != s.API().Scope() {
					t.Errorf("event = %+v", ev)
				}
				if n := strings.Count(log.String(), `level=WARN msg="token request is repeated"`); n != 1 {
					t.Errorf("%d warnings in the log:\n%s", n, log.String())
				}
			})
		})
	}
}

// A refresh behind a good token makes one try: there is nothing to tell but its end.
func TestRefreshIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		opts := s.options()
		n := counting(opts, apponly.EventAttemptFailed)
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		tok := mustToken(t, c, s.API().Scope())
		s.setFault(status(503, ""))
		time.Sleep(time.Until(tok.RefreshOn()) + time.Second)
		mustToken(t, c, s.API().Scope())
		synctest.Wait()
		if n.Load() != 0 {
			t.Errorf("told %d times", n.Load())
		}
	})
}
