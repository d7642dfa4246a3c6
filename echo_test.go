// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// An answer of almost 1 MiB may hold a text that could repeat any part of a token
// that it holds as well. It takes no more than some times what one without takes.
func TestHostileEchoCostsLittle(t *testing.T) {
	token := strings.Repeat("0123456789ab", 70_000)
	long := strings.Repeat("%3c&lt;", 8<<10/7)
	// cost is the least of a few tries, as the machine is noisy.
	cost := func(members map[string]any) time.Duration {
		members["access_token"] = token
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		least := time.Hour
		for range 3 {
			s := newSTS(t)
			s.setFault(status(400, string(body)))
			began := time.Now()
			_, err = s.client(t).Token(t.Context(), s.API().Scope())
			asError(t, err)
			least = min(least, time.Since(began))
		}
		return least
	}
	harmless := cost(map[string]any{"error": "invalid_scope"})
	for name, members := range map[string]map[string]any{
		"all members":   {"error": long, "suberror": long, "error_description": long, "claims": long, "trace_id": long, "correlation_id": long},
		"nearly equal":  {"error": "invalid_scope", "error_description": strings.Repeat("0123456789a", 800)},
		"a long secret": {"error": "invalid_scope", "error_description": strings.Repeat("x", 8<<10)},
		"many numbers":  {"error": "invalid_scope", "error_codes": strings.Repeat("7000222,", 10_000)},
	} {
		if d := cost(members); d > 30*harmless {
			t.Errorf("%s: %v, a harmless answer of that size %v", name, d, harmless)
		}
	}
}

// Whatever piece of the secret comes back, and however it is written.
func TestEchoesAreRedacted(t *testing.T) {
	const secret = "0wRJ8~canary+secret/of=the.app&more"
	for name, tc := range map[string]struct {
		text string
		safe bool
	}{
		"whole":         {"you sent " + secret, false},
		"cut off":       {"you sent " + secret[:24] + "...", false},
		"its end":       {"..." + secret[11:], false},
		"form-encoded":  {"body was client_secret=" + url.QueryEscape(secret), false},
		"as HTML":       {"you sent " + strings.ReplaceAll(secret, "&", "&amp;"), false},
		"a word of it":  {"there is a canary", true},
		"nothing of it": {"no such app", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				b, err := json.Marshal(map[string]string{"error": "invalid_scope", "error_description": tc.text})
				if err != nil {
					t.Fatal(err)
				}
				s.setFault(status(400, string(b)))
				_, err = s.with(t, apponly.Secret(secret)).Token(t.Context(), s.API().Scope())
				if got := asError(t, err).Description; (got == tc.text) != tc.safe {
					t.Errorf("description = %q", got)
				}
			})
		})
	}
}
