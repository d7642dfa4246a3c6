// SPDX-License-Identifier: MIT

package apponly_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// A managed identity proves an app of its tenant, and that app gets tokens in another
// tenant; each is renewed in time.
func TestManagedIdentityProvesAppElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		identity := s.Tenant().NewManagedIdentity()
		s.App().AddFederatedCredential(identity.FederatedCredential())
		customer := s.AddTenant()
		customer.Install(s.App())
		customer.Provide(s.API())
		s.API().Grant(customer, s.App(), "Data.Read.All")
		o := s.options()
		o.AllowedTenants = []string{customer.ID()}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(apponly.ManagedIdentityAssertion(identity.ClientID())), o)
		if err != nil {
			t.Fatal(err)
		}
		view, err := c.Tenant(customer.ID())
		if err != nil {
			t.Fatal(err)
		}
		for range 24 * 3 * 4 {
			for _, c := range []*apponly.Client{c, view} {
				if tok := mustToken(t, c, s.API().Scope()); time.Until(tok.ExpiresOn()) <= 0 {
					t.Fatal("a token that has ended")
				}
			}
			time.Sleep(15 * time.Minute)
		}
		identityTokens := s.Counters().Endpoints["imds"]
		if identityTokens < 3 || identityTokens > 9 {
			t.Errorf("the identity was asked %d times in three days, want a token or two a day", identityTokens)
		}
	})
}

// An authorizationServer takes the tokens of a tenant for assertions, as long as a
// verifier of the API side lets them in (RFC 7523 section 3).
func authorizationServer(t *testing.T, verifier *verify.Verifier, asked *atomic.Int64) *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		caller, err := verifier.Verify(r.Context(), r.PostForm.Get("client_assertion"))
		if err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
			t.Errorf("form = %v: %v", r.PostForm, err)
			return status(http.StatusUnauthorized, `{"error":"invalid_client"}`)(r)
		}
		return status(http.StatusOK, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":"%s-%d"}`, caller.ClientID, asked.Load()))(r)
	})}
}

// Another authorization server takes a client's tokens for assertions; both tokens are
// renewed in time.
func TestClientAssertion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		there := cloud.Custom("https://as.test")
		exchange := s.Tenant().NewResource(there.ExchangeAudience())
		first := s.client(t)
		mustToken(t, first, exchange.Scope()) // a resource like any other to whoever gives the token
		verifier, err := verify.New(exchange.AppID(), []verify.Rule{{Tenant: s.Tenant().ID(), Client: s.App().ClientID()}}, &verify.Options{
			Cloud: s.Cloud(), HTTPClient: s.Server.HTTPClient(), AppIDURIs: []string{there.ExchangeAudience()},
		})
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		second, err := apponly.New(someTenant, someClient, apponly.Federated(apponly.ClientAssertion(first)), &apponly.Options{
			Cloud: there, HTTPClient: authorizationServer(t, verifier, &asked), Cache: apponly.NewCache(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 24 * 4 {
			if tok := mustToken(t, second, "api://there/.default"); time.Until(tok.ExpiresOn()) <= 0 {
				t.Fatal("a token that has ended")
			}
			time.Sleep(15 * time.Minute)
		}
		if n := asked.Load(); n < 20 || n > 60 {
			t.Errorf("%d token requests in a day, want one or two an hour", n)
		}

		// What keeps the first from its token is what the second says.
		s.App().RemoveSecret(s.Secret())
		time.Sleep(2 * time.Hour)
		before := asked.Load()
		_, err = second.Token(t.Context(), "api://there/.default")
		wantKind(t, err, apponly.ErrCredentialUnavailable, "federated assertion of another client: client secret is not one of the app's (AADSTS7000215)")
		wantKind(t, err, apponly.ErrSecretInvalid)
		if n := asked.Load() - before; n != 0 {
			t.Errorf("%d token requests without an assertion", n)
		}
	})
}

// Entra does not take the tokens of an app for assertions.
func TestClientAssertionOfAnApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.Tenant().NewResource(s.Cloud().ExchangeAudience())
		app := s.Tenant().NewApp()
		s.Tenant().Install(app)
		first, err := apponly.New(s.Tenant().ID(), app.ClientID(), apponly.Secret(app.NewSecret(time.Now().Add(time.Hour))), s.options())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.with(t, apponly.Federated(apponly.ClientAssertion(first))).Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrFederationBlocked, "AADSTS700222", "assertion with iss")
	})
}

// Endpoints of this machine are never asked by way of a proxy, whatever client is set,
// and a redirect of theirs is not followed.
func TestMachineIsAskedDirectly(t *testing.T) {
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}

	s := entratest.New(t)
	authority, roots := s.StartTLS()
	identity := s.Tenant().NewManagedIdentity()
	vm := s.NewGoogleVM()
	s.App().AddFederatedCredential(identity.FederatedCredential())
	s.App().AddFederatedCredential(vm.FederatedCredential())
	setAll(t, vm.Env())
	setAll(t, identity.Env())
	for name, source := range map[string]apponly.AssertionSource{
		"google": apponly.GoogleMetadata(""), "managed identity": apponly.ManagedIdentityAssertion(identity.ClientID()),
	} {
		t.Run(name, func(t *testing.T) {
			// Entra itself is asked directly as well, as it is on loopback here.
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Proxy: func(r *http.Request) (*url.URL, error) {
				if r.URL.Scheme == "https" && "https://"+r.URL.Host == authority {
					return nil, nil
				}
				return proxyURL, nil
			}}
			defer transport.CloseIdleConnections()
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(source), &apponly.Options{
				Cloud: s.Cloud(), HTTPClient: &http.Client{Transport: transport}, Cache: apponly.NewCache(nil),
			})
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, c, s.API().Scope())
			if n := proxied.Load(); n != 0 {
				t.Errorf("%d requests went to the proxy", n)
			}
		})
	}
}
