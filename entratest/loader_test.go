// SPDX-License-Identifier: MIT

package entratest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestLoader fills an emulator, and gets a token from what it was filled with.
func TestLoader(t *testing.T) {
	s := entratest.New(t)
	load := s.Loader()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	home, err := load.AddTenant("", "home.example")
	ok(err)
	tenant, err := load.AddTenant(fixedTenant, "fixed.example")
	ok(err)
	app, err := load.NewApp(home, fixedApp)
	ok(err)
	random, err := load.NewApp(home, "")
	ok(err)
	api, err := load.NewResource(home, "", "https://orders.example", "Read")
	ok(err)
	ok(load.AddSecret(app, "x", time.Time{}, time.Now().Add(time.Hour)))
	ok(load.AddCertificate(app, s.Certificate().Leaf))
	ok(load.AddFederatedCredential(app, entratest.FederatedCredential{Issuer: "https://i.test", Subject: "s", Audience: "a"}))
	ok(load.SetTokenVersion(api, 1))
	ok(load.AddRedirectURI(app, "https://app.example/cb"))
	ok(load.Require(app, api, "Read"))
	ok(load.Install(tenant, app))
	ok(load.Provide(tenant, api))
	ok(load.SetAssignmentRequired(tenant, api, true))
	ok(load.Grant(api, tenant, app, "Read"))
	ok(load.SetThrottle(entratest.Throttle{Requests: 1, Per: time.Hour}))

	form := fixedForm(s)
	form.Set("scope", api.Scope())
	got := postForm(t, s, "fixed.example", form)
	if got.Status != http.StatusOK {
		t.Fatalf("got %d %s", got.Status, got.Description)
	}
	if claims := claimsOf(t, got.AccessToken); claims["aud"] != "https://orders.example" || claims["roles"] == nil {
		t.Errorf("claims %v", claims)
	}
	if got, err := send(s.HTTPClient(), tokenRequest(t.Context(), s, "fixed.example", form)); err != nil || got.status != http.StatusTooManyRequests {
		t.Errorf("the second request: %d, %v; want it throttled", got.status, err)
	}
	if random.ClientID() == fixedApp || home.ID() == fixedTenant {
		t.Error("a random ID is not random")
	}
}

// TestLoaderMistakes has every mistake be an error, which stands behind a line of
// a file: it does not name the package.
func TestLoaderMistakes(t *testing.T) {
	s, other := entratest.New(t), entratest.New(t)
	load, tenant := s.Loader(), s.Tenant()
	identity := tenant.NewManagedIdentity().App()
	gone := s.AddTenantID("7f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6")
	gone.Remove()
	s.AddTenant("taken.example")
	s.AddTenantID(fixedTenant)
	tenant.NewAppID(fixedApp)
	tenant.NewResource("https://taken.test")
	empty := s.AddTenantID("8f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6")
	for want, err := range map[string]error{
		`domain "taken.example" belongs to another tenant`:                                               second(load.AddTenant("", "new.example", "taken.example")),
		`"nodots" is not a domain name`:                                                                  second(load.AddTenant("", "nodots")),
		`"contoso" is not a GUID that something can have`:                                                second(load.AddTenant("contoso")),
		`tenant ID "6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6" is taken`:                                      second(load.AddTenant(fixedTenant)),
		`app ID "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9" is taken`:                                         second(load.NewApp(tenant, fixedApp)),
		`the tenant 7f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6 has been removed`:                               second(load.NewApp(gone, "")),
		`another API of the tenant ` + tenant.ID() + ` has the URI "https://taken.test"`:                 second(load.NewResource(tenant, "", "https://taken.test")),
		identity.ClientID() + ` is a managed identity, which has neither secrets nor certificates`:       load.AddSecret(identity, "x", time.Time{}, time.Now()),
		`federated credential: subject has 0 characters, want 1 to 600`:                                  load.AddFederatedCredential(s.App(), entratest.FederatedCredential{Issuer: "https://i.test", Audience: "a"}),
		`token_version is 3, want 1 or 2`:                                                                load.SetTokenVersion(s.API(), 3),
		`object belongs to another Server`:                                                               load.Install(tenant, other.App()),
		s.API().AppID() + ` has no service principal in the tenant 8f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6`: load.SetAssignmentRequired(empty, s.API(), true),
		s.API().URI() + ` defines no role "Typo"`:                                                        load.Grant(s.API(), tenant, s.App(), "Data.Write.All", "Typo"),
		`the redirect URI is not an absolute URL`:                                                        load.AddRedirectURI(s.App(), "/cb"),
		`no role is required`:                   load.Require(s.App(), s.API()),
		`throttle: per is 0s, want more than 0`: load.SetThrottle(entratest.Throttle{Requests: 1}),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := load.AddCertificate(identity, s.Certificate().Leaf); err == nil {
		t.Error("a managed identity has a certificate")
	}
	if err := load.Provide(tenant, other.API()); err == nil {
		t.Error("an API of another Server is provided")
	}

	// What failed has changed nothing.
	s.AddTenant("new.example")
	if claims := claimsOf(t, tokenOf(s)); len(claims["roles"].([]any)) != 1 {
		t.Errorf("roles %v, want those of before", claims["roles"])
	}
}

func second[T any](_ T, err error) error { return err }
