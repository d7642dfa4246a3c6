// SPDX-License-Identifier: MIT

package browser_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// A world has an Entra at localhost and an app at 127.0.0.1, which are two sites to a
// browser, and a customer's tenant in which the app is not yet.
type world struct {
	t        *testing.T
	entra    *entratest.Server
	customer *entratest.Tenant
	app      *httptest.Server
	mux      *http.ServeMux
	cfg      consent.Config
	flow     *consent.Flow
	client   *apponly.Client
	api      http.Handler

	mu        sync.Mutex // guards the following
	results   []consent.Result
	customers map[string]bool
}

// A setting is a way of asking, and where the app is.
type setting struct {
	scheme string
	scope  bool
}

func (s setting) String() string {
	if s.scope {
		return s.scheme + ", v2"
	}
	return s.scheme + ", v1"
}

var (
	settings = []setting{{"https", true}, {"http", false}, {"https", false}, {"http", true}}
	both     = settings[:2] // of everything
)

// in runs a test in each of some settings.
func in(t *testing.T, settings []setting, run func(w *world)) {
	for _, s := range settings {
		t.Run(s.String(), func(t *testing.T) {
			skip(t)
			run(newWorld(t, s, nil))
		})
	}
}

// newWorld returns one whose app tells what became of a consent on the page of done; nil:
// on that of package consent.
func newWorld(t *testing.T, s setting, done func(http.ResponseWriter, *http.Request, consent.Result)) *world {
	t.Helper()
	w := &world{t: t, entra: entratest.New(t), mux: http.NewServeMux(), customers: map[string]bool{}}
	_, err := w.entra.ListenTLS("localhost:0")
	w.must(err)
	w.customer = w.entra.AddTenant("customer.example")
	w.customer.Provide(w.entra.API())

	w.app = httptest.NewUnstartedServer(w.mux)
	w.app.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the browser breaks off
	if s.scheme == "https" {
		w.app.StartTLS()
	} else {
		w.app.Start()
	}
	t.Cleanup(w.app.Close)

	w.cfg = consent.Config{
		Cloud: w.entra.Cloud(), ClientID: w.entra.App().ClientID(), RedirectURL: w.app.URL + "/consent/callback", Keys: [][]byte{bytes.Repeat([]byte{7}, 32)},
	}
	if s.scope {
		w.cfg.Scope = w.entra.API().Scope()
	}
	w.entra.App().AddRedirectURI(w.cfg.RedirectURL)
	w.flow, err = consent.New(w.cfg)
	w.must(err)
	w.mux.Handle("GET /start", w.flow.Start(w.customer.ID()))
	w.mux.Handle("GET /start/any", w.flow.Start("organizations"))
	w.mux.Handle("GET /consent/callback", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// The page of package consent does not tell the program, so it is read twice.
		w.flow.Callback(func(_ http.ResponseWriter, _ *http.Request, res consent.Result) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.results = append(w.results, res)
		}).ServeHTTP(httptest.NewRecorder(), r)
		w.flow.Callback(done).ServeHTTP(rw, r)
	}))

	w.client, err = apponly.New(w.entra.Tenant().ID(), w.entra.App().ClientID(), apponly.Secret(w.entra.Secret()), &apponly.Options{
		Cloud: w.entra.Cloud(), HTTPClient: w.entra.HTTPClient(), AllowedTenants: []string{"*"},
	})
	w.must(err)
	v, err := verify.New(w.entra.API().AppID(), []verify.Rule{{TenantFunc: w.isCustomer, Roles: []string{"Data.Read.All"}}}, &verify.Options{
		Cloud: w.entra.Cloud(), HTTPClient: w.entra.HTTPClient(),
	})
	w.must(err)
	w.api = v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) isCustomer(_ context.Context, tenant string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.customers[tenant], nil
}

func (w *world) addCustomer(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.customers[tenant] = true
}

// wantTold expects the app to have been told so often, and returns what it was told last.
func (w *world) wantTold(name string, times int) (res consent.Result) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.results) != times {
		w.t.Errorf("%s: told %d times, want %d", name, len(w.results), times)
	}
	if len(w.results) > 0 {
		res = w.results[len(w.results)-1]
	}
	return res
}

// token asks for one in a tenant.
func (w *world) token(tenant string, force bool) (apponly.Token, error) {
	w.t.Helper()
	view, err := w.client.Tenant(tenant)
	w.must(err)
	return view.TokenFor(w.t.Context(), apponly.TokenRequest{Scope: w.entra.API().Scope(), Force: force})
}

// call returns the status of the API's answer.
func (w *world) call(token apponly.Token) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token.Value())
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec.Code
}
