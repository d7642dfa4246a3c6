// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// TestMisuse has what a test does by mistake end in a panic that says so.
func TestMisuse(t *testing.T) {
	s, other := entratest.NewServer(), entratest.NewServer()
	soon := time.Now().Add(time.Hour)
	trust := func(issuer, subject, audience string) {
		s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: issuer, Subject: subject, Audience: audience})
	}
	gone := s.AddTenant("gone.example")
	gone.Remove()
	goneApp, goneAPI := s.Tenant().NewApp(), s.Tenant().NewResource("")
	goneApp.Remove()
	goneAPI.Remove()
	identity := s.Tenant().NewManagedIdentity().App()
	s.Tenant().NewResource("https://api.test")

	for name, tt := range map[string]struct {
		want string
		do   func()
	}{
		"role not defined":                   {`no role "Typo"`, func() { s.API().Grant(s.Tenant(), s.App(), "Typo") }},
		"not installed":                      {"no service principal", func() { s.API().Grant(s.AddTenant(), s.App(), "Data.Read.All") }},
		"other server":                       {"another Server", func() { s.Tenant().Install(other.App()) }},
		"other server, uninstall":            {"another Server", func() { s.Tenant().Uninstall(other.App()) }},
		"other server, provide":              {"another Server", func() { s.Tenant().Provide(other.API()) }},
		"other server, withdraw":             {"another Server", func() { s.Tenant().Withdraw(other.API()) }},
		"other server, grant":                {"another Server", func() { s.API().Grant(other.Tenant(), other.App()) }},
		"other server, revoke":               {"another Server", func() { s.API().Revoke(other.Tenant(), s.App(), "Data.Read.All") }},
		"other server's app, revoke":         {"another Server", func() { s.API().Revoke(s.Tenant(), other.App(), "Data.Read.All") }},
		"token version":                      {"token_version is 3", func() { s.API().SetTokenVersion(3) }},
		"optional claim":                     {`"email"`, func() { s.API().SetOptionalClaims("idtyp", "email") }},
		"domain malformed":                   {"not a domain name", func() { s.AddTenant("nodots") }},
		"domain registered":                  {"belongs to another", func() { s.AddTenant("a.example"); s.AddTenant("A.example") }},
		"not provided":                       {"service principal", func() { s.API().Grant(s.AddTenant(), s.App()) }},
		"disable what is not installed":      {"no service principal", func() { s.AddTenant().SetAppDisabled(s.App(), true) }},
		"revoke what is not installed":       {"no service principal", func() { s.AddTenant().RevokeTokens(s.App()) }},
		"assignment of what is not provided": {"no service principal", func() { s.AddTenant().SetAssignmentRequired(s.API(), true) }},
		"no blocking code":                   {"no policy", func() { s.Tenant().Block(s.App(), 7000215) }},
		"domain of a removed tenant":         {"has been removed", func() { gone.AddDomain("late.example") }},
		"app of a removed tenant":            {"has been removed", func() { gone.NewApp() }},
		"API of a removed tenant":            {"has been removed", func() { gone.NewResource("") }},
		"install in a removed tenant":        {"has been removed", func() { gone.Install(s.App()) }},
		"provide in a removed tenant":        {"has been removed", func() { gone.Provide(s.API()) }},
		"app removed":                        {"has been removed", func() { s.AddTenant().Install(goneApp) }},
		"API removed":                        {"has been removed", func() { s.AddTenant().Provide(goneAPI) }},
		"API removed, URI":                   {"has been removed", func() { goneAPI.AddURI("https://late.test") }},
		"API removed, grant":                 {"service principal", func() { goneAPI.Grant(s.Tenant(), s.App()) }},
		"API removed, its ID another's":      {"service principal", func() { s.Tenant().NewResourceID(goneAPI.AppID(), ""); goneAPI.Grant(s.Tenant(), s.App()) }},
		"app removed, its ID another's":      {"no service principal", func() { s.Tenant().NewAppID(goneApp.ClientID()); s.Tenant().RevokeTokens(goneApp) }},
		"app removed, revoke tokens":         {"no service principal", func() { s.Tenant().RevokeTokens(goneApp) }},
		"URI of another API":                 {`has the URI "https://api.test/"`, func() { s.API().AddURI("https://api.test/") }},
		"URI of another API, anew":           {`has the URI "https://api.test"`, func() { s.Tenant().NewResource("https://api.test") }},
		"secret of an identity":              {"managed identity", func() { identity.AddSecret("x", soon) }},
		"new secret of an identity":          {"managed identity", func() { identity.NewSecret(soon) }},
		"certificate of an identity":         {"managed identity", func() { identity.AddCertificate(s.Certificate().Leaf) }},
		"new certificate of an identity":     {"managed identity", func() { identity.NewCertificate(time.Now(), soon) }},
		"issuer over http":                   {"not an https URL", func() { s.NewIssuer("http://i.test") }},
		"issuer without a scheme":            {"not an https URL", func() { s.NewIssuer("cluster.test") }},
		"21 federated credentials": {"no more", func() {
			for i := range 21 {
				trust("https://i.test", fmt.Sprint(i), "a")
			}
		}},
		"issuer and subject twice": {"already", func() {
			app := s.Tenant().NewApp()
			for _, aud := range []string{"a", "b"} {
				app.AddFederatedCredential(entratest.FederatedCredential{Issuer: "https://i.test", Subject: "twice", Audience: aud})
			}
		}},
		"federated issuer empty":         {"issuer has", func() { trust("", "x", "a") }},
		"federated subject empty":        {"subject has", func() { trust("https://i.test", "", "a") }},
		"federated audience empty":       {"audience has", func() { trust("https://i.test", "x", "") }},
		"federated subject too long":     {"601 characters", func() { trust("https://i.test", strings.Repeat("ü", 601), "a") }},
		"federated audience too long":    {"601 characters", func() { trust("https://i.test", "x", strings.Repeat("x", 601)) }},
		"key too short":                  {"512 bits", func() { s.AddKey(entratest.KeyOptions{Bits: 512}) }},
		"key too long":                   {"16384 bits", func() { s.AddKey(entratest.KeyOptions{Bits: 16384}) }},
		"key with a member that is none": {`member "x"`, func() { s.AddKey(entratest.KeyOptions{Members: map[string]any{"x": func() {}}}) }},
		"key that is no JSON":            {"not JSON", func() { s.AddKey(entratest.KeyOptions{Raw: []byte("{")}) }},
		"key of what is no app":          {"not a GUID", func() { s.AddKey(entratest.KeyOptions{AppID: "x"}) }},
		"claims that are no JSON":        {"part of a token", func() { s.Sign(nil, func() {}, nil) }},
		"cloud not valid":                {"not known", func() { s.SetCloud(cloud.Custom("http://x.test")) }},
		"cloud with unknown issuers":     {"not known", func() { s.SetCloud(cloud.Delos) }},
		"redirect over http":             {"neither https nor http on a loopback", func() { s.App().AddRedirectURI("http://app.test/cb") }},
		"required role not defined":      {`no role "Typo"`, func() { s.App().Require(s.API(), "Typo") }},
		"no role required":               {"no role is required", func() { s.App().Require(s.API()) }},
		"other server, require":          {"another Server", func() { s.App().Require(other.API(), "Data.Read.All") }},
		"API removed, require":           {"has been removed", func() { s.App().Require(goneAPI, "x") }},
		"key elsewhere": {"is not here", func() {
			i, err := s.AddIssuer("https://elsewhere.test", s.Issuer().JWKS())
			if err != nil {
				t.Fatal(err)
			}
			i.Token(entratest.Claims{})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.HasPrefix(v, "entratest: ") || !strings.Contains(v, tt.want) {
					t.Errorf("recovered %q, want a panic that names the package and says %q", v, tt.want)
				}
			}()
			tt.do()
		})
	}
}

// TestPanicsLeaveNothingBehind has the emulator as it was after a panic, and not
// locked.
func TestPanicsLeaveNothingBehind(t *testing.T) {
	s := entratest.New(t)
	s.AddTenant("taken.example")
	s.Tenant().NewResource("https://taken.test")
	for name, do := range map[string]func(){
		"tenant": func() { s.AddTenantID(fixedTenant, "new.example", "taken.example") },
		"API":    func() { s.Tenant().NewResourceID(fixedAPI, "https://taken.test") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			do()
		}()
	}
	s.AddTenantID(fixedTenant, "new.example").NewResourceID(fixedAPI, "")
}

// Six hundred characters, which are more bytes, are not too many.
func TestLongFederatedCredential(t *testing.T) {
	s := entratest.New(t)
	subject := strings.Repeat("ü", 600)
	s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: s.Issuer().URL(), Subject: subject, Audience: exchange(s)})
	got := postForm(t, s, s.Tenant().ID(), assertionForm(s, s.Issuer().Token(entratest.Claims{Subject: subject, Audience: exchange(s)})))
	if got.Status != 200 {
		t.Errorf("got %d %s", got.Status, got.Description)
	}
}
