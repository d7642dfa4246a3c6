// SPDX-License-Identifier: MIT

package health

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// Handler answers a readiness probe: 200 for [Ready] and [Degraded], 503 for [NotReady]. The
// body is text with a line for each of [Result].Reasons, or the [Result] in JSON for a client that
// accepts application/json. It names the scopes, and in an error the tenant and the app.
func (c *Check) Handler() http.Handler {
	return reading(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		result, _ := c.look(now)
		status := http.StatusOK
		if result.Verdict == NotReady {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Vary", "Accept")
		var body bytes.Buffer
		if acceptsJSON(r.Header.Values("Accept")) {
			_ = json.NewEncoder(&body).Encode(result) // strings, times and numbers
			write(w, r, status, "application/json", body.Bytes())
			return
		}
		for _, reason := range result.Reasons {
			fmt.Fprintln(&body, reason.line(now))
		}
		write(w, r, status, "text/plain; charset=utf-8", body.Bytes())
	})
}

// acceptsJSON reports whether JSON is named; what it is preferred to is not looked at.
func acceptsJSON(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "application/json") {
			return true
		}
	}
	return false
}

// line tells all of a reason in one line.
func (r *Reason) line(now time.Time) string {
	b := []byte(r.Verdict)
	sep := " "
	add := func(format string, args ...any) {
		b = fmt.Appendf(append(b, sep...), format, args...)
	}
	if r.Scope != "" {
		add("%s", ident.OneLine(r.Scope, maxText))
	}
	sep = ": "
	if r.State != "" {
		add("%s", r.State)
		sep = ", "
	}
	if !r.ExpiresOn.IsZero() {
		verb := "ends"
		if r.ExpiresOn.Before(now) {
			verb = "ended"
		}
		add("%s %s (%s)", verb, relative(r.ExpiresOn, now), r.ExpiresOn.UTC().Format(time.RFC3339))
	}
	if r.Failures > 0 {
		add("%d failed in a row, next try %s", r.Failures, nextTry(r.NextTry, now))
	}
	if r.Text != "" {
		if r.State != "" {
			sep = "; "
		}
		add("%s", r.Text)
	}
	if r.Remedy != "" {
		sep = ". "
		add("%s", r.Remedy)
	}
	return string(b)
}

// reading lets the methods through that only read.
func reading(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}

// write answers with what holds for this moment only.
func write(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // to a client that may have gone
	}
}
