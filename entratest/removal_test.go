// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// fixedForm asks for a token of an app with the client ID fixedApp and the secret
// "x".
func fixedForm(s *entratest.Server) url.Values {
	form := secretForm(s)
	form.Set("client_id", fixedApp)
	form.Set("client_secret", "x")
	return form
}

// TestRemovedAppLeavesNothing registers an app under the ID of a removed one.
func TestRemovedAppLeavesNothing(t *testing.T) {
	s := entratest.New(t)
	customer := customer(s)
	old := s.Tenant().NewAppID(fixedApp)
	customer.Install(old)
	s.API().Grant(s.Tenant(), old, "Data.Read.All")
	s.API().Grant(customer, old, "Data.Read.All")
	s.Tenant().Block(old, 53003)
	old.Remove()

	next := s.Tenant().NewAppID(fixedApp)
	next.AddSecret("x", time.Now().Add(time.Hour))
	if got := postForm(t, s, customer.ID(), fixedForm(s)); !slices.Equal(got.Codes, []int{7000229}) {
		t.Errorf("the next app in a tenant of the old one: %d %s", got.Status, got.Description)
	}
	s.API().Grant(s.Tenant(), next, "Data.Write.All")
	old.Remove() // again
	s.Tenant().Uninstall(old)
	s.API().Revoke(s.Tenant(), old, "Data.Write.All")
	got := postForm(t, s, s.Tenant().ID(), fixedForm(s))
	if got.Status != http.StatusOK {
		t.Fatalf("the next app: %d %s", got.Status, got.Description)
	}
	if roles := fmt.Sprint(claimsOf(t, got.AccessToken)["roles"]); roles != "[Data.Write.All]" {
		t.Errorf("the next app has roles %s, want its own", roles)
	}
}

// TestRemovedWhileVerified takes an app away while its proof is looked at: it gets
// what it would have got a moment later, not a token without its roles.
func TestRemovedWhileVerified(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *entratest.Server)
		want   int
	}{
		"nothing":            {func(*entratest.Server) {}, 0},
		"app removed":        {func(s *entratest.Server) { s.App().Remove() }, 700016},
		"uninstalled":        {func(s *entratest.Server) { s.Tenant().Uninstall(s.App()) }, 7000229},
		"installed anew":     {func(s *entratest.Server) { s.Tenant().Uninstall(s.App()); s.Tenant().Install(s.App()) }, 7000229},
		"another app, alike": {func(s *entratest.Server) { s.App().Remove(); s.Tenant().NewAppID(s.App().ClientID()) }, 7000229},
	} {
		s := entratest.New(t)
		if got := s.Overtaken(s.Tenant(), s.App().ClientID(), s.API().URI(), func() { tt.change(s) }); got != tt.want {
			t.Errorf("%s: AADSTS%d, want %d", name, got, tt.want)
		}
	}
}

// TestRemovedResourceLeavesNothing registers an API under the ID and the URI of a
// removed one.
func TestRemovedResourceLeavesNothing(t *testing.T) {
	s := entratest.New(t)
	const uri = "https://api.test"
	customer := s.AddTenant()
	customer.Install(s.App())
	old := s.Tenant().NewResourceID(fixedAPI, uri, "Run")
	customer.Provide(old)
	old.Grant(s.Tenant(), s.App(), "Run")
	old.Grant(customer, s.App(), "Run")
	form := secretForm(s)
	form.Set("scope", uri+"/.default")
	token := postForm(t, s, customer.ID(), form).AccessToken
	api := old.Protect(served, "Run")
	if got := callAPI(api, token).StatusCode; got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	old.Remove()
	next := s.Tenant().NewResourceID(fixedAPI, uri, "Run")
	old.Remove()
	s.Tenant().Withdraw(old)
	customer.Provide(next)
	for _, tenant := range []*entratest.Tenant{s.Tenant(), customer} {
		got := postForm(t, s, tenant.ID(), form)
		if got.Status != http.StatusOK || claimsOf(t, got.AccessToken)["roles"] != nil {
			t.Errorf("the next API: %d %s, want a token without roles", got.Status, got.Description)
		}
	}
	if got := callAPI(api, token).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("the handler of a removed API answers %d, want 401", got)
	}
}

func TestRemovedTenantLeavesNothing(t *testing.T) {
	s := entratest.New(t)
	old := s.AddTenantID(fixedTenant, "fixed.example")
	old.Remove()
	fresh := s.AddTenantID(fixedTenant, "fixed.example")
	fresh.Install(s.App())
	fresh.Provide(s.API())
	old.Remove()
	old.RemoveDomain("fixed.example")
	for _, name := range []string{fixedTenant, "fixed.example"} {
		if got := postForm(t, s, name, secretForm(s)); got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.Status, got.Description)
		}
	}
}

// TestRemovedIsLetGo bounds what stays of what was removed.
func TestRemovedIsLetGo(t *testing.T) {
	s := entratest.New(t)
	customer, foreign := customer(s), s.AddTenant().NewResource("")
	const n = 20_000
	count := 0
	for name, cycle := range map[string]func(){
		"app": func() {
			app := s.Tenant().NewApp()
			customer.Install(app)
			s.API().Grant(s.Tenant(), app, "Data.Read.All")
			app.Remove()
		},
		"API": func() {
			api := s.Tenant().NewResource("", "Run")
			customer.Provide(api)
			api.Grant(s.Tenant(), s.App(), "Run")
			api.Remove()
		},
		"tenant": func() {
			tenant := s.AddTenant("passing.example")
			tenant.Install(s.App())
			tenant.Provide(s.API())
			tenant.Remove()
		},
		"identity": func() { s.Tenant().NewManagedIdentity().App().Remove() },
		"tenant that used an app": func() {
			tenant := s.AddTenant()
			tenant.Install(s.App())
			tenant.Uninstall(s.App())
			tenant.Remove()
		},
		"grant": func() {
			s.API().Grant(s.Tenant(), s.App(), "Data.Write.All")
			s.API().Revoke(s.Tenant(), s.App(), "Data.Write.All")
		},
		"URI of two APIs": func() {
			count++
			uri := fmt.Sprintf("https://u%d.test", count)
			s.API().AddURI(uri)
			foreign.AddURI(uri)
			s.API().RemoveURI(uri)
			foreign.RemoveURI(uri)
		},
		"URI": func() {
			s.API().AddURI("https://passing.test")
			s.API().RemoveURI("https://passing.test")
		},
	} {
		before := heap()
		for range n {
			cycle()
		}
		if each := (heap() - before) / n; each > 50 {
			t.Errorf("%d bytes stay of every %s", each, name)
		}
	}
	runtime.KeepAlive(s)
}

// What panics leaves nothing behind.
func TestRemovedTenantTakesNoApp(t *testing.T) {
	s := entratest.New(t)
	gone := s.AddTenant()
	gone.Remove()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a removed tenant takes an app")
			}
		}()
		gone.NewAppID(fixedApp)
	}()
	s.Tenant().NewAppID(fixedApp) // or it is taken
}
