// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
)

func TestHTTPClient(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	h, err := s.client(t).HTTPClient(s.API().Scope(), &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		resp, err := h.Get("https://api.test/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := base.sent[1].Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer ey") || s.requests() != 1 {
		t.Errorf("%d token requests, or no token", s.requests())
	}
	h, err = s.client(t).HTTPClient("no scope", nil)
	wantKind(t, err, apponly.ErrScopeInvalid)
	if h != nil {
		t.Error("a client beside an error")
	}
}

// What is nil says so.
func TestNilArguments(t *testing.T) {
	s := newSTS(t)
	good := s.client(t)
	scope := s.API().Scope()
	var nilCtx context.Context
	ctx := t.Context()
	calls := map[string]func(c *apponly.Client) error{
		"Token": func(c *apponly.Client) error { _, err := c.Token(ctx, scope); return err },
		"TokenFor": func(c *apponly.Client) error {
			_, err := c.TokenFor(ctx, apponly.TokenRequest{Scope: scope, Force: true})
			return err
		},
		"Tenant":   func(c *apponly.Client) error { _, err := c.Tenant(someTenant); return err },
		"Warm":     func(c *apponly.Client) error { return c.Warm(ctx, scope) },
		"KeepWarm": func(c *apponly.Client) error { return c.KeepWarm(ctx, scope) },
		"TokenCredential": func(c *apponly.Client) error {
			_, err := c.TokenCredential().GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
			return err
		},
		"NewTransport": func(c *apponly.Client) error {
			_, err := apponly.NewTransport(c, "https://api.test/.default", nil)
			return err
		},
		"HTTPClient": func(c *apponly.Client) error { _, err := c.HTTPClient("https://api.test/.default", nil); return err },
	}
	for name, call := range calls {
		for what, c := range map[string]*apponly.Client{"nil": nil, "zero": {}} {
			t.Run(name+" of a "+what+" client", func(t *testing.T) { wantKind(t, call(c), apponly.ErrConfiguration, "lient is nil") })
		}
	}
	for _, c := range []*apponly.Client{nil, {}} {
		if c.TenantID() != "" || c.ClientID() != "" || c.Status() != nil {
			t.Error("a nil client has IDs or a status")
		}
	}
	_, err := good.Token(nilCtx, scope)
	wantKind(t, err, apponly.ErrConfiguration, "context is nil")
	_, err = good.TokenFor(nilCtx, apponly.TokenRequest{Scope: scope, Force: true})
	wantKind(t, err, apponly.ErrConfiguration, "context is nil")
	wantKind(t, good.Warm(nilCtx, scope), apponly.ErrConfiguration, "context is nil")
	wantKind(t, good.KeepWarm(nilCtx, scope), apponly.ErrConfiguration, "context is nil")
	for _, rt := range []*apponly.Transport{nil, {}} {
		_, err = rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
		wantKind(t, err, apponly.ErrConfiguration, "NewTransport")
		rt.CloseIdleConnections()
	}
	_, err = apponly.NewTransport(good, "https://api.test/.default", &apponly.TransportOptions{Base: (*http.Transport)(nil)})
	wantKind(t, err, apponly.ErrConfiguration, "TransportOptions.Base is a nil *http.Transport")
	_, err = apponly.NewTransport(good, "https://api.test/.default", &apponly.TransportOptions{Base: roundTripper(nil)})
	wantKind(t, err, apponly.ErrConfiguration, "TransportOptions.Base is a nil")
	_, err = s.newTransport(t, &apponly.TransportOptions{Hosts: []string{"api.test"}}).RoundTrip(nil)
	wantKind(t, err, apponly.ErrConfiguration, "request is nil")
	if (*apponly.Cache)(nil).Stats() != (apponly.CacheStats{}) {
		t.Error("a nil cache holds something")
	}
	o := s.options()
	o.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
	_, err = apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret("x"), o)
	wantKind(t, err, apponly.ErrConfiguration, "Options.HTTPClient", "nil *http.Transport")
}
