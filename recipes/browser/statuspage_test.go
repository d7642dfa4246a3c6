// SPDX-License-Identifier: MIT

package browser_test

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/health"
	"github.com/chromedp/chromedp"
)

// A debugged program has tokens for some scopes in a bubble, whose time is the test's.
type debugged struct {
	t         *testing.T
	entra     *entratest.Server
	tenant    *entratest.Tenant
	resources []*entratest.Resource
	check     *health.Check
}

// statusPage returns the page of health as it is after something has happened in the bubble.
func statusPage(t *testing.T, happen func(p *debugged)) (page *httptest.ResponseRecorder, scopes []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 27, 9, 20, 0, 0, time.UTC)))
		p := &debugged{t: t, entra: entratest.New(t)}
		p.entra.SetTokenLifetime(time.Hour)
		p.tenant = p.entra.AddTenantID("0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9", "contoso.example")
		app := p.tenant.NewAppID("1b2c3d4e-5f60-4172-8394-a5b6c7d8e9f0")
		cert := app.NewCertificate(time.Now().AddDate(0, -9, 0), time.Now().AddDate(0, 3, 0))
		client, err := apponly.New(p.tenant.ID(), app.ClientID(), apponly.Certificate([]*x509.Certificate{cert.Leaf}, cert.Key, nil), &apponly.Options{
			Cloud: p.entra.Cloud(), HTTPClient: p.entra.HTTPClient(), Cache: apponly.NewCache(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		p.check = &health.Check{Client: client}
		for _, uri := range []string{"https://graph.microsoft.com", "https://vault.azure.net", "https://orders.contoso.example"} {
			r := p.tenant.NewResource(uri)
			p.resources = append(p.resources, r)
			p.check.Scopes = append(p.check.Scopes, r.Scope())
		}
		happen(p)
		page, scopes = httptest.NewRecorder(), p.check.Scopes
		health.Page("orders-sync, production", p.check).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/statusz", nil))
		time.Sleep(time.Minute) // what is under way
	})
	return page, scopes
}

func (p *debugged) warm() {
	p.t.Helper()
	if err := p.check.Client.Warm(p.t.Context(), p.check.Scopes...); err != nil {
		p.t.Fatal(err)
	}
}

// refused lets the refresh of the last scope fail a few times.
func (p *debugged) refused() {
	p.warm()
	p.tenant.Withdraw(p.resources[2])
	for range 3 {
		st := p.check.Client.Status() // sorted by scope
		time.Sleep(time.Until(st[1].NextTry))
		p.check.Client.Warm(p.t.Context(), p.check.Scopes[2])
		synctest.Wait()
	}
	p.warm() // the others are due, too
	synctest.Wait()
}

// serve serves a page to a browser, and counts the requests that come.
func serve(t *testing.T, page *httptest.ResponseRecorder) (address string, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		maps.Copy(w.Header(), page.Header())
		w.WriteHeader(page.Code)
		w.Write(page.Body.Bytes())
	}))
	t.Cleanup(s.Close)
	return s.URL + "/statusz", requests
}

// The page says everything in the document alone, on a screen and on a phone, in light and
// dark, and can be read.
func TestStatusPage(t *testing.T) {
	skip(t)
	for name, tc := range map[string]struct {
		happen func(p *debugged)
		title  string
		texts  []string
	}{
		"ready":    {(*debugged).warm, "Ready", []string{"fresh", "3 entries", "3 token requests"}},
		"degraded": {(*debugged).refused, "Degraded", []string{"AADSTS500011", "Troubleshooting", "stale"}},
		"not ready": {func(p *debugged) {
			p.tenant.Withdraw(p.resources[2])
			p.check.Client.Warm(p.t.Context(), p.check.Scopes...)
		}, "Not ready", []string{"2 of 3 scopes have", "missing"}},
		"hostile": {func(p *debugged) {
			p.check.Scopes = []string{"api://<script>alert(1)</script>/.default", "api://" + strings.Repeat("x", 500) + "/.default"}
		}, "Not ready", []string{"not asked for yet"}},
		"misused": {func(p *debugged) { p.check.Scopes = nil }, "Not ready", []string{"Scopes of the Check is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			page, scopes := statusPage(t, tc.happen)
			address, requests := serve(t, page)
			b := newTab(t)
			for _, scheme := range []string{"light", "dark"} {
				do(b, prefer(scheme))
				for _, width := range []int64{390, 700, 1100} {
					do(b, chromedp.EmulateViewport(width, 800))
					before := requests.Load()
					got := b.open(address)
					b.want(scheme, got, 200, tc.title)
					for _, text := range append(tc.texts, scopes...) {
						if !strings.Contains(got.text, text) {
							t.Errorf("%d pixels, %s: %q is missing from %s", width, scheme, text, got.text)
						}
					}
					if n := requests.Load() - before; n != 1 {
						t.Errorf("%d requests", n)
					}
					if n := script[int](b, `performance.getEntriesByType("resource").length`); n != 0 {
						t.Errorf("%d requests beyond the document", n)
					}
					if wide := script[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
						t.Errorf("%d pixels, %s: %d too wide", width, scheme, wide)
					}
					if least := script[float64](b, contrast); least < 4.5 {
						t.Errorf("%d pixels, %s: contrast %.2f", width, scheme, least)
					}
					if !script[bool](b, `document.documentElement.lang === "en" && document.title !== "" && document.querySelectorAll("h1").length === 1 && document.scripts.length === 0`) {
						t.Error("no language, title or heading, or a script")
					}
				}
			}
			if got := b.complaints(); len(got) > 0 {
				t.Errorf("the browser complains: %q", got)
			}
		})
	}
}

// TestStatusScreenshot takes the picture of the documentation.
func TestStatusScreenshot(t *testing.T) {
	skip(t)
	if *screenshots == "" {
		t.Skip("-screenshots is not set")
	}
	page, _ := statusPage(t, (*debugged).refused)
	address, _ := serve(t, page)
	b := newTab(t)
	do(b, prefer("light"))
	do(b, chromedp.EmulateViewport(1100, 705))
	b.want("the page", b.open(address), 200, "Degraded")
	b.picture("status-page.png")
}
