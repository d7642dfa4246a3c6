// SPDX-License-Identifier: MIT

package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/apponly/apponly"
)

// A state is one configuration in effect. It never changes: a call takes the one of
// the moment and goes by it to its end.
type state struct {
	cfg     *Config
	clients map[string]*apponly.Client // by the names of apps
	header  *headerFile                // nil: none
	log     *slog.Logger
	served  slog.Level // of the log of calls that were served
	proxies map[string]*proxy
}

// newState puts together what a configuration and its clients come to. old is the one
// that it replaces, nil at the start.
func newState(cfg *Config, clients map[string]*apponly.Client, old *state) (*state, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &state{cfg: cfg, clients: clients, log: cfg.logger(), served: slog.LevelInfo, proxies: map[string]*proxy{}}
	if cfg.AccessLog != nil && !*cfg.AccessLog {
		s.served = slog.LevelDebug
	}
	for name := range cfg.apps() {
		if clients[name] == nil {
			return nil, fmt.Errorf("agent: there is no client for the app %q", name)
		}
	}
	onSocket := slices.ContainsFunc(cfg.Proxies, func(p Proxy) bool { return p.Socket != "" })
	if (cfg.Listen.Socket != "" || onSocket) && !peerCredentials {
		return nil, errors.New("agent: listen.socket: this system does not tell who is at the other end of a socket; use listen.tcp")
	}
	for _, p := range cfg.Proxies {
		h, err := newProxy(p, clients[appOr(p.App)])
		if err != nil {
			return nil, err
		}
		s.proxies[p.key()] = h
	}
	var err error
	if s.header, err = headerOf(cfg.HeaderFile, old); err != nil {
		return nil, err
	}
	return s, nil
}

// headerOf returns the header secret at path: that of old where it is the same file, since
// that one knows the secrets before.
func headerOf(path string, old *state) (*headerFile, error) {
	switch {
	case path == "":
		return nil, nil
	case old != nil && old.header != nil && old.header.path == path:
		return old.header, nil
	}
	return openHeaderFile(path)
}

// findApp returns the name of the app that a caller means: by its name, or by its
// client ID as SDKs do. Of several with one client ID, in different tenants, it is the
// first by name that the caller may use.
func (s *state) findApp(who identity, name string) (string, bool) {
	name = appOr(name)
	if s.clients[name] != nil {
		return name, true
	}
	for _, app := range slices.Sorted(maps.Keys(s.clients)) {
		if id := s.clients[app].ClientID(); id != "" && strings.EqualFold(id, name) && mayUse(s.cfg.Callers, who, app) {
			return app, true
		}
	}
	return "", false
}
