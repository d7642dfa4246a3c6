// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// A real credential of azidentity, over TLS, behind this cache.
func TestFromTokenCredential(t *testing.T) {
	s := entratest.New(t)
	authority, pool := s.StartTLS()
	http1 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer http1.CloseIdleConnections()
	make := func(secret string) azcore.TokenCredential {
		cred, err := azidentity.NewClientSecretCredential(s.Tenant().ID(), s.App().ClientID(), secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions:            azcore.ClientOptions{Transport: http1, Cloud: azcloud.Configuration{ActiveDirectoryAuthorityHost: authority}},
			DisableInstanceDiscovery: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return cred
	}
	cred := make(s.Secret())
	o := &apponly.Options{Cache: apponly.NewCache(nil)}
	var values []string
	for range 3 { // clients of one credential share its tokens
		c, err := apponly.FromTokenCredential(cred, o)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, mustToken(t, c, s.API().Scope()).Value())
		if c.TenantID() != "" || c.ClientID() != "" {
			t.Errorf("IDs = %q, %q, want none", c.TenantID(), c.ClientID())
		}
	}
	if values[0] != values[2] || s.TokenRequests() != 1 || o.Cache.Stats().Exchanges != 1 {
		t.Errorf("%d token requests for three clients, want 1", s.TokenRequests())
	}
	c, err := apponly.FromTokenCredential(make("wrong"), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrSecretInvalid, "AADSTS7000215")
	if e := asError(t, err); e.HTTPStatus != 401 || e.TraceID == "" {
		t.Errorf("error = %+v, lacks what Entra said", e)
	}
	c, err = apponly.FromTokenCredential(cred, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{s.Tenant().ID(), someTenant, "contoso.com"} {
		_, err = c.Tenant(id)
		wantKind(t, err, apponly.ErrTenantNotAllowed, "TokenCredential")
	}
	if v, err := c.Tenant(""); err != nil || v != c {
		t.Errorf("the client's own tenant: %v, %v", v, err)
	}
}

type valueCredential struct{ list []string }

func (valueCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("not reached")
}

func TestFromTokenCredentialRefuses(t *testing.T) {
	good := &tokenCredential{}
	for _, test := range []struct {
		name string
		cred azcore.TokenCredential
		opts *apponly.Options
		kind apponly.Kind
		text string
	}{
		{"nil", nil, nil, apponly.ErrCredentialMissing, "TokenCredential is nil"},
		{"nil pointer", (*tokenCredential)(nil), nil, apponly.ErrCredentialMissing, "TokenCredential is nil"},
		{"not comparable", valueCredential{[]string{"x"}}, nil, apponly.ErrCredentialMissing, "not comparable: pass a pointer"},
		{"Cloud", good, &apponly.Options{Cloud: cloud.China}, apponly.ErrConfiguration, "Options.Cloud"},
		{"AllowedTenants", good, &apponly.Options{AllowedTenants: []string{"*"}}, apponly.ErrConfiguration, "Options.AllowedTenants"},
		{"HTTPClient", good, &apponly.Options{HTTPClient: http.DefaultClient}, apponly.ErrConfiguration, "Options.HTTPClient"},
		{"CAE", good, &apponly.Options{CAE: true}, apponly.ErrConfiguration, "Options.CAE"},
		{"all", nil, &apponly.Options{CAE: true, HTTPClient: http.DefaultClient}, apponly.ErrConfiguration, "Options.HTTPClient"},
	} {
		c, err := apponly.FromTokenCredential(test.cred, test.opts)
		if c != nil {
			t.Errorf("%s: a client", test.name)
		}
		wantKind(t, err, test.kind, test.text)
		if test.name == "all" && (!errors.Is(err, apponly.ErrCredentialMissing) || !strings.Contains(err.Error(), "CAE")) {
			t.Errorf("error = %v, want everything", err)
		}
	}
	if _, err := apponly.FromTokenCredential(good, nil); err != nil {
		t.Errorf("nil options: %v", err)
	}
	// The cloud's zero value is the public one and means: not set.
	if _, err := apponly.FromTokenCredential(good, &apponly.Options{Cloud: cloud.Public}); err != nil {
		t.Errorf("Public: %v", err)
	}
}

// What a credential may bring, and what it is asked.
func TestTokenCredentialAnswers(t *testing.T) {
	const scope = "https://a.test/.default"
	for _, test := range []struct {
		name   string
		answer func() (azcore.AccessToken, error)
		kind   apponly.Kind // "" for a token
		text   string
	}{
		{"hour", func() (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "a.b.c", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}, "", ""},
		{"refresh", func() (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "a.b.c", ExpiresOn: time.Now().Add(24 * time.Hour), RefreshOn: time.Now().Add(12 * time.Hour)}, nil
		}, "", ""},
		{"expired", func() (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "a.b.c", ExpiresOn: time.Now().Add(-time.Hour)}, nil
		}, apponly.ErrCredentialUnavailable, "no token that is still good"},
		{"nothing", func() (azcore.AccessToken, error) { return azcore.AccessToken{}, nil }, apponly.ErrCredentialUnavailable, "no token"},
		{"no time", func() (azcore.AccessToken, error) { return azcore.AccessToken{Token: "a.b.c"}, nil }, apponly.ErrCredentialUnavailable, "no token"},
		{"line break", func() (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "a\r\nb", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}, apponly.ErrCredentialUnavailable, "no token"},
		{"error", func() (azcore.AccessToken, error) { return azcore.AccessToken{}, errors.New("no identity here") }, apponly.ErrCredentialUnavailable, "TokenCredential failed"},
		{"deadline", func() (azcore.AccessToken, error) {
			return azcore.AccessToken{}, fmt.Errorf("IMDS: %w", context.DeadlineExceeded)
		}, apponly.ErrUnreachable, "no answer in time"},
		{"refused", func() (azcore.AccessToken, error) {
			resp, _ := status(400, `{"error":"invalid_request","error_description":"Identity not found"}`)(nil)
			return azcore.AccessToken{}, azruntime.NewResponseError(resp)
		}, apponly.ErrRequestMalformed, "invalid_request"},
		{"throttled", func() (azcore.AccessToken, error) {
			resp, _ := status(429, "", "Retry-After", "30")(nil)
			return azcore.AccessToken{}, azruntime.NewResponseError(resp)
		}, apponly.ErrThrottled, "HTTP 429"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := apponly.FromTokenCredential(&tokenCredential{func(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
					if len(o.Scopes) != 1 || o.Scopes[0] != scope || o.TenantID != "" || o.Claims != "" || o.EnableCAE {
						t.Errorf("asked for %+v", o)
					}
					return test.answer()
				}}, &apponly.Options{Cache: apponly.NewCache(nil)})
				if err != nil {
					t.Fatal(err)
				}
				tok, err := c.Token(t.Context(), scope)
				if test.kind != "" {
					wantKind(t, err, test.kind, test.text, scope)
					checkLine(t, asError(t, err))
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if tok.Value() != "a.b.c" || time.Until(tok.ExpiresOn()) < time.Hour || !tok.RefreshOn().Before(tok.ExpiresOn()) {
					t.Errorf("token = %v, refresh at %v", tok, tok.RefreshOn())
				}
			})
		})
	}
}

// Azure SDK clients take the client as their credential: through their own
// pipeline, over TLS.
func TestTokenCredentialInPipeline(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	want := "Bearer " + mustToken(t, c, s.API().Scope()).Value()
	calls := 0
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if got := r.Header.Get("Authorization"); got != want {
			t.Error("the API got another token")
		}
		io.WriteString(w, "ok")
	}))
	defer api.Close()
	auth := azruntime.NewBearerTokenPolicy(c.TokenCredential(), []string{s.API().Scope()}, nil)
	pl := azruntime.NewPipeline("test", "v0", azruntime.PipelineOptions{PerRetry: []policy.Policy{auth}}, &policy.ClientOptions{Transport: api.Client()})
	for range 3 {
		req, err := azruntime.NewRequest(t.Context(), http.MethodGet, api.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := pl.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if calls != 3 || s.requests() != 1 {
		t.Errorf("%d calls with %d token requests, want 3 with 1", calls, s.requests())
	}
}

func TestTokenCredential(t *testing.T) {
	s := newSTS(t)
	other := s.AddTenant()
	other.Install(s.App())
	other.Provide(s.API())
	s.API().Grant(other, s.App(), "Data.Read.All")
	o := s.options()
	o.AllowedTenants = []string{other.ID()}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	cred := c.TokenCredential()
	own := mustToken(t, c, s.API().Scope())
	v, err := c.Tenant(other.ID())
	if err != nil {
		t.Fatal(err)
	}
	theirs := mustToken(t, v, s.API().Scope())
	one := []string{s.API().Scope()}
	for _, test := range []struct {
		name string
		opts policy.TokenRequestOptions
		want apponly.Token
		kind apponly.Kind
		text string
	}{
		{"own", policy.TokenRequestOptions{Scopes: one}, own, "", ""},
		{"own by name", policy.TokenRequestOptions{Scopes: one, TenantID: strings.ToUpper(s.Tenant().ID())}, own, "", ""},
		{"CAE is the client's choice", policy.TokenRequestOptions{Scopes: one, EnableCAE: true}, own, "", ""},
		{"other tenant", policy.TokenRequestOptions{Scopes: one, TenantID: other.ID()}, theirs, "", ""},
		{"tenant that is not allowed", policy.TokenRequestOptions{Scopes: one, TenantID: someTenant}, apponly.Token{}, apponly.ErrTenantNotAllowed, someTenant},
		{"no scope", policy.TokenRequestOptions{}, apponly.Token{}, apponly.ErrScopeInvalid, "exactly one scope"},
		{"two scopes", policy.TokenRequestOptions{Scopes: []string{s.API().Scope(), "https://b.test/.default"}}, apponly.Token{}, apponly.ErrScopeInvalid, "exactly one scope"},
		{"bad scope", policy.TokenRequestOptions{Scopes: []string{"User.Read"}}, apponly.Token{}, apponly.ErrScopeInvalid, "User.Read"},
		{"bad claims", policy.TokenRequestOptions{Scopes: one, Claims: "eyJ9"}, apponly.Token{}, apponly.ErrRequestMalformed, "JSON object"},
	} {
		got, err := cred.GetToken(t.Context(), test.opts)
		if test.kind != "" {
			if got.Token != "" {
				t.Errorf("%s: a token", test.name)
			}
			wantKind(t, err, test.kind, test.text)
			continue
		}
		if err != nil || got.Token != test.want.Value() || !got.ExpiresOn.Equal(test.want.ExpiresOn()) || !got.RefreshOn.Equal(test.want.RefreshOn()) {
			t.Errorf("%s: another token, %v", test.name, err)
		}
	}
	if n := s.requests(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// A token with cp1 lasts a day and may be revoked at any time, so it is only for
// an SDK client that says it answers challenges, also in another tenant.
func TestTokenCredentialDeclaresCAEForWhoAnswers(t *testing.T) {
	s := newSTS(t)
	other := s.AddTenant()
	other.Install(s.App())
	other.Provide(s.API())
	o := s.options()
	o.CAE = true
	o.AllowedTenants = []string{other.ID()}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	view, err := c.Tenant(other.ID())
	if err != nil {
		t.Fatal(err)
	}
	cred, inView := c.TokenCredential(), view.TokenCredential()
	if cred != c.TokenCredential() {
		t.Error("two credentials of one client differ: behind a cache each would have entries of its own")
	}
	for _, cae := range []bool{true, false, true, false} {
		for _, test := range []struct {
			name   string
			cred   azcore.TokenCredential
			tenant string
			want   string
		}{{"own tenant", cred, "", s.Tenant().ID()}, {"named tenant", cred, other.ID(), other.ID()}, {"view", inView, "", other.ID()}} {
			tok, err := test.cred.GetToken(t.Context(), policy.TokenRequestOptions{
				Scopes: []string{s.API().Scope()}, TenantID: test.tenant, EnableCAE: cae,
			})
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				TID   string   `json:"tid"`
				XMSCC []string `json:"xms_cc"`
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tok.Token, ".")[1])
			if err != nil || json.Unmarshal(payload, &claims) != nil {
				t.Fatalf("%s: no JWT", test.name)
			}
			if got := slices.Contains(claims.XMSCC, "cp1"); got != cae || claims.TID != test.want {
				t.Errorf("%s, EnableCAE %t: cp1 %t for tenant %s", test.name, cae, got, claims.TID)
			}
		}
	}
	if n := s.requests(); n != 4 {
		t.Errorf("%d token requests for two tenants with cp1 and without", n)
	}
}

// Key Vault and Storage clients name the tenant of each challenge; a managed
// identity has only one, and azidentity ignores the name as well.
func TestTokenCredentialOfAnIdentityIgnoresTheTenant(t *testing.T) {
	cred := &fixedCredential{}
	c, err := apponly.FromTokenCredential(cred, &apponly.Options{Cache: apponly.NewCache(nil)})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"}, TenantID: "11111111-2222-3333-4444-555555555555", EnableCAE: true,
	})
	if err != nil || tok.Token != "abc" {
		t.Errorf("GetToken = %v, %v", tok.Token, err)
	}
}

type fixedCredential struct{ _ int }

func (*fixedCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "abc", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Clients with and without cp1 are one to whoever observes them.
func TestTokenCredentialSharesTheObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		opts := s.options()
		opts.CAE = true
		var calls atomic.Int64
		release := make(chan struct{})
		opts.OnEvent = func(context.Context, apponly.Event) { calls.Add(1); <-release }
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
		force(t, c, s.API().Scope())
		if n := calls.Load(); n != 1 {
			t.Fatalf("%d calls", n)
		}
		if _, err := c.TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}}); err != nil {
			t.Fatal(err)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("OnEvent was called %d times, the first call has not returned", n)
		}
		close(release)
		synctest.Wait()
	})
}

// The client without cp1 is made late, by many at once, from what New was given.
func TestTokenCredentialWithoutCAE(t *testing.T) {
	s := newSTS(t)
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(s.Secret()), 0o600); err != nil {
		t.Fatal(err)
	}
	cred := apponly.SecretFile("secret")
	opts := s.options()
	opts.CAE = true
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
	if err != nil {
		t.Fatal(err)
	}
	plainOpts := *opts
	plainOpts.CAE = false
	plain, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.SecretFile(filepath.Join(dir, "secret")), &plainOpts)
	if err != nil {
		t.Fatal(err)
	}
	want := mustToken(t, plain, s.API().Scope()).Value()
	*opts = apponly.Options{}
	t.Chdir(t.TempDir())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for _, cae := range []bool{false, true} {
				tok, err := c.TokenCredential().GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.API().Scope()}, EnableCAE: cae})
				if err != nil || (tok.Token == want) == cae {
					t.Errorf("cae %v: %v", cae, err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.requests(); n != 2 {
		t.Errorf("%d token requests", n)
	}
}
