// SPDX-License-Identifier: MIT

package consent_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/consent"
	"github.com/apponly/apponly/entratest"
)

// forms are the ways of asking.
var forms = map[string]func(*consent.Config){
	"v1":   func(c *consent.Config) { c.Scope = "" },
	"v2":   func(*consent.Config) {},
	"link": func(c *consent.Config) { c.Link = true },
}

// inWorlds runs a journey once for each way of asking that it is for, by virtual time.
func inWorlds(t *testing.T, run func(w *world), ways ...string) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(newWorld(t, forms[way])) })
		})
	}
}

// From a tenant that does not know the app to the API's first answer.
func TestOnboarding(t *testing.T) {
	inWorlds(t, func(w *world) {
		id := w.customer.ID()
		if _, err := w.token(id); !errors.Is(err, apponly.ErrAppNotFound) {
			w.t.Fatalf("before the consent: %v", err)
		}
		w.entra.SetPropagation(45 * time.Second)
		b := w.browser()
		on := b.decide(b.open("https://app.example/start"), "approve", "")
		res, times := w.told()
		if times != 1 || !res.Granted || res.Err != nil || res.RequestedTenant != id || res.UnverifiedTenant != id || on.text != "told" {
			w.t.Fatalf("told %d times, %+v, at %s", times, res, on.address)
		}

		approved := time.Now()
		token, err := w.firstToken(res.UnverifiedTenant)
		if took := time.Since(approved); err != nil || took < 45*time.Second || took > 2*time.Minute {
			w.t.Fatalf("first token after %v: %v", took, err)
		}
		if status := w.call(token); status != http.StatusForbidden {
			w.t.Errorf("not a customer yet: %d", status)
		}
		w.addCustomer(id)
		if status := w.call(token); status != http.StatusOK {
			w.t.Errorf("a customer: %d", status)
		}
	}, "v1", "v2")
}

// Two consents in one browser do not get in each other's way.
func TestTwoTabs(t *testing.T) {
	inWorlds(t, func(w *world) {
		b := w.browser()
		first, second := b.open("https://app.example/start"), b.open("https://app.example/start")
		b.decide(first, "cancel", "")
		b.decide(second, "approve", "")
		if res, times := w.told(); times != 2 || !res.Granted {
			w.t.Errorf("told %d times, %+v", times, res)
		}
	}, "v1", "v2")
}

// Without a token there is no customer, whatever the browser says.
func TestTokenNeverComes(t *testing.T) {
	inWorlds(t, func(w *world) {
		b := w.browser()
		state := b.open("https://app.example/start").address.Query().Get("state")
		b.open("https://app.example/consent/callback?admin_consent=True&state=" + state + "&tenant=" + w.customer.ID())
		res, times := w.told()
		if times != 1 || !res.Granted {
			w.t.Fatalf("told %d times, %+v", times, res)
		}
		if _, err := w.firstToken(res.UnverifiedTenant); !errors.Is(err, apponly.ErrAppNotFound) {
			w.t.Errorf("a token without consent: %v", err)
		}
	}, "v1", "v2")
}

func TestCancel(t *testing.T) {
	inWorlds(t, func(w *world) {
		b := w.browser()
		on := b.decide(b.open("https://app.example/start"), "cancel", "")
		w.wantErr("cancel", consent.ErrCancelled, 65004)
		if q := on.address.Query(); q.Get("admin_consent") != "True" || q.Has("tenant") {
			w.t.Errorf("answered %v", q)
		}
		if _, err := w.token(w.customer.ID()); !errors.Is(err, apponly.ErrAppNotFound) {
			w.t.Errorf("after a cancel: %v", err)
		}
	}, "v1", "v2")
}

// The administrator signs in with an account of another tenant.
func TestWrongAccount(t *testing.T) {
	inWorlds(t, func(w *world) {
		_, err := w.entra.AddFault(entratest.Fault{Endpoint: "consent", Code: 50020})
		w.must(err)
		w.browser().open("https://app.example/start")
		w.wantErr("wrong account", consent.ErrWrongAccount, 50020)
	}, "v1", "v2")
}

// Entra tells the administrator, and not the app, that an API is not in the tenant.
func TestAPINotSubscribed(t *testing.T) {
	inWorlds(t, func(w *world) {
		w.customer.Withdraw(w.entra.API())
		on := w.browser().open("https://app.example/start")
		if _, times := w.told(); times != 0 || !strings.Contains(on.text, "AADSTS650052") || on.address.Host == appHost {
			w.t.Errorf("told %d times, at %s", times, on.address)
		}
	}, "v1", "v2")
}

// Whoever is of no tenant in particular chooses one, and the app is told which.
func TestOrganizations(t *testing.T) {
	inWorlds(t, func(w *world) {
		b := w.browser()
		b.decide(b.open("https://app.example/start/any"), "approve", w.customer.ID())
		if res, times := w.told(); times != 1 || !res.Granted || res.RequestedTenant != "organizations" || res.UnverifiedTenant != w.customer.ID() {
			w.t.Errorf("told %d times, %+v", times, res)
		}
		if _, err := w.firstToken(w.customer.ID()); err != nil {
			w.t.Error(err)
		}
	}, "v1", "v2")
}

// Consent to another tenant than the one that was asked for is none.
func TestOtherTenant(t *testing.T) {
	inWorlds(t, func(w *world) {
		other := w.entra.AddTenant("other.example")
		other.Provide(w.entra.API())
		b := w.browser()
		on := b.open("https://app.example/start")
		b.decide(b.open(strings.Replace(on.address.String(), w.customer.ID(), other.ID(), 1)), "approve", "")
		w.wantErr("another tenant", consent.ErrTenantMismatch, 0)
	}, "v1", "v2")
}

// Who signs up cannot pass for a customer of long ago, whose tenant the app has tokens
// for.
func TestTenantOfSomebodyElse(t *testing.T) {
	inWorlds(t, func(w *world) {
		old := w.entra.AddTenant("old.example")
		old.Provide(w.entra.API())
		old.Install(w.entra.App())
		b := w.browser()
		state := b.open("https://app.example/start").address.Query().Get("state")
		b.open("https://app.example/consent/callback?admin_consent=True&state=" + state + "&tenant=" + old.ID())
		w.wantErr("the tenant of an old customer", consent.ErrTenantMismatch, 0)
		if res, _ := w.told(); res.RequestedTenant != w.customer.ID() {
			w.t.Errorf("requested %s", res.RequestedTenant)
		}
	}, "v1", "v2")
}

// What is answered once, late, by another browser or with another state counts for
// nothing.
func TestReplayAndForgery(t *testing.T) {
	inWorlds(t, func(w *world) {
		b := w.browser()
		on := b.decide(b.open("https://app.example/start"), "approve", "")
		w.wantStale("the callback again", b.open(on.address.String()), 1)

		first, second := b.open("https://app.example/start"), b.open("https://app.example/start")
		if first.address.Query().Get("state") == second.address.Query().Get("state") {
			w.t.Error("two consents have the same state")
		}
		callback := func(state string) string {
			return "https://app.example/consent/callback?admin_consent=True&tenant=" + w.customer.ID() + "&state=" + state
		}
		state := second.address.Query().Get("state")
		w.wantStale("another browser", w.browser().open(callback(state)), 1)
		forged := "A" + state[1:]
		if forged == state {
			forged = "B" + state[1:]
		}
		w.wantStale("a forged state", b.open(callback(forged)), 1)
		w.wantStale("no state", b.open(callback("")), 1)
		w.wantStale("an error without a state", b.open("https://app.example/consent/callback?error=access_denied"), 1)

		time.Sleep(time.Hour)
		w.wantStale("an hour later", b.decide(b.open(second.address.String()), "approve", ""), 1)
	}, "v1", "v2")
}

// A link is finished by somebody else, in another browser, and as often as they like.
func TestMailedLink(t *testing.T) {
	inWorlds(t, func(w *world) {
		address, setCookie, err := w.flow.URL(w.customer.ID(), "order 7")
		if err != nil || setCookie != "" {
			w.t.Fatal(setCookie, err)
		}
		for i := range 2 {
			b := w.browser()
			b.decide(b.open(address), "approve", "")
			if res, times := w.told(); times != i+1 || !res.Granted || res.Data != "order 7" || res.RequestedTenant != w.customer.ID() {
				w.t.Errorf("told %d times, %+v", times, res)
			}
		}
		time.Sleep(time.Hour)
		b := w.browser()
		w.wantStale("an hour later", b.decide(b.open(address), "approve", ""), 2)
	}, "link")
}
