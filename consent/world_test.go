// SPDX-License-Identifier: MIT

package consent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/verify"
)

// A world has an Entra, a vendor's app with its API and its web pages, and a customer's
// tenant in which the API is known and the app is not.
type world struct {
	t        testing.TB
	entra    *entratest.Server
	customer *entratest.Tenant
	client   *apponly.Client
	flow     *consent.Flow
	web, api http.Handler

	mu        sync.Mutex // guards the following
	results   []consent.Result
	customers map[string]bool // tenants that the API lets in
}

func newWorld(t testing.TB, change func(*consent.Config)) *world {
	t.Helper()
	w := &world{t: t, entra: entratest.New(t), customers: map[string]bool{}}
	w.customer = w.entra.AddTenant("customer.example")
	w.customer.Provide(w.entra.API())
	w.entra.App().AddRedirectURI(redirect)

	var err error
	w.client, err = apponly.New(w.entra.Tenant().ID(), w.entra.App().ClientID(), apponly.Secret(w.entra.Secret()), &apponly.Options{
		Cloud: w.entra.Cloud(), HTTPClient: w.entra.HTTPClient(), AllowedTenants: []string{"*"}, Cache: apponly.NewCache(nil),
	})
	w.must(err)
	v, err := verify.New(w.entra.API().AppID(), []verify.Rule{{TenantFunc: w.isCustomer, Roles: []string{"Data.Read.All"}}}, &verify.Options{
		Cloud: w.entra.Cloud(), HTTPClient: w.entra.HTTPClient(),
	})
	w.must(err)
	w.api = v.Middleware(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) }))

	cfg := consent.Config{
		Cloud: w.entra.Cloud(), ClientID: w.entra.App().ClientID(), RedirectURL: redirect, Scope: w.entra.API().Scope(), Keys: [][]byte{bytes.Repeat([]byte{7}, 32)},
	}
	if change != nil {
		change(&cfg)
	}
	w.flow, err = consent.New(cfg)
	w.must(err)
	mux := http.NewServeMux()
	mux.Handle("/start", w.flow.Start(w.customer.ID()))
	mux.Handle("/start/any", w.flow.Start("organizations"))
	mux.Handle("/consent/callback", w.flow.Callback(func(rw http.ResponseWriter, _ *http.Request, res consent.Result) {
		w.mu.Lock()
		w.results = append(w.results, res)
		w.mu.Unlock()
		_, _ = io.WriteString(rw, "told")
	}))
	w.web = mux
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

// told returns what the app was told last, and how often it was told.
func (w *world) told() (res consent.Result, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if times = len(w.results); times > 0 {
		res = w.results[times-1]
	}
	return res, times
}

// token asks for one in a tenant, past what the client remembers.
func (w *world) token(tenant string) (apponly.Token, error) {
	w.t.Helper()
	view, err := w.client.Tenant(tenant)
	w.must(err)
	return view.TokenFor(w.t.Context(), apponly.TokenRequest{Scope: w.entra.API().Scope(), Force: true})
}

// firstToken is token again and again, for at most two minutes: the directory takes its
// time.
func (w *world) firstToken(tenant string) (apponly.Token, error) {
	w.t.Helper()
	start := time.Now()
	for {
		token, err := w.token(tenant)
		if err == nil || time.Since(start) > 2*time.Minute {
			return token, err
		}
		time.Sleep(10 * time.Second)
	}
}

// call calls the API, and returns the status.
func (w *world) call(token apponly.Token) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "https://api.example/", nil)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+token.Value())
	resp, err := (&http.Client{Transport: memhttp.New(w.api)}).Do(req)
	w.must(err)
	resp.Body.Close()
	return resp.StatusCode
}

// A browser opens pages of the world.
type browser struct {
	*world
	http *http.Client
}

func (w *world) browser() *browser { return &browser{w, newBrowser(w.entra, w.web)} }

func (b *browser) do(req *http.Request) *shown {
	b.t.Helper()
	page, err := show(b.http, req.WithContext(b.t.Context()))
	b.must(err)
	return page
}

func (b *browser) open(address string) *shown {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	b.must(err)
	return b.do(req)
}

func (b *browser) decide(on *shown, decision, tenant string) *shown {
	b.t.Helper()
	req, err := on.answer(decision, tenant)
	b.must(err)
	return b.do(req)
}

// wantStale expects the page that says that this answer counts for nothing.
func (w *world) wantStale(name string, on *shown, toldBefore int) {
	w.t.Helper()
	if _, times := w.told(); times != toldBefore || on.status != http.StatusBadRequest || on.address.Host != appHost {
		w.t.Errorf("%s: at %s, status %d, told %d times, want %d", name, on.address.Host, on.status, times, toldBefore)
	}
}

// wantErr expects the app to have been told of an error of a kind.
func (w *world) wantErr(name string, kind consent.Kind, code int) {
	w.t.Helper()
	if res, times := w.told(); times != 1 || res.Granted || !errors.Is(res.Err, kind) || res.Err.Code != code {
		w.t.Errorf("%s: told %d times, %+v, %v", name, times, res, res.Err)
	}
}
