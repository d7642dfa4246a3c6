// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
)

const someDomain = "contoso.example"

// byDomain returns a client of the demo app whose tenant is a domain name, and the
// options that it was made with.
func byDomain(t *testing.T, s *sts, allowed ...string) *apponly.Client {
	t.Helper()
	o := s.options()
	o.AllowedTenants = allowed
	c, err := apponly.New(someDomain, s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tokenOf(t *testing.T, s *sts, cred azcore.TokenCredential, tenant string) string {
	t.Helper()
	tok, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, TenantID: tenant, EnableCAE: true})
	if err != nil {
		t.Errorf("tenant %s: %+v", tenant, err)
	}
	return tok.Token
}

// A tenant that is configured by domain name and named by its ID is one tenant.
func TestTenantByDomainAndID(t *testing.T) {
	s := newSTS(t)
	s.Tenant().AddDomain(someDomain)
	id := s.Tenant().ID()
	c := byDomain(t, s)
	own := mustToken(t, c, s.API().Scope()).Value()
	if n := s.Counters().Endpoints["configuration"]; n != 0 {
		t.Errorf("a plain Token call looked up: %d requests", n)
	}
	_, err := c.Tenant(id)
	wantKind(t, err, apponly.ErrTenantNotAllowed) // which performs no I/O
	for range 3 {
		for _, name := range []string{id, strings.ToUpper(id), someDomain, "CONTOSO.example"} {
			if tokenOf(t, s, c.TokenCredential(), name) != own {
				t.Errorf("%s: another token", name)
			}
		}
	}
	if v, err := c.Tenant(id); v != c || err != nil {
		t.Errorf("Tenant, once it is known: %v, %v", v, err)
	}
	if n := s.requests(); n != 2 || s.TokenRequests() != 1 {
		t.Errorf("%d requests, %d for tokens; want 2 and 1", n, s.TokenRequests())
	}
	_, err = c.TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, TenantID: someTenant})
	wantKind(t, err, apponly.ErrTenantNotAllowed, someTenant)
	if n := s.requests(); n != 2 {
		t.Errorf("an unknown tenant: %d requests, want no more", n)
	}
}

// The same with every tenant allowed, with an allowed domain, of a view, and without cp1.
func TestTenantByDomainInAllWays(t *testing.T) {
	for name, cae := range map[string]bool{"cp1": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			s := newSTS(t)
			s.Tenant().AddDomain(someDomain)
			other := s.AddTenant("fabrikam.example")
			other.Install(s.App())
			other.Provide(s.API())
			o := s.options()
			o.CAE = cae
			for _, allowed := range [][]string{{"*"}, {"fabrikam.example"}} {
				o.Cache = apponly.NewCache(nil)
				o.AllowedTenants = allowed
				c, err := apponly.New(someDomain, s.App().ClientID(), apponly.Secret(s.Secret()), o)
				if err != nil {
					t.Fatal(err)
				}
				view, err := c.Tenant("fabrikam.example")
				if err != nil {
					t.Fatal(err)
				}
				before := s.TokenRequests()
				for range 2 {
					if tokenOf(t, s, c.TokenCredential(), someDomain) != tokenOf(t, s, c.TokenCredential(), s.Tenant().ID()) {
						t.Errorf("%s: two tokens of the own tenant", allowed)
					}
					theirs := tokenOf(t, s, view.TokenCredential(), "")
					if tokenOf(t, s, view.TokenCredential(), other.ID()) != theirs {
						t.Errorf("%s: two tokens of the view's tenant", allowed)
					}
					if allowed[0] != "*" && tokenOf(t, s, c.TokenCredential(), other.ID()) != theirs {
						t.Errorf("%s: two tokens of the allowed tenant", allowed)
					}
				}
				if n := s.TokenRequests() - before; n != 2 {
					t.Errorf("%s: %d token requests for two tenants", allowed, n)
				}
			}
		})
	}
}

// One lookup for all who wait and for all clients of a cache, bounded, remembered when
// it fails, and without a lock while it is under way.
func TestTenantLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.Tenant().AddDomain(someDomain)
		id := s.Tenant().ID()
		o := s.options()
		var clients []*apponly.Client
		for range 10 {
			c, err := apponly.New(someDomain, s.App().ClientID(), apponly.Secret(s.Secret()), o)
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		mustToken(t, clients[0], s.API().Scope())
		s.setDelay(time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { tokenOf(t, s, clients[i%10].TokenCredential(), id) })
		}
		synctest.Wait()
		mustToken(t, clients[0], s.API().Scope()) // a hit waits for nothing
		if took := time.Since(start); took != 0 {
			t.Errorf("a hit took %v", took)
		}
		// One who gives up does not end it for the others.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := clients[0].TokenCredential().GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, TenantID: id})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("gave up after %v: %v", time.Since(start), err)
		}
		wg.Wait()
		if n := s.requests(); n != 2 || time.Since(start) != time.Second {
			t.Errorf("%d requests, %v", n, time.Since(start))
		}
	})
}

func TestTenantLookupFails(t *testing.T) {
	for name, test := range map[string]struct {
		fault    func(*http.Request) (*http.Response, error)
		kind     apponly.Kind
		text     string
		requests int // of an hour of calls each second, at most
	}{
		"no such tenant": {nil, apponly.ErrTenantNotFound, "could not be looked up", 40},
		"an outage":      {dialError(errors.New("x")), apponly.ErrUnreachable, "could not be looked up", 5 * 500},
		"busy":           {status(503, ""), apponly.ErrTransient, "could not be looked up", 5 * 500},
		"a redirect":     {status(302, "", "Location", "https://evil.test/"), apponly.ErrTransient, "could not be looked up", 5 * 500},
		"another issuer": {status(200, `{"issuer":"https://sts.test/common/v2.0"}`), apponly.ErrService, "could not be looked up", 500},
		"no JSON":        {status(200, `<html>`), apponly.ErrService, "could not be looked up", 500},
		"too much":       {status(200, strings.Repeat("x", 2<<20)), apponly.ErrService, "(HTTP 200): the tenant's ID could not be looked up", 500},
		"a panic":        {func(*http.Request) (*http.Response, error) { panic("x") }, apponly.ErrUnreachable, "panicked", 500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(test.fault)
				c := byDomain(t, s)
				var err error
				ask := func() {
					_, err = c.TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, TenantID: s.Tenant().ID()})
				}
				ask()
				wantKind(t, err, test.kind, test.text, someDomain)
				for range 3600 {
					ask()
					time.Sleep(time.Second)
				}
				if n := s.requests(); n > test.requests || n < 5 {
					t.Errorf("%d requests in an hour", n)
				}
				s.setFault(nil)
				s.Tenant().AddDomain(someDomain)
				time.Sleep(10 * time.Minute)
				if ask(); err != nil {
					t.Errorf("mended: %v", err)
				}
			})
		})
	}
}

// A server that hangs holds nobody for longer than the lookup may take, and one call.
func TestTenantLookupHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setFault(hang)
		start := time.Now()
		_, err := byDomain(t, s).TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, TenantID: s.Tenant().ID()})
		wantKind(t, err, apponly.ErrUnreachable, someDomain)
		if took := time.Since(start); took > 21*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
