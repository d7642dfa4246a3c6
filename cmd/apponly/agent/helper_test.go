// SPDX-License-Identifier: MIT

package agent_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// A world is an Entra, an app of it, and an agent for the app.
type world struct {
	*entratest.Server
	cfg     *agent.Config
	clients map[string]*apponly.Client
	agent   *agent.Agent
	secret  string // of the header
	log     *buffer
}

// newWorld has an agent on TCP and for IMDS whose callers may have the API's tokens,
// and which change may change.
func newWorld(t testing.TB, change ...func(*agent.Config)) *world {
	t.Helper()
	w := &world{Server: entratest.New(t), log: &buffer{}, clients: map[string]*apponly.Client{}}
	w.clients[agent.DefaultApp] = w.client(t)
	w.cfg = &agent.Config{
		Listen:     agent.Listen{TCP: "127.0.0.1:0", IMDS: "localhost:0"},
		HeaderFile: filepath.Join(t.TempDir(), "identity-header"),
		Callers: []agent.Caller{
			{Header: agent.DefaultHeader, Scopes: []string{w.API().Scope()}},
			{IMDS: true, Scopes: []string{w.API().Scope()}},
		},
		Logger: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(w.cfg)
	}
	var err error
	if w.agent, err = agent.New(w.cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if w.cfg.HeaderFile != "" {
		w.secret = readSecret(t, w.cfg.HeaderFile)
	}
	return w
}

// client returns one of the emulator's app, with a cache of its own.
func (w *world) client(t testing.TB) *apponly.Client {
	t.Helper()
	c, err := apponly.New(w.Tenant().ID(), w.App().ClientID(), apponly.Secret(w.Server.Secret()), &apponly.Options{
		Cloud: w.Cloud(), HTTPClient: w.HTTPClient(), Cache: apponly.NewCache(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// resource is the API's, as managed identities name it.
func (w *world) resource() string { return strings.TrimSuffix(w.API().Scope(), "/.default") }

func readSecret(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// A change changes a request.
type change func(*http.Request)

func set(name, value string) change {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// request is a good one of the App Service protocol, but for the changes.
func (w *world) request(changes ...change) *http.Request {
	return w.to("GET", "/msi/token?api-version=2019-08-01&resource="+w.resource(), "", changes...)
}

// to is a request with the header secret.
func (w *world) to(method, target, body string, changes ...change) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8181"
	r.Header.Set("X-IDENTITY-HEADER", w.secret)
	for _, c := range changes {
		c(r)
	}
	return r
}

// An answer is what the agent says.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func ask(h http.Handler, r *http.Request) answer {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.json) // not all of them are
	return a
}

func (w *world) ask(r *http.Request) answer { return ask(w.agent.Handler(), r) }

// text is a member of the answer.
func (a answer) text(name string) string {
	s, _ := a.json[name].(string)
	return s
}

// isToken reports whether there is something like a token in a text.
func isToken(s string) bool { return strings.Contains(s, "eyJ") }

// A buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func contains(s, part string) bool { return strings.Contains(s, part) }
func upper(s string) string        { return strings.ToUpper(s) }
