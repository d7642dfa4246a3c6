// SPDX-License-Identifier: MIT

package agent

import (
	"net/http"

	"github.com/apponly/apponly"
)

// An Identity is who calls, for the table over the list of callers.
type Identity = identity

func UID(uid uint32) Identity                      { return identity{uid: uid, hasUID: true} }
func WithHeader(who Identity) Identity             { who.header = true; return who }
func FromIMDS(who Identity) Identity               { who.imds = true; return who }
func MayUse(l []Caller, i Identity, a string) bool { return mayUse(l, i, a) }
func Allowed(l []Caller, i Identity, app, scope string) bool {
	return allowed(l, i, app, scope)
}

func Parse(data string) (*Config, error) { return parse("agent.yaml", []byte(data)) }

func (c *Config) Check() error { return c.check() }

var RefusalOf, ScopeOf = refusalOf, scopeOf

// IMDS is the handler of the listener for IMDS.
func (a *Agent) IMDS() http.Handler { return a.routes(imdsRoutes) }

// Health is the handler of the listener for probes.
func (a *Agent) Health() http.Handler { return a.health() }

// Proxy is the handler of the proxy that listens at a place.
func (a *Agent) Proxy(listen string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serveProxy(listen, w, r) })
}

// A Sink keeps a file filled.
type Sink = sink

var NewSink = newSink

func (s *sink) Replace(t apponly.Token) error { return s.replace(content(s.Format, t)) }

const MaxConnections = maxConnections
