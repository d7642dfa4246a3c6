// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

// A world is what is around the API. All of it is in memory.
type world struct {
	entra *entratest.Server
	api   *entratest.Resource
	wire  http.RoundTripper // to the API
	db    database
	log   record
	out   io.Writer
}

func run(ctx context.Context, stdout io.Writer) error {
	entra := entratest.NewServer()
	defer entra.Close()
	return tour(ctx, stdout, entra)
}

func tour(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	w := &world{entra: entra, out: stdout, api: entra.Tenant().NewResource("api://orders", "Orders.Read", "Orders.Delete")}
	ours, customer, stranger := entra.Tenant(), entra.AddTenant(), entra.AddTenant()
	w.db.customers.Store(customer.ID(), true)
	reports, err := w.daemon(ours)
	if err != nil {
		return err
	}
	a := &api{
		clientID: w.api.AppID(), tenantID: ours.ID(), reports: reports.app.ClientID(),
		isCustomer: w.db.isCustomer, revoked: w.db.revoked, log: w.log.logger(),
	}
	handler, err := a.handler(entra)
	if err != nil {
		return err
	}
	w.wire = memhttp.New(handler)

	for _, step := range []struct {
		what   string
		run    func() (*http.Response, error)
		status int
	}{
		{"A probe at start-up fetches Entra's keys", w.probe(ctx), 200},
		{"An app of ours is on the list", reports.call(ctx, "GET"), 200},
		{"It has no role for this route", reports.call(ctx, "DELETE"), 403},
		{"Another app of ours has the role", w.call(ctx, ours, "Orders.Read"), 200},
		{"A third one has neither, and yet a token: Entra gives it to any app", w.call(ctx, ours), 403},
		{"An app of a customer's has the role", w.call(ctx, customer, "Orders.Read"), 200},
		{"Somebody in a tenant of their own has granted themselves the role", w.call(ctx, stranger, "Orders.Read"), 403},
		{"A token of two hours ago", w.callWithAnOldToken(ctx, ours), 401},
		{"What the first app got so far is revoked; challenged, it gets another token", w.revokeAndCall(ctx, reports), 200},
	} {
		fmt.Fprintf(stdout, "%s:\n", step.what)
		if err := w.show(step.run, step.status); err != nil {
			return fmt.Errorf("%q: %w", step.what, err)
		}
	}
	return nil
}

// show runs a step, and prints what the caller is told and what the API logs.
func (w *world) show(step func() (*http.Response, error), want int) error {
	resp, err := step()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	told := fmt.Sprintf("%s %s", resp.Status, cmp.Or(resp.Header.Get("WWW-Authenticate"), strings.TrimSpace(string(text))))
	fmt.Fprintf(w.out, "  the caller is told: %s\n", strings.TrimSpace(told))
	fmt.Fprintf(w.out, "  the API's log says: %s\n", cmp.Or(w.log.take(), "nothing"))
	if resp.StatusCode != want {
		return fmt.Errorf("the API answered %s, want %d", resp.Status, want)
	}
	return nil
}

// A daemon calls the API. What it runs on is all in the transport of its client.
type daemon struct {
	app    *entratest.App
	client *apponly.Client
	http   *http.Client
}

// daemon registers an app in a tenant, has it granted roles there, and builds a
// daemon of it.
func (w *world) daemon(t *entratest.Tenant, roles ...string) (*daemon, error) {
	app := t.NewApp()
	t.Provide(w.api)
	w.api.Grant(t, app, roles...)
	client, err := apponly.New(t.ID(), app.ClientID(), apponly.Secret(app.NewSecret(time.Now().Add(time.Hour))), &apponly.Options{
		Cloud:      w.entra.Cloud(),
		HTTPClient: w.entra.HTTPClient(),
		CAE:        true, // the transport answers claims challenges
	})
	if err != nil {
		return nil, err
	}
	rt, err := apponly.NewTransport(client, w.api.Scope(), &apponly.TransportOptions{
		Base: w, Hosts: []string{"api.example.com"},
	})
	if err != nil {
		return nil, err
	}
	return &daemon{app, client, &http.Client{Transport: rt, Timeout: 10 * time.Second}}, nil
}

// RoundTrip brings a request to the API.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) { return w.wire.RoundTrip(r) }

func (d *daemon) call(ctx context.Context, method string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, "https://api.example.com/orders", nil)
		if err != nil {
			return nil, err
		}
		return d.http.Do(req)
	}
}

// call is a call of a daemon that is made for it.
func (w *world) call(ctx context.Context, t *entratest.Tenant, roles ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		d, err := w.daemon(t, roles...)
		if err != nil {
			return nil, err
		}
		return d.call(ctx, "GET")()
	}
}

func (w *world) probe(ctx context.Context) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/startupz", nil)
		if err != nil {
			return nil, err
		}
		return w.RoundTrip(req)
	}
}

// callWithAnOldToken calls as a program does that keeps its token too long. A daemon
// with a client of this module does not.
func (w *world) callWithAnOldToken(ctx context.Context, t *entratest.Tenant) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		w.entra.SetClockOffset(-2 * time.Hour)
		defer w.entra.SetClockOffset(0)
		d, err := w.daemon(t, "Orders.Read")
		if err != nil {
			return nil, err
		}
		token, err := d.client.Token(ctx, w.api.Scope())
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/orders", nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token.Value())
		return w.RoundTrip(req)
	}
}

// revokeAndCall revokes at both ends: Entra's next token is then of a later second.
func (w *world) revokeAndCall(ctx context.Context, d *daemon) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		w.db.revoke(d.app.ClientID())
		w.entra.Tenant().RevokeTokens(d.app)
		return d.call(ctx, "GET")()
	}
}

// A database is what the API asks about customers and about apps whose host was
// broken into. Its zero value is empty, and it is safe for concurrent use.
type database struct {
	customers   sync.Map // of tenant IDs
	revocations sync.Map // from client IDs to times
}

func (db *database) isCustomer(_ context.Context, tenantID string) (bool, error) {
	_, ok := db.customers.Load(tenantID)
	return ok, nil
}

// revoke counts all of this second as before: times in tokens are whole seconds.
func (db *database) revoke(clientID string) {
	db.revocations.Store(clientID, time.Now().Truncate(time.Second).Add(time.Second))
}

func (db *database) revoked(_ context.Context, c *verify.Caller) (time.Time, bool) {
	since, ok := db.revocations.Load(c.ClientID)
	if !ok {
		return time.Time{}, false
	}
	return since.(time.Time), true
}

// A record is the API's log. It is safe for concurrent use.
type record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// logger leaves the time out, which tells nothing here.
func (r *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// take returns what was logged since it was called last.
func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.text.Reset()
	return strings.ReplaceAll(strings.TrimSpace(r.text.String()), "\n", "\n                      ")
}
