// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestManyPrincipals fills a tenant beyond the size at which it gets an index,
// and takes away from both ends.
func TestManyPrincipals(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenant()
	tenant.Provide(s.API())
	var apps []*entratest.App
	for i := range 40 {
		app := s.Tenant().NewApp()
		app.AddSecret("x", time.Now().Add(time.Hour))
		tenant.Install(app)
		if i%2 == 0 {
			s.API().Grant(tenant, app, "Data.Read.All")
		}
		apps = append(apps, app)
	}
	installed := func(i int) bool { return i >= 5 && i != 20 && i < 38 }
	for i, app := range apps {
		if !installed(i) {
			tenant.Uninstall(app)
			tenant.Uninstall(app) // is gone
		}
	}
	for i, app := range apps {
		form := secretForm(s)
		form.Set("client_id", app.ClientID())
		form.Set("client_secret", "x")
		got := postForm(t, s, tenant.ID(), form)
		if (got.Status == http.StatusOK) != installed(i) {
			t.Errorf("app %d: %d %s", i, got.Status, got.Description)
			continue
		}
		if !installed(i) {
			continue
		}
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), tenant.ID(), got.AccessToken)
		if (claims["roles"] != nil) != (i%2 == 0) {
			t.Errorf("app %d: roles %v", i, claims["roles"])
		}
	}
}

// TestInstalledAnew has what is taken away come back without what hung on it.
func TestInstalledAnew(t *testing.T) {
	s := entratest.New(t)
	object := func() any {
		t.Helper()
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), s.Tenant().ID(), tokenOf(s))
		return fmt.Sprint(claims["oid"], claims["roles"])
	}
	before := object()
	s.Tenant().Withdraw(s.API())
	s.Tenant().Provide(s.API())
	if got := object(); got == before || !strings.HasSuffix(fmt.Sprint(got), "<nil>") {
		t.Errorf("the API anew: %v, before %v", got, before)
	}
	s.Tenant().Uninstall(s.App())
	s.Tenant().Install(s.App())
	if got := object(); strings.HasPrefix(fmt.Sprint(before), strings.TrimSuffix(fmt.Sprint(got), "<nil>")) {
		t.Errorf("the app anew has its old object ID: %v, before %v", got, before)
	}
}

func TestDomains(t *testing.T) {
	s := entratest.New(t)
	s.Tenant().AddDomain("Contoso.example")
	s.Tenant().AddDomain("contoso.example") // its own already
	if got := postForm(t, s, "CONTOSO.example", secretForm(s)); got.Status != http.StatusOK {
		t.Errorf("by domain: %d %s", got.Status, got.Description)
	}
	s.Tenant().Remove()
	next := s.AddTenant("contoso.example")
	customer := func() int { return postForm(t, s, "contoso.example", secretForm(s)).Status }
	if got := customer(); got != http.StatusUnauthorized {
		t.Errorf("the domain's next tenant answers %d, want the app not installed", got)
	}
	next.Install(s.App())
	next.Provide(s.API())
	if got := customer(); got != http.StatusOK {
		t.Errorf("the domain's next tenant answers %d", got)
	}
}

func TestSeveralURIs(t *testing.T) {
	s := entratest.New(t)
	s.API().AddURI("https://api.contoso.example/")
	s.API().AddURI("https://api.contoso.example/")
	s.API().SetTokenVersion(1)
	s.API().AddRoles("Jobs.Run", "Data.Read.All")
	s.API().Grant(s.Tenant(), s.App(), "Jobs.Run")
	// The same URI in another tenant is another API.
	s.AddTenant().NewResource("https://api.contoso.example")
	for _, uri := range []string{s.API().URI(), "https://api.contoso.example", "https://api.contoso.example/", "api://" + s.API().AppID()} {
		form := secretForm(s)
		form.Set("scope", uri+"/.default")
		got := postForm(t, s, s.Tenant().ID(), form)
		if got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", uri, got.Status, got.Description)
		}
		claims := claimsOf(t, got.AccessToken)
		if claims["aud"] != uri || fmt.Sprint(claims["roles"]) != "[Data.Read.All Jobs.Run]" {
			t.Errorf("%s: aud %v, roles %v", uri, claims["aud"], claims["roles"])
		}
	}
}

// addTenants makes n tenants that use one app and one API.
func addTenants(s *entratest.Server, n int) (last *entratest.Tenant) {
	for range n {
		last = s.AddTenant()
		last.Install(s.App())
		last.Provide(s.API())
	}
	return last
}

// heap returns how many bytes are in use. It is signed, because there may be less
// in use after something than before it.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyTenants bounds what a tenant costs, so that a million fit in memory.
func TestManyTenants(t *testing.T) {
	s := entratest.New(t)
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	before := heap()
	last := addTenants(s, n)
	perTenant := (heap() - before) / int64(n)
	t.Logf("%d bytes a tenant", perTenant)
	if perTenant > 1024 {
		t.Errorf("%d bytes a tenant, want at most 1024: a million in a gigabyte", perTenant)
	}
	if got := postForm(t, s, last.ID(), secretForm(s)); got.Status != http.StatusOK {
		t.Errorf("a token from the last tenant: %d %s", got.Status, got.Description)
	}
}

// BenchmarkMillionTenants makes a million tenants and tells what one costs.
func BenchmarkMillionTenants(b *testing.B) {
	for b.Loop() {
		s := entratest.New(b)
		before := heap()
		addTenants(s, 1_000_000)
		b.ReportMetric(float64(heap()-before)/1e6, "B/tenant")
		runtime.KeepAlive(s)
	}
}
