// SPDX-License-Identifier: MIT

package agent

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/apponly/apponly/health"
)

// health serves probes and the status page. It has no tokens to give, and asks for none.
func (a *Agent) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		worst(a.state.Load().checks()).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /statusz", func(w http.ResponseWriter, r *http.Request) {
		health.Page("apponly agent", a.state.Load().checks()...).ServeHTTP(w, r)
	})
	return mux
}

// checks has one for each app with tokens that the agent keeps at hand.
func (s *state) checks() []*health.Check {
	var all []*health.Check
	for _, name := range slices.Sorted(maps.Keys(s.clients)) {
		if scopes := s.cfg.needs(name); len(scopes) > 0 {
			all = append(all, &health.Check{Client: s.clients[name], Scopes: scopes})
		}
	}
	return all
}

// worst answers by the check that finds most. An agent that keeps nothing at hand is
// ready: it answers.
func worst(checks []*health.Check) http.Handler {
	if len(checks) == 0 {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ready\n") })
	}
	severity := []health.Verdict{health.Ready, health.Degraded, health.NotReady}
	found, at := checks[0], -1
	for _, check := range checks {
		if n := slices.Index(severity, check.Now().Verdict); n > at {
			found, at = check, n
		}
	}
	return found.Handler()
}
