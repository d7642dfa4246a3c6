// SPDX-License-Identifier: MIT

package health_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/health"
)

// A world is an app and an Entra that can be made to fail.
type world struct {
	*entratest.Server
	t      testing.TB
	client *apponly.Client
	scope  string
}

// newWorld returns one whose tokens last for an hour.
func newWorld(t testing.TB, opts *apponly.CacheOptions) *world {
	t.Helper()
	w := &world{Server: entratest.New(t), t: t}
	w.SetTokenLifetime(time.Hour)
	w.scope = w.API().Scope()
	w.client = w.with(apponly.Secret(w.Secret()), opts)
	return w
}

func (w *world) with(cred apponly.Credential, opts *apponly.CacheOptions) *apponly.Client {
	w.t.Helper()
	c, err := apponly.New(w.Tenant().ID(), w.App().ClientID(), cred, &apponly.Options{
		Cloud: w.Cloud(), HTTPClient: w.HTTPClient(), Cache: apponly.NewCache(opts), AllowedTenants: []string{"*"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// fail lets Entra answer every token request with 503 from now on.
func (w *world) fail() {
	w.t.Helper()
	if _, err := w.AddFault(entratest.Fault{Endpoint: "token", Status: http.StatusServiceUnavailable}); err != nil {
		w.t.Fatal(err)
	}
}

// token asks for a token of the scope, and returns what came of it.
func (w *world) token() (apponly.Token, error) { return w.client.Token(w.t.Context(), w.scope) }

func (w *world) mustToken() apponly.Token {
	w.t.Helper()
	tok, err := w.token()
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

func (w *world) check() *health.Check {
	return &health.Check{Client: w.client, Scopes: []string{w.scope}}
}

// get returns the answer of h.
func get(h http.Handler, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}
