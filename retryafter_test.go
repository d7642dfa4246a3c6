// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// Only Entra says when to ask again. Whatever else stands in its place is gone a
// moment later, and with it the reason to wait.
func TestWhoIsBelievedToAskForPatience(t *testing.T) {
	const hour, html, text = "3600", "text/html; charset=utf-8", "text/plain"
	refusal := `{"error":"temporarily_unavailable","error_codes":[90033]}`
	for name, tc := range map[string]struct {
		status      int
		media, body string
		believed    bool
	}{
		"a captive portal's redirect":      {302, html, "", false},
		"one that keeps the method":        {307, "", "", false},
		"its page":                         {200, html, "<html>log in</html>", false},
		"its page without a type":          {200, "", "<!DOCTYPE html>", false},
		"a proxy's page":                   {503, html, "<html>ERR_CONNECT_FAIL</html>", false},
		"a proxy's page without a type":    {503, "", "  <html>", false},
		"one in XHTML":                     {429, "application/xhtml+xml", "x", false},
		"a page about too many requests":   {429, html, "<html>slow down</html>", false},
		"a firewall's refusal":             {403, html, "<html>blocked</html>", false},
		"a gateway in between":             {502, text, "Bad Gateway", false},
		"a gateway that gave up":           {504, text, "upstream request timeout", false},
		"a network that wants a log-in":    {511, "application/json", `{"login":"https://portal.test"}`, false},
		"a proxy that wants a log-in":      {407, text, "", false},
		"somebody's JSON":                  {500, "application/json", `{"message":"no upstream"}`, false},
		"JSON that is cut off":             {500, "application/json", refusal[:20], false},
		"Entra, throttling":                {429, "application/json", refusal, true},
		"Entra, throttling in a few words": {429, text, "Too Many Requests", true},
		"Entra, throttling without a word": {429, "", "", true},
		"Entra, busy":                      {503, text, "busy", true},
		"Entra, broken":                    {500, "application/json", refusal, true},
		"Entra, refusing":                  {400, "application/json", refusal, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(func(r *http.Request) (*http.Response, error) {
					return status(tc.status, tc.body, "Content-Type", tc.media, "Retry-After", hour, "Location", "https://portal.test/")(r)
				})
				c := s.client(t)
				if _, err := c.Token(t.Context(), s.API().Scope()); err == nil {
					t.Fatal("a token")
				}
				s.setFault(nil) // whatever it was has gone
				paused := time.Duration(0)
				for start := time.Now(); ; time.Sleep(time.Second / 10) {
					if _, err := c.Token(t.Context(), s.API().Scope()); err == nil {
						paused = time.Since(start)
						break
					}
				}
				if believed := paused > 15*time.Second; believed != tc.believed {
					t.Errorf("paused for %v", paused)
				}
			})
		})
	}
}

// A date is read by the clock that wrote it: with a local clock that is an hour
// behind, "in a minute" would be an hour from now, and with one that is ahead, now.
func TestRetryAfterByTheAnswersDate(t *testing.T) {
	for name, tc := range map[string]struct {
		ahead time.Duration // Entra's clock
		dated bool
		want  time.Duration
	}{
		"clocks agree":       {0, true, time.Minute},
		"the local is slow":  {time.Hour, true, time.Minute},
		"the local is fast":  {-time.Hour, true, time.Minute},
		"by a year":          {366 * 24 * time.Hour, true, time.Minute},
		"there is no Date":   {0, false, time.Minute},
		"slow, without Date": {20 * time.Minute, false, 21 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(func(r *http.Request) (*http.Response, error) {
					entra := time.Now().Add(tc.ahead)
					resp, err := status(429, "", "Retry-After", entra.Add(time.Minute).UTC().Format(http.TimeFormat))(r)
					if tc.dated {
						resp.Header.Set("Date", entra.UTC().Format(http.TimeFormat))
					}
					return resp, err
				})
				start := time.Now()
				_, err := s.client(t).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrThrottled)
				if wait := asError(t, err).RetryAt.Sub(start); wait < tc.want || wait > tc.want*11/10 {
					t.Errorf("RetryAt in %v, want %v and a little", wait, tc.want)
				}
			})
		})
	}
}
