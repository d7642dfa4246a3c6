// SPDX-License-Identifier: MIT

package apponly_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
)

const (
	someTenant = "8b3c1d0e-6f5a-4c2b-9d7e-0123456789ab"
	someClient = "5e7f9a1b-2c3d-4e4f-8a6b-ba9876543210"
)

// nowhere fails the test when it is used.
func nowhere(t *testing.T) *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("request to %s, want none", r.URL)
		return nil, errors.New("no network here")
	})}
}

func TestNewRefuses(t *testing.T) {
	secret := apponly.Secret("s3cr3t-value")
	for _, test := range []struct {
		name           string
		tenant, client string
		cred           apponly.Credential
		opts           *apponly.Options
		kind           apponly.Kind
		text           string
	}{
		{"no tenant", "", someClient, secret, nil, apponly.ErrTenantNotFound, "tenant ID is empty"},
		// These end the path of MSAL's authority or mean another kind of it.
		{"common", "common", someClient, secret, nil, apponly.ErrAuthorityInvalid, "needs one tenant"},
		{"organizations", "organizations", someClient, secret, nil, apponly.ErrAuthorityInvalid, "needs one tenant"},
		{"consumers", "consumers", someClient, secret, nil, apponly.ErrAuthorityInvalid, "needs one tenant"},
		{"Common", "Common", someClient, secret, nil, apponly.ErrAuthorityInvalid, `"Common"`},
		{"adfs", "adfs", someClient, secret, nil, apponly.ErrAuthorityInvalid, "not supported"},
		{"ADFS", "ADFS", someClient, secret, nil, apponly.ErrAuthorityInvalid, "not supported"},
		{"dstsv2", "dstsv2", someClient, secret, nil, apponly.ErrAuthorityInvalid, "not supported"},
		{"one letter", "a", someClient, secret, nil, apponly.ErrTenantNotFound, `"a" is neither`},
		{"path", "../x", someClient, secret, nil, apponly.ErrTenantNotFound, `"../x"`},
		{"two segments", "x/y", someClient, secret, nil, apponly.ErrTenantNotFound, `"x/y"`},
		{"query", "contoso.com?x=y", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"fragment", "contoso.com#x", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"escape", "contoso%2ecom", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"one label", "contoso", someClient, secret, nil, apponly.ErrTenantNotFound, `"contoso"`},
		{"undefined", "undefined", someClient, secret, nil, apponly.ErrTenantNotFound, `"undefined"`},
		{"unicode", "contösö.com", someClient, secret, nil, apponly.ErrTenantNotFound, "xn--"},
		{"kelvin sign", "\u212aontoso.com", someClient, secret, nil, apponly.ErrTenantNotFound, "not ASCII"}, // its lower case is an ASCII k
		{"dots", "..", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"trailing dot", "contoso.com.", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"space", " " + someTenant, someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"line break", someTenant + "\n", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"braces", "{" + someTenant + "}", someClient, secret, nil, apponly.ErrTenantNotFound, "neither"},
		{"long", strings.Repeat("a", 300) + ".com", someClient, secret, nil, apponly.ErrTenantNotFound, "of 304 bytes"},

		{"no client", someTenant, "", secret, nil, apponly.ErrAppNotFound, "client ID is empty"},
		{"client name", someTenant, "my-app", secret, nil, apponly.ErrAppNotFound, `client ID "my-app" is not a GUID`},
		{"client braces", someTenant, "{" + someClient + "}", secret, nil, apponly.ErrAppNotFound, `"{5e7f`},
		{"client short", someTenant, someClient[1:], secret, nil, apponly.ErrAppNotFound, "is not a GUID"},

		{"nil credential", someTenant, someClient, nil, nil, apponly.ErrCredentialMissing, "credential is nil"},
		{"empty secret", someTenant, someClient, apponly.Secret(""), nil, apponly.ErrCredentialMissing, "secret is empty"},
		{"line break for a secret", someTenant, someClient, apponly.Secret("\n"), nil, apponly.ErrCredentialMissing, "secret is empty"},
		{"two lines", someTenant, someClient, apponly.Secret("a\nb"), nil, apponly.ErrCredentialMissing, "line breaks"},
		{"binary secret", someTenant, someClient, apponly.Secret("a\xffb"), nil, apponly.ErrCredentialMissing, "binary"},
		{"no secret file", someTenant, someClient, apponly.SecretFile(""), nil, apponly.ErrCredentialMissing, "path of the secret file"},
		{"no certificate", someTenant, someClient, apponly.Certificate(nil, nil, nil), nil, apponly.ErrCertificateInvalid, "no private key"},
		{"no certificate file", someTenant, someClient, apponly.CertificateFile("", nil), nil, apponly.ErrCredentialMissing, "path of the certificate file"},
		{"nil source", someTenant, someClient, apponly.Federated(nil), nil, apponly.ErrCredentialMissing, "source is nil"},
		{"nil func", someTenant, someClient, apponly.Federated(apponly.AssertionFunc(nil)), nil, apponly.ErrCredentialMissing, "function is nil"},
		{"no assertion file", someTenant, someClient, apponly.Federated(apponly.AssertionFile("")), nil, apponly.ErrCredentialMissing, "path of the assertion file"},

		{"plain http", someTenant, someClient, secret, &apponly.Options{Cloud: cloud.Custom("http://localhost")}, apponly.ErrAuthorityInvalid, "https"},
		{"path in cloud", someTenant, someClient, secret, &apponly.Options{Cloud: cloud.Custom("https://x.test/y")}, apponly.ErrAuthorityInvalid, "Options.Cloud"},
		{"no cloud", someTenant, someClient, secret, &apponly.Options{Cloud: cloud.Custom("")}, apponly.ErrAuthorityInvalid, "Options.Cloud"},
		{"bad allowed tenant", someTenant, someClient, secret, &apponly.Options{AllowedTenants: []string{"*", "common"}}, apponly.ErrAuthorityInvalid, "Options.AllowedTenants"},
		{"empty allowed tenant", someTenant, someClient, secret, &apponly.Options{AllowedTenants: []string{""}}, apponly.ErrTenantNotFound, "Options.AllowedTenants: tenant ID is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := apponly.New(test.tenant, test.client, test.cred, test.opts)
			if c != nil {
				t.Error("New returned a client with an error")
			}
			wantKind(t, err, test.kind, test.text)
			for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
				if !strings.HasPrefix(line, "apponly: ") || strings.Count(line, "apponly: ") != 1 || len(line) > 300 {
					t.Errorf("clumsy text: %q", line)
				}
			}
		})
	}
}

// Who deploys for the first time has more than one thing wrong, and should not
// learn it in as many deployments.
func TestNewReportsEverything(t *testing.T) {
	_, err := apponly.New("common", "x", nil, &apponly.Options{
		Cloud: cloud.Custom("http://x"), AllowedTenants: []string{"y", "adfs"},
	})
	for _, kind := range []apponly.Kind{apponly.ErrAuthorityInvalid, apponly.ErrAppNotFound, apponly.ErrCredentialMissing, apponly.ErrTenantNotFound} {
		wantKind(t, err, kind)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 6 {
		t.Errorf("%d faults in %q, want 6", lines, err)
	}
	wantKind(t, err, apponly.ErrConfiguration)
	wantKind(t, err, apponly.ErrCredential)
}

// A secret that stands where the client ID should is the first thing that
// people paste into an issue.
func TestSwappedSecretIsNotShown(t *testing.T) {
	const secret = "Zx98Q~aSecretInTheWrongPlace.0123456789x"
	_, err := apponly.New(someTenant, secret, apponly.Secret(someClient), nil)
	wantKind(t, err, apponly.ErrAppNotFound)
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
		t.Errorf("error shows the secret: %v", err)
	}
}

func TestNewLowersCase(t *testing.T) {
	for _, test := range []struct{ tenant, want string }{
		{strings.ToUpper(someTenant), someTenant},
		{"Contoso.OnMicrosoft.COM", "contoso.onmicrosoft.com"},
		{"xn--conts-lua9a.com", "xn--conts-lua9a.com"},
	} {
		c, err := apponly.New(test.tenant, strings.ToUpper(someClient), apponly.Secret("x"), nil)
		if err != nil {
			t.Errorf("New(%s): %v", test.tenant, err)
			continue
		}
		if c.TenantID() != test.want || c.ClientID() != someClient {
			t.Errorf("IDs = %s, %s; want %s, %s", c.TenantID(), c.ClientID(), test.want, someClient)
		}
	}
}

// The emulator knows its tenant and app in lower case; one in upper case is the
// same one, and the same cache entry.
func TestUpperCaseIsTheSameApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		o := s.options()
		for _, upper := range []bool{false, true} {
			tenant, client := s.Tenant().ID(), s.App().ClientID()
			if upper {
				tenant, client = strings.ToUpper(tenant), strings.ToUpper(client)
			}
			c, err := apponly.New(tenant, client, apponly.Secret(s.Secret()), o)
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, c, s.API().Scope())
		}
		if n := s.requests(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestScope(t *testing.T) {
	for _, test := range []struct{ scope, text string }{
		{"", "scope is empty"},
		{"https://graph.microsoft.com", "followed by /.default"},
		{"https://graph.microsoft.com/User.Read.All", "followed by /.default"},
		{"https://graph.microsoft.com/.DEFAULT", "followed by /.default"},
		{"openid", "followed by /.default"},
		{"offline_access", "followed by /.default"},
		{".default", "followed by /.default"},
		{"/.default", "want one resource in front of"},
		{"https://a.test/.default/.default", "want one resource in front of"},
		{"https://a.test/.default https://b.test/.default", "exactly one scope"},
		{"https://a.test/.default openid", "exactly one scope"},
		{" https://a.test/.default", "white space"},
		{"https://a.test/.default\n", "white space"},
		{"https://ä.test/.default", "RFC 6749"},
		{"https://a.test/\x00/.default", "RFC 6749"},
		{strings.Repeat("a", 2000) + "/.default", "longer than"},
	} {
		t.Run(test.scope, func(t *testing.T) {
			c, err := apponly.New(someTenant, someClient, apponly.Secret("x"), &apponly.Options{HTTPClient: nowhere(t), Cache: apponly.NewCache(nil)})
			if err != nil {
				t.Fatal(err)
			}
			for name, ask := range map[string]func() (apponly.Token, error){
				"Token":    func() (apponly.Token, error) { return c.Token(t.Context(), test.scope) },
				"TokenFor": func() (apponly.Token, error) { return c.TokenFor(t.Context(), apponly.TokenRequest{Scope: test.scope}) },
				"Force": func() (apponly.Token, error) {
					return c.TokenFor(t.Context(), apponly.TokenRequest{Scope: test.scope, Force: true})
				},
				"Claims": func() (apponly.Token, error) {
					return c.TokenFor(t.Context(), apponly.TokenRequest{Scope: test.scope, Claims: "{}"})
				},
			} {
				tok, err := ask()
				if !tok.IsZero() {
					t.Errorf("%s returned a token", name)
				}
				wantKind(t, err, apponly.ErrScopeInvalid, test.text)
				e := asError(t, err)
				if e.TenantID != someTenant || e.ClientID != someClient || e.Scope != test.scope || e.HTTPStatus != 0 {
					t.Errorf("%s: error = %+v, does not say who asked for what", name, e)
				}
				if len(err.Error()) > 600 || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: not one short line: %q", name, err)
				}
			}
			if st := c.TokenCredential(); st == nil {
				t.Error("no TokenCredential")
			}
		})
	}
}

// A resource that ends in a slash keeps it: the scope then has two of them, and
// dropping one asks for another resource.
func TestScopeKeepsSlashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		api := s.Tenant().NewResource("https://api.example.test/", "Read")
		api.Grant(s.Tenant(), s.App(), "Read")
		if api.Scope() != "https://api.example.test//.default" {
			t.Fatalf("scope = %s", api.Scope())
		}
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if got := formOf(r).Get("scope"); !strings.HasPrefix(got, "https://api.example.test//.default ") {
				t.Errorf("scope = %q, lost a slash", got)
			}
			return nil, nil
		})
		mustToken(t, s.client(t), api.Scope())
	})
}

func TestClaimsMustBeJSON(t *testing.T) {
	for _, claims := range []string{"x", "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==", `"text"`, "null", "[]", "1", `{"a":`, "{} {}", " "} {
		t.Run(claims, func(t *testing.T) {
			c, err := apponly.New(someTenant, someClient, apponly.Secret("x"), &apponly.Options{HTTPClient: nowhere(t), Cache: apponly.NewCache(nil)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.TokenFor(t.Context(), apponly.TokenRequest{Scope: "https://a.test/.default", Claims: claims})
			wantKind(t, err, apponly.ErrRequestMalformed, "claims must be a JSON object")
		})
	}
}

func TestTenant(t *testing.T) {
	const other, third = "11111111-2222-4333-8444-55555555abcd", "99999999-2222-4333-8444-55555555abcd"
	c, err := apponly.New(someTenant, someClient, apponly.Secret("x"), &apponly.Options{
		HTTPClient: nowhere(t), Cache: apponly.NewCache(nil), AllowedTenants: []string{strings.ToUpper(other), "Fabrikam.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		id, want string
		kind     apponly.Kind
		text     string
	}{
		{someTenant, someTenant, "", ""},
		{strings.ToUpper(someTenant), someTenant, "", ""},
		{other, other, "", ""},
		{strings.ToUpper(other), other, "", ""},
		{"fabrikam.COM", "fabrikam.com", "", ""},
		{third, "", apponly.ErrTenantNotAllowed, third},
		{"contoso.com", "", apponly.ErrTenantNotAllowed, "Options.AllowedTenants"},
		{"", "", apponly.ErrTenantNotFound, "empty"},
		{"*", "", apponly.ErrTenantNotFound, `"*"`},
		{"common", "", apponly.ErrAuthorityInvalid, "common"},
		{"../" + other, "", apponly.ErrTenantNotFound, "neither"},
	} {
		v, err := c.Tenant(test.id)
		if test.kind != "" {
			if v != nil {
				t.Errorf("Tenant(%q) returned a view and %v", test.id, err)
			}
			wantKind(t, err, test.kind, test.text)
			continue
		}
		if err != nil {
			t.Errorf("Tenant(%q): %v", test.id, err)
			continue
		}
		if v.TenantID() != test.want || v.ClientID() != someClient {
			t.Errorf("Tenant(%q) is for %s, want %s", test.id, v.TenantID(), test.want)
		}
		if again, _ := c.Tenant(test.id); again != v {
			t.Errorf("Tenant(%q) returned another view", test.id)
		}
		// Views are views of the client, not of each other.
		if back, err := v.Tenant(someTenant); err != nil || back != c {
			t.Errorf("the way back from %q: %v, %v", test.id, back, err)
		}
	}
	if v, _ := c.Tenant(someTenant); v != c {
		t.Error("the client's own tenant is another view")
	}
}

func TestTenantAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		o := s.options()
		o.AllowedTenants = []string{"*"}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
		if err != nil {
			t.Fatal(err)
		}
		other := s.AddTenant("customer.example.test")
		other.Install(s.App())
		other.Provide(s.API())
		s.API().Grant(other, s.App(), "Data.Read.All")
		v, err := c.Tenant(other.ID())
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mustToken(t, c, s.API().Scope()), mustToken(t, v, s.API().Scope()); a.Value() == b.Value() {
			t.Error("two tenants share a token")
		}
		// A tenant nobody knows costs one request and is then remembered.
		gone, err := c.Tenant(someTenant)
		if err != nil {
			t.Fatal(err)
		}
		before := s.requests()
		for i := range 3 {
			_, err = gone.Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrTenantNotFound, "AADSTS90002", someTenant)
			if asError(t, err).Remembered != (i > 0) {
				t.Errorf("call %d: Remembered = %t", i, i == 0)
			}
		}
		if n := s.requests() - before; n != 1 {
			t.Errorf("%d requests for an unknown tenant, want 1", n)
		}
		for _, id := range []string{"*", "common", "x/y", ""} {
			if _, err := c.Tenant(id); err == nil {
				t.Errorf("Tenant(%q) is accepted because of *", id)
			}
		}
	})
}

// Many goroutines that ask for the same tenants get the same views.
func TestTenantConcurrently(t *testing.T) {
	c, err := apponly.New(someTenant, someClient, apponly.Secret("x"), &apponly.Options{
		Cache: apponly.NewCache(nil), AllowedTenants: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var views sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				v, err := c.Tenant(fmt.Sprintf("t%d.example.test", i))
				if err != nil {
					t.Error(err)
					return
				}
				if first, _ := views.LoadOrStore(i, v); first != v {
					t.Errorf("tenant %d has two views", i)
				}
			}
		})
	}
	wg.Wait()
}

// The zero Options, nil Options and no Options are the same.
func TestNilOptions(t *testing.T) {
	for _, o := range []*apponly.Options{nil, {}} {
		if _, err := apponly.New(someTenant, someClient, apponly.Secret("x"), o); err != nil {
			t.Errorf("New with %v: %v", o, err)
		}
	}
}
