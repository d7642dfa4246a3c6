// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestOneURIEverywhere finds what the same URI means in a tenant that has an API
// of its own with it, one that is provided, and none.
func TestOneURIEverywhere(t *testing.T) {
	const uri = "https://api.contoso.example"
	s := entratest.New(t)
	ask := func(tenant *entratest.Tenant) any {
		t.Helper()
		form := secretForm(s)
		form.Set("scope", uri+"/.default")
		got := postForm(t, s, tenant.ID(), form)
		if got.Status != http.StatusOK {
			return got.Codes[0]
		}
		return claimsOf(t, got.AccessToken)["aud"]
	}
	add := func() *entratest.Tenant {
		tenant := s.AddTenant()
		tenant.Install(s.App())
		return tenant
	}
	var own []*entratest.Resource
	var homes []*entratest.Tenant
	for range 5 {
		tenant := add()
		own, homes = append(own, tenant.NewResource(uri)), append(homes, tenant)
	}
	for i, tenant := range homes {
		tenant.Provide(own[(i+1)%5]) // its own comes first
		if got := ask(tenant); got != own[i].AppID() {
			t.Errorf("tenant %d: %v, want its own %s", i, got, own[i].AppID())
		}
	}
	for _, principals := range []int{2, 30} { // fewer and more than tenants with the URI
		customer, stranger := add(), add()
		for range principals - 2 {
			customer.Install(s.Tenant().NewApp())
		}
		customer.Provide(own[3])
		if got := ask(customer); got != own[3].AppID() {
			t.Errorf("customer with %d principals: %v, want %s", principals, got, own[3].AppID())
		}
		if got := ask(stranger); got != 500011 {
			t.Errorf("stranger: %v, want 500011", got)
		}
	}
	for i, r := range own {
		r.RemoveURI(uri + "/")
		var want any = 500011
		if i < 4 {
			want = own[i+1].AppID() // which is provided there and has it still
		}
		if got := ask(homes[i]); got != want {
			t.Errorf("tenant %d without the URI: %v, want %v", i, got, want)
		}
	}
	if got := ask(homes[0]); got != 500011 {
		t.Errorf("nobody has the URI: %v, want 500011", got)
	}
	again := homes[0].NewResource(uri)
	if got := ask(homes[0]); got != again.AppID() {
		t.Errorf("the URI's next API: %v, want %s", got, again.AppID())
	}
}

// TestOneURIInManyTenants keeps the cost of an API from growing with how many
// tenants have one like it, as after a template that everybody deploys.
func TestOneURIInManyTenants(t *testing.T) {
	fill := func(n int) time.Duration {
		s := entratest.New(t)
		begin := time.Now()
		for range n {
			s.AddTenant().NewResource("https://api.contoso.example")
		}
		return time.Since(begin)
	}
	fill(1000)
	// Sixty-four times the time if it were quadratic, eight if it is not.
	if few, many := fill(2_000), fill(16_000); many > 32*few {
		t.Errorf("2,000 in %v, 16,000 in %v", few, many)
	}
}
