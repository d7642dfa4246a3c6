// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// TestIdentityIsTrusted exchanges the token of a managed identity for one of an
// app, in the app's tenant and in that of a customer.
func TestIdentityIsTrusted(t *testing.T) {
	s := entratest.New(t)
	tenant := customer(s)
	send := identity(home, exchange, entratest.FederatedCredential{})(s)
	for _, id := range []string{s.Tenant().ID(), tenant.ID()} {
		r := &wrongRequest{form: secretForm(s)}
		send(r)
		got := postForm(t, s, id, r.form)
		if got.Status != http.StatusOK {
			t.Fatalf("got %d %s", got.Status, got.Description)
		}
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), id, got.AccessToken)
		if claims["azp"] != s.App().ClientID() || claims["tid"] != id || claims["azpacr"] != "2" {
			t.Errorf("claims %v", claims)
		}
	}

	s.Rollover() // the key it is signed with is published still
	r := &wrongRequest{form: secretForm(s)}
	send(r)
	if got := postForm(t, s, s.Tenant().ID(), r.form); got.Status != http.StatusOK {
		t.Errorf("after a rollover: %d %s", got.Status, got.Description)
	}
}

func TestIdentityToken(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	clientID, objectID := m.ClientID(), m.ObjectID()
	base := s.Cloud().Authority()
	for resource, aud := range map[string]string{
		s.Cloud().ExchangeAudience():   "fb60f99c-7a34-4190-8149-302f77469936",
		cloud.China.ExchangeAudience(): cloud.China.ExchangeAudience(),
		s.API().URI():                  s.API().AppID(),
		"api://" + s.API().AppID():     s.API().AppID(),
	} {
		token, lifetime, code := s.IdentityToken(s.Tenant(), clientID, resource)
		if code != 0 || lifetime != 24*time.Hour {
			t.Fatalf("%s: AADSTS%d, lives for %v", resource, code, lifetime)
		}
		_, claims := verify(t, s.HTTPClient(), base, s.Tenant().ID(), token)
		if claims["aud"] != aud || claims["sub"] != objectID || claims["azp"] != clientID || claims["roles"] != nil {
			t.Errorf("%s: claims %v", resource, claims)
		}
	}
	s.SetTokenLifetime(time.Hour)
	if _, lifetime, _ := s.IdentityToken(s.Tenant(), clientID, s.API().URI()); lifetime != time.Hour {
		t.Errorf("lives for %v, want the hour that was set", lifetime)
	}

	for name, tt := range map[string]struct {
		tenant             *entratest.Tenant
		clientID, resource string
		code               int
	}{
		"resource unknown": {s.Tenant(), clientID, "https://nobody.test", 500011},
		"identity unknown": {s.Tenant(), "11111111-2222-4333-8444-555555555555", s.API().URI(), 700016},
		"other tenant":     {s.AddTenant(), clientID, s.API().URI(), 700016},
	} {
		if _, _, code := s.IdentityToken(tt.tenant, tt.clientID, tt.resource); code != tt.code {
			t.Errorf("%s: AADSTS%d, want %d", name, code, tt.code)
		}
	}
}

// TestIdentityIsAnApp gives a managed identity a role and a federated credential,
// and takes it away.
func TestIdentityIsAnApp(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	if m.App().ClientID() != m.ClientID() {
		t.Errorf("client ID %s, of its app %s", m.ClientID(), m.App().ClientID())
	}
	s.Tenant().SetAssignmentRequired(s.API(), true)
	ask := func() (token string, code int) {
		token, _, code = s.IdentityToken(s.Tenant(), m.ClientID(), s.API().URI())
		return token, code
	}
	if _, code := ask(); code != 501051 {
		t.Errorf("without a role: AADSTS%d, want 501051", code)
	}
	s.API().Grant(s.Tenant(), m.App(), role)
	token, code := ask()
	if code != 0 {
		t.Fatalf("with a role: AADSTS%d", code)
	}
	if got := fmt.Sprint(claimsOf(t, token)["roles"]); got != "["+role+"]" {
		t.Errorf("roles %s", got)
	}
	s.Tenant().Block(m.App(), 53003)
	if _, code := ask(); code != 53003 {
		t.Errorf("blocked: AADSTS%d, want 53003", code)
	}
	s.Tenant().Block(m.App(), 0)

	m.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: s.Issuer().URL(), Subject: demoSubject, Audience: exchange(s)})
	form := assertionForm(s, s.FederatedToken())
	form.Set("client_id", m.ClientID())
	got := postForm(t, s, s.Tenant().ID(), form)
	if got.Status != http.StatusOK || got.ExpiresIn != 24*60*60 {
		t.Errorf("by a federated credential: %d %s, expires_in %d, want a day", got.Status, got.Description, got.ExpiresIn)
	}

	imds := sourceRequest{"GET", "http://169.254.169.254/metadata/identity/oauth2/token",
		url.Values{"api-version": {"2018-02-01"}, "resource": {s.API().URI()}}, http.Header{"Metadata": {"true"}}}
	if got := imds.send(t, s); got.status != http.StatusOK {
		t.Errorf("the machine: %d %s", got.status, got.body)
	}
	m.App().Remove()
	if got := imds.send(t, s); got.status != http.StatusBadRequest || !strings.Contains(got.body, "Identity not found") {
		t.Errorf("the machine without it: %d %s", got.status, got.body)
	}
}

// TestIdentityInALargeTenant keeps the cost of an exchange from growing with the
// tenant.
func TestIdentityInALargeTenant(t *testing.T) {
	cost := func(n int) time.Duration {
		s := entratest.New(t)
		for range n {
			s.Tenant().NewApp()
		}
		m := s.Tenant().NewManagedIdentity()
		s.App().AddFederatedCredential(m.FederatedCredential())
		token, _, _ := s.IdentityToken(s.Tenant(), m.ClientID(), exchange(s))
		begin := time.Now()
		for range 10 {
			if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusOK {
				t.Fatalf("got %d %s", got.Status, got.Description)
			}
		}
		return time.Since(begin)
	}
	cost(10)
	if few, many := cost(10), cost(100_000); many > 10*few {
		t.Errorf("ten exchanges take %v in a tenant of ten apps, %v in one of 100,000", few, many)
	}
}

// TestIdentityOfATenantThatIsNot has IMDS hold to the tenant as the token
// endpoint does.
func TestIdentityOfATenantThatIsNot(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenant()
	tenant.Provide(s.API())
	m := tenant.NewManagedIdentity()
	for _, step := range []struct {
		name   string
		change func()
		code   int
	}{
		{"as it is", func() {}, 0},
		{"suspended", func() { tenant.SetDisabled(true) }, 5000224},
		{"resumed", func() { tenant.SetDisabled(false) }, 0},
		{"removed", tenant.Remove, 90002},
		{"its ID another's", func() { s.AddTenantID(tenant.ID()) }, 90002},
	} {
		step.change()
		if _, _, code := s.IdentityToken(tenant, m.ClientID(), s.API().URI()); code != step.code {
			t.Errorf("%s: AADSTS%d, want %d", step.name, code, step.code)
		}
	}
}

// TestIdentityOfTheTenantBefore sends the token of an identity to a tenant that
// has the ID of the identity's, which was removed.
func TestIdentityOfTheTenantBefore(t *testing.T) {
	s := entratest.New(t)
	before := s.AddTenant()
	m := before.NewManagedIdentity()
	token, _, _ := s.IdentityToken(before, m.ClientID(), s.Cloud().ExchangeAudience())
	before.Remove()
	tenant := s.AddTenantID(before.ID())
	tenant.Provide(s.API())
	app := tenant.NewApp()
	app.AddFederatedCredential(m.FederatedCredential())
	form := assertionForm(s, token)
	form.Set("client_id", app.ClientID())
	if got := postForm(t, s, tenant.ID(), form); !slices.Equal(got.Codes, []int{700226}) {
		t.Errorf("got %d %s, want AADSTS700226", got.Status, got.Description)
	}
}

// TestIdentityInstalledElsewhere takes an identity's app from a tenant that is not
// its own.
func TestIdentityInstalledElsewhere(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	s.App().AddFederatedCredential(m.FederatedCredential())
	other := s.AddTenant()
	other.Install(m.App())
	other.Uninstall(m.App())
	token, _, _ := s.IdentityToken(s.Tenant(), m.ClientID(), s.Cloud().ExchangeAudience())
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusOK {
		t.Errorf("as an assertion: %d %s", got.Status, got.Description)
	}
}

// TestIdentityKeepsItsObjectID takes the service principal away and brings it
// back: it is the identity itself.
func TestIdentityKeepsItsObjectID(t *testing.T) {
	s := entratest.New(t)
	m := s.Tenant().NewManagedIdentity()
	s.Tenant().Uninstall(m.App())
	if _, _, code := s.IdentityToken(s.Tenant(), m.ClientID(), s.API().URI()); code != 7000229 {
		t.Errorf("uninstalled: AADSTS%d, want 7000229", code)
	}
	s.Tenant().Install(m.App())
	token, _, code := s.IdentityToken(s.Tenant(), m.ClientID(), s.Cloud().ExchangeAudience())
	if code != 0 || claimsOf(t, token)["sub"] != m.ObjectID() {
		t.Fatalf("AADSTS%d, sub %v, want %s", code, claimsOf(t, token)["sub"], m.ObjectID())
	}
	s.App().AddFederatedCredential(m.FederatedCredential())
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusOK {
		t.Errorf("as an assertion: %d %s", got.Status, got.Description)
	}
}

// TestChosenIdentities has a machine with identities of both kinds, whose IDs stand in
// somebody's fixtures.
func TestChosenIdentities(t *testing.T) {
	const (
		clientID   = "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9"
		objectID   = "1b2c3d4e-5f60-4172-8394-a5b6c7d8e9f0"
		resourceID = "/subscriptions/a/resourceGroups/b/providers/Microsoft.ManagedIdentity/userAssignedIdentities/c"
	)
	s := entratest.New(t)
	m := s.Tenant().AddManagedIdentity(entratest.ManagedIdentityOptions{ClientID: strings.ToUpper(clientID), ObjectID: objectID, ResourceID: resourceID})
	if m.ClientID() != clientID || m.ObjectID() != objectID || m.ResourceID() != resourceID {
		t.Errorf("%s, %s, %s are not the IDs that were chosen", m.ClientID(), m.ObjectID(), m.ResourceID())
	}
	other := s.Tenant().NewManagedIdentity()
	ask := func(service, selector string) string {
		req, err := http.NewRequest(http.MethodGet, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource="+s.API().AppID()+selector, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Metadata", "true")
		if service == "site" {
			req.URL, _ = url.Parse(m.Env()["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=" + s.API().AppID() + selector)
			req.Header.Set("X-IDENTITY-HEADER", m.Env()["IDENTITY_HEADER"])
		}
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		resp, err := s.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if json.NewDecoder(resp.Body).Decode(&answer) != nil || resp.StatusCode != http.StatusOK {
			return fmt.Sprint(resp.StatusCode)
		}
		return fmt.Sprint(claimsOf(t, answer.AccessToken)["oid"])
	}
	check := func(service, selector, want string) {
		t.Helper()
		if got := ask(service, selector); got != want {
			t.Errorf("%s, %q: %s, want %s", service, selector, got, want)
		}
	}
	check("machine", "", "400")
	check("site", "", "400")
	system := s.Tenant().AddManagedIdentity(entratest.ManagedIdentityOptions{SystemAssigned: true})
	for _, service := range []string{"machine", "site"} {
		check(service, "", system.ObjectID())
		check(service, "&client_id="+clientID, objectID)
		check(service, "&object_id="+system.ObjectID(), system.ObjectID())
	}
	check("machine", "&client_id="+other.ClientID(), other.ObjectID())
	check("site", "&client_id="+other.ClientID(), "400")

	for name, opts := range map[string]entratest.ManagedIdentityOptions{
		"second of the machine": {SystemAssigned: true},
		"client ID taken":       {ClientID: clientID},
		"object ID taken":       {ObjectID: strings.ToUpper(objectID)},
		"resource ID taken":     {ResourceID: resourceID},
		"no client ID":          {ClientID: "worker"},
		"no object ID":          {ObjectID: "worker"},
		"no resource ID":        {ResourceID: "worker"},
	} {
		if _, err := s.Loader().AddManagedIdentity(s.Tenant(), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestIdentityTrustedByAnyName registers the issuer by the name that the real one has.
func TestIdentityTrustedByAnyName(t *testing.T) {
	s := entratest.New(t)
	client := throughProxyOf(t, s, false)
	m := s.Tenant().NewManagedIdentity()
	fc := m.FederatedCredential()
	fc.Issuer = "https://login.microsoftonline.com/" + s.Tenant().ID() + "/v2.0"
	s.App().AddFederatedCredential(fc)
	token, _, code := s.IdentityToken(s.Tenant(), m.ClientID(), s.Cloud().ExchangeAudience())
	if code != 0 {
		t.Fatalf("AADSTS%d", code)
	}
	form := assertionForm(s, token)
	resp, err := client.PostForm("https://login.microsoftonline.com/"+s.Tenant().ID()+"/oauth2/v2.0/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s; want a token", resp.Status)
	}
	if got := postForm(t, s, s.Tenant().ID(), form); !slices.Equal(got.Codes, []int{700222}) {
		t.Errorf("by a name that is not registered: %d %v, want 700222", got.Status, got.Codes)
	}
}

func TestListenAPI(t *testing.T) {
	s := entratest.New(t)
	base, err := s.ListenAPI("127.0.0.1:0", s.API().Protect(served, role))
	if err != nil {
		t.Fatal(err)
	}
	client := secureClient(t, s, true)
	req, err := http.NewRequest(http.MethodGet, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", postForm(t, s, s.Tenant().ID(), secretForm(s)).AccessToken} {
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == http.StatusOK) != (token != "") {
			t.Errorf("with a token of %d bytes: %s", len(token), resp.Status)
		}
	}
	s.Close()
	if _, err := s.ListenAPI("127.0.0.1:0", nil); err == nil {
		t.Error("it serves after Close")
	}
}

func TestListenHTTP(t *testing.T) {
	s := entratest.New(t)
	base, err := s.ListenHTTP("localhost:0")
	if err != nil || !strings.HasPrefix(base, "http://localhost:") || s.StartHTTP() != base {
		t.Errorf("%s, %v; then %s", base, err, s.StartHTTP())
	}
	for _, addr := range []string{"127.0.0.1:0", "127.0.0.1"} {
		if _, err := s.ListenHTTP(addr); err == nil || !strings.Contains(err.Error(), base) {
			t.Errorf("a second time: %v", err)
		}
	}
}
