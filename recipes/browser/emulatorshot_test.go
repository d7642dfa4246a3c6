// SPDX-License-Identifier: MIT

package browser_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/chromedp/chromedp"
)

// TestEmulatorScreenshot takes the picture of the documentation.
func TestEmulatorScreenshot(t *testing.T) {
	e := newEmulated(t)
	if *screenshots == "" {
		t.Skip("-screenshots is not set")
	}
	s := e.entra
	tenant := s.AddTenantID("0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9", "contoso.example")
	app := tenant.NewAppID("1b2c3d4e-5f60-4172-8394-a5b6c7d8e9f0")
	api := tenant.NewResourceID("2c3d4e5f-6071-4283-94a5-b6c7d8e9f0a1", "https://orders.contoso.example", "Orders.Read.All", "Orders.Write.All")
	api.Grant(tenant, app, "Orders.Read.All")
	secret := app.NewSecret(time.Now().AddDate(0, 6, 0))
	issuer := s.NewIssuer("https://oidc.prod.contoso.example/")
	app.AddFederatedCredential(entratest.FederatedCredential{Issuer: issuer.URL(), Subject: "system:serviceaccount:shop:orders", Audience: s.Cloud().ExchangeAudience()})
	ask := func(scope, name, value string) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ClientID()}, "scope": {scope}, name: {value}}
		if name == "client_assertion" {
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		}
		resp, err := s.HTTPClient().PostForm(s.Cloud().TokenEndpoint(tenant.ID()), form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	ask("https://orders.contoso.example/v1/.default", "client_secret", secret)
	ask(api.Scope(), "client_secret", strings.ReplaceAll(secret, "~", "%7E"))
	ask(api.Scope(), "client_secret", secret)
	ask(api.Scope(), "client_assertion", issuer.Token(entratest.Claims{Subject: "system:serviceaccount:default:orders", Audience: s.Cloud().ExchangeAudience()}))
	if _, err := s.AddFault(entratest.Fault{Endpoint: "keys", Status: 503}); err != nil {
		t.Fatal(err)
	}
	b := newTab(t)
	do(b, prefer("light"))
	do(b, chromedp.EmulateViewport(1080, 790))
	b.open(e.address + "?tenant=contoso.example")
	b.until("the stream", `document.getElementById("live").textContent === "Live"`)
	b.picture("emulator-page.png")
}
