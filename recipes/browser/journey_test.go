// SPDX-License-Identifier: MIT

package browser_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
	"github.com/chromedp/chromedp"
)

// From a tenant that does not know the app to the API's first answer.
func TestApprove(t *testing.T) {
	in(t, settings, func(w *world) {
		b, id := newTab(w.t), w.customer.ID()
		if _, err := w.token(id, false); !errors.Is(err, apponly.ErrAppNotFound) {
			w.t.Fatalf("before the consent: %v", err)
		}
		b.want("Entra's page", b.open(w.app.URL+"/start"), 200, "Approve an app")
		b.want("the app's page", b.press("approve"), 200, "Thank you")
		if res := w.wantTold("approve", 1); !res.Granted || res.RequestedTenant != id || res.UnverifiedTenant != id {
			w.t.Errorf("told %+v, %v", res, res.Err)
		}
		token, err := w.token(id, true)
		w.must(err)
		if status := w.call(token); status != http.StatusForbidden {
			w.t.Errorf("not a customer yet: %d", status)
		}
		w.addCustomer(id)
		if status := w.call(token); status != http.StatusOK {
			w.t.Errorf("a customer: %d", status)
		}
		if got := b.complaints(); len(got) > 0 {
			w.t.Errorf("the browser complains: %q", got)
		}
	})
}

func TestCancel(t *testing.T) {
	in(t, settings, func(w *world) {
		b := newTab(w.t)
		b.open(w.app.URL + "/start")
		got := b.press("cancel")
		b.want("cancel", got, 200, "The app was not approved")
		if res := w.wantTold("cancel", 1); !errors.Is(res.Err, consent.ErrCancelled) || !strings.Contains(got.text, "AADSTS65004") {
			w.t.Errorf("told %+v, shown %s", res, got.text)
		}
		if _, err := w.token(w.customer.ID(), true); !errors.Is(err, apponly.ErrAppNotFound) {
			w.t.Errorf("after a cancel: %v", err)
		}
	})
}

// Whoever is of no tenant in particular has to choose one to approve, and none to cancel.
func TestChoice(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		b.open(w.app.URL + "/start/any")
		if script[bool](b, `document.querySelector("form").checkValidity()`) {
			w.t.Error("the form can be sent without a choice")
		}
		b.want("cancel", b.press("cancel"), 200, "The app was not approved")
		b.open(w.app.URL + "/start/any")
		do(b, chromedp.SetValue(chromedp.CSS("select"), w.customer.ID()))
		b.want("approve", b.press("approve"), 200, "Thank you")
		if res := w.wantTold("a choice", 2); !res.Granted || res.RequestedTenant != "organizations" || res.UnverifiedTenant != w.customer.ID() {
			w.t.Errorf("told %+v", res)
		}
	})
}

func TestReplay(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		b.open(w.app.URL + "/start")
		done := b.press("approve")
		b.want("the callback again", b.open(done.address), 400, stale)
		w.wantTold("a replay", 1)
	})
}

func TestForgedState(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		address := b.open(w.app.URL + "/start").address
		u, err := url.Parse(address)
		w.must(err)
		q := u.Query()
		forged := "A" + q.Get("state")[1:]
		if forged == q.Get("state") {
			forged = "B" + forged[1:]
		}
		q.Set("state", forged)
		u.RawQuery = q.Encode()
		b.want("Entra's page", b.open(u.String()), 200, "Approve an app")
		b.want("a forged state", b.press("approve"), 400, stale)
		b.want("no state", b.open(w.cfg.RedirectURL+"?error=access_denied"), 400, stale)
		w.wantTold("a forged state", 0)
	})
}

// The state of an hour ago: it is made in a bubble, where it is the year 2000. The cookie
// is as good as new.
func TestExpiredState(t *testing.T) {
	in(t, both, func(w *world) {
		var address, setCookie string
		synctest.Test(w.t, func(t *testing.T) {
			var err error
			if address, setCookie, err = w.flow.URL(w.customer.ID(), ""); err != nil {
				t.Fatal(err)
			}
		})
		w.mux.HandleFunc("GET /start/late", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Set-Cookie", setCookie)
			http.Redirect(rw, r, address, http.StatusFound)
		})
		b := newTab(w.t)
		b.want("Entra's page", b.open(w.app.URL+"/start/late"), 200, "Approve an app")
		b.want("a state that has ended", b.press("approve"), 400, stale)
		w.wantTold("a state that has ended", 0)
	})
}

// Somebody is lured into finishing what another has begun.
func TestOtherBrowser(t *testing.T) {
	in(t, both, func(w *world) {
		attacker, victim := newTab(w.t), newTab(w.t)
		address := attacker.open(w.app.URL + "/start").address
		victim.want("Entra's page", victim.open(address), 200, "Approve an app")
		victim.want("another browser", victim.press("approve"), 400, stale)
		w.wantTold("another browser", 0)
	})
}

func TestOtherTenant(t *testing.T) {
	in(t, both, func(w *world) {
		other := w.entra.AddTenant("other.example")
		other.Provide(w.entra.API())
		b := newTab(w.t)
		address := b.open(w.app.URL + "/start").address
		b.want("Entra's page", b.open(strings.Replace(address, w.customer.ID(), other.ID(), 1)), 200, "Approve an app")
		b.want("another tenant", b.press("approve"), 200, "The app was not approved")
		if res := w.wantTold("another tenant", 1); !errors.Is(res.Err, consent.ErrTenantMismatch) {
			w.t.Errorf("told %+v", res)
		}
	})
}

// Two consents in two tabs of one browser.
func TestTwoTabs(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		first := b.open(w.app.URL + "/start").address
		b.open(w.app.URL + "/start")
		b.want("the second", b.press("cancel"), 200, "The app was not approved")
		b.open(first)
		b.want("the first", b.press("approve"), 200, "Thank you")
		w.wantTold("two tabs", 2)
	})
}
