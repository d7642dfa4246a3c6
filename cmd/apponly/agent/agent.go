// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly"
)

// An Agent hands out tokens as its [Config] says. It is safe for concurrent use.
type Agent struct {
	state   atomic.Pointer[state]
	mu      sync.Mutex // guards changes of state, and running
	running *running   // nil: Run is not
}

// New returns an agent for a configuration and the clients of its apps, by their
// names. It reads [Config.HeaderFile], which it makes if it is not there; it does no
// other I/O. What is wrong with the configuration is a [*ConfigError].
func New(cfg *Config, clients map[string]*apponly.Client) (*Agent, error) {
	s, err := newState(cfg, clients, nil)
	if err != nil {
		return nil, err
	}
	a := &Agent{}
	a.state.Store(s)
	return a, nil
}

// Handler returns what [Config.Listen] serves over TCP: /msi/token, /v1/token and
// /v1/authorization-header. Callers are known by the header secret alone. Behind
// anything but a server on loopback it is of no use: it wants the address of the agent
// as Host.
func (a *Agent) Handler() http.Handler { return a.routes(tokenRoutes) }

func (a *Agent) routes(routes map[string]route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(routes, w, r) })
}

// Reload puts another configuration into effect, and takes what it says up to that
// moment: calls that are under way end by the old one. Listeners that both have stay
// open. If it fails, the old configuration stays.
func (a *Agent) Reload(cfg *Config, clients map[string]*apponly.Client) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := newState(cfg, clients, a.state.Load())
	if err != nil {
		return err
	}
	if a.running == nil {
		a.state.Store(s)
		return nil
	}
	return a.running.change(s)
}

// RotateHeader takes another header secret: the one that is in [Config.HeaderFile], if
// it was changed, else a new one, which is written there. The old one is good for ten
// minutes more.
func (a *Agent) RotateHeader() error {
	h := a.state.Load().header
	if h == nil {
		return nil
	}
	return h.rotate()
}

// Addresses say where an agent is. What it does not have is "".
type Addresses struct {
	// Endpoint is what belongs into IDENTITY_ENDPOINT.
	Endpoint   string `json:"endpoint"`
	HeaderFile string `json:"identity_header_file"`
	Socket     string `json:"socket"`
	// Health is the URL of the listener for probes.
	Health string `json:"health"`
	// IMDS is what belongs into AZURE_POD_IDENTITY_AUTHORITY_HOST.
	IMDS string `json:"imds,omitempty"`
}

// Run listens and keeps tokens and files fresh until ctx ends. Then it lets the calls
// under way end, for 15 seconds at most, and returns nil. ready, if it is not nil, is
// told where the agent is once it listens. Run may be called once at a time.
func (a *Agent) Run(ctx context.Context, ready func(Addresses)) error {
	r, err := a.start(ctx)
	if err != nil {
		return err
	}
	if ready != nil {
		a.mu.Lock() // a reload may change the doors by now
		at := r.addresses()
		a.mu.Unlock()
		ready(at)
	}
	select {
	case <-ctx.Done():
	case err = <-r.failed:
	}
	a.mu.Lock()
	a.running = nil
	a.mu.Unlock()
	r.stop()
	return err
}

func (a *Agent) start(ctx context.Context) (*running, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running != nil {
		return nil, errors.New("agent: it runs already")
	}
	r := &running{agent: a, ctx: ctx, doors: map[string]*door{}, failed: make(chan error, 1)}
	if err := r.change(a.state.Load()); err != nil {
		return nil, err
	}
	a.running = r
	return r, nil
}
