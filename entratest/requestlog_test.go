// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

func TestRequests(t *testing.T) {
	s := entratest.New(t)
	tenant := s.AddTenant("contoso.example")
	tenant.Install(s.App())
	tenant.Provide(s.API())
	self, federated := selfSigned(s, nil), s.FederatedToken()
	secrets := []string{s.Secret(), self, federated}
	scope := s.API().Scope()

	token := postForm(t, s, s.Tenant().ID(), secretForm(s)).AccessToken
	secrets = append(secrets, token)
	postForm(t, s, "contoso.example", secretForm(s))
	postForm(t, s, s.Tenant().ID(), assertionForm(s, self))
	postForm(t, s, s.Tenant().ID(), assertionForm(s, federated))
	postForm(t, s, "nobody.example", secretForm(s))
	swapped := secretForm(s) // a mistake people make
	swapped.Set("client_id", s.Secret())
	swapped.Set("client_secret", s.App().ClientID())
	postForm(t, s, s.Tenant().ID(), swapped)
	swapped = secretForm(s)
	swapped.Set("scope", s.Secret())
	swapped.Set("client_secret", scope)
	postForm(t, s, s.Tenant().ID(), swapped)
	swapped.Set("scope", s.Secret()+"/.default")
	postForm(t, s, s.Tenant().ID(), swapped)
	swapped.Set("scope", "https://user:"+s.Secret()+"@api.test/.default")
	postForm(t, s, s.Tenant().ID(), swapped)
	postForm(t, s, s.Secret(), secretForm(s))
	if resp, err := s.HTTPClient().Get(s.Cloud().Authority() + "/" + s.Secret()); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Fatal(resp, err)
	}
	wrong := secretForm(s) // what is no secret is kept, wrong or not
	wrong.Set("scope", "orders.contoso.example/.default openid https://x.test/read")
	postForm(t, s, "consumers", wrong)
	if resp, err := s.HTTPClient().Get(s.Cloud().Authority() + "/common/discovery/keys?client_secret=" + url.QueryEscape(s.Secret())); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}

	log := s.Requests()
	id, app := s.Tenant().ID(), s.App().ClientID()
	path := "/oauth2/v2.0/token"
	want := []entratest.Request{
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, Scope: scope, AuthMethod: "secret", Status: 200},
		{Method: "POST", Path: "/contoso.example" + path, Tenant: tenant.ID(), ClientID: app, Scope: scope, AuthMethod: "secret", Status: 200},
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, Scope: scope, AuthMethod: "certificate", Status: 200},
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, Scope: scope, AuthMethod: "federated", Status: 200},
		{Method: "POST", Path: "/nobody.example" + path, Tenant: "nobody.example", ClientID: app, Scope: scope, AuthMethod: "secret", Status: 400, Code: 90002},
		{Method: "POST", Path: "/" + id + path, Tenant: id, Scope: scope, AuthMethod: "secret", Status: 400, Code: 700016},
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, AuthMethod: "secret", Status: 400, Code: 1002012},
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, AuthMethod: "secret", Status: 401, Code: 7000215},
		{Method: "POST", Path: "/" + id + path, Tenant: id, ClientID: app, AuthMethod: "secret", Status: 401, Code: 7000215},
		{Method: "POST", Path: "/(hidden)" + path, ClientID: app, Scope: scope, AuthMethod: "secret", Status: 400, Code: 900023},
		{Method: "GET", Path: "/(hidden)", Status: 404},
		{Method: "POST", Path: "/consumers" + path, Tenant: "consumers", ClientID: app, Scope: wrong.Get("scope"), AuthMethod: "secret", Status: 400, Code: 9001023},
		{Method: "GET", Path: "/common/discovery/keys", Tenant: "common", Status: 200},
	}
	if len(log) != len(want) {
		t.Fatalf("%d requests recorded, want %d", len(log), len(want))
	}
	for i, got := range log {
		if time.Since(got.Time).Abs() > time.Minute || got.Host != "login.entra.test" {
			t.Errorf("request %d: time %v, host %q", i, got.Time, got.Host)
		}
		got.Time, got.Host, got.Comparisons = time.Time{}, "", nil
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("request %d\n got %+v\nwant %+v", i, got, want[i])
		}
	}
	if got := s.TokenRequests(); got != 11 {
		t.Errorf("TokenRequests = %d, want 11", got)
	}

	data, err := json.Marshal(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		// The signature alone would be bad enough.
		parts := strings.Split(secret, ".")
		if strings.Contains(string(data), secret) || strings.Contains(string(data), parts[len(parts)-1]) {
			t.Errorf("the record holds a credential: %s", data)
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := entratest.New(t)
	c := s.HTTPClient()
	const max, more = 10_000, 5
	long := strings.Repeat("x", 100_000)
	for i := range max + more {
		p := "/first.example"
		switch i {
		case more:
			p = "/oldest.example"
		case max + more - 1:
			p = "/long.example/" + long
		}
		resp, err := c.Get(s.Cloud().Authority() + p)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	log := s.Requests()
	if len(log) != max || log[0].Path != "/oldest.example" || len(log[max-1].Path) > 300 {
		t.Errorf("%d requests, first %s, last of %d bytes", len(log), log[0].Path, len(log[max-1].Path))
	}
}

// TestRecordLetsRequestsGo sends large requests, of which the record keeps a line.
func TestRecordLetsRequestsGo(t *testing.T) {
	s := entratest.New(t)
	endpoint := s.Cloud().TokenEndpoint(s.Tenant().ID())
	const n, size = 50, 500_000
	large := strings.Repeat("x", size)
	for name, send := range map[string]func() (*http.Response, error){
		"body": func() (*http.Response, error) {
			form := secretForm(s)
			form.Set("scope", "openid")
			form.Set("zzz", large)
			return s.HTTPClient().PostForm(endpoint, form)
		},
		"query": func() (*http.Response, error) {
			// The method and the path are slices of one line, as net/http reads it.
			line := "GET " + endpoint + "?zzz=" + large
			req, err := http.NewRequest(line[:3], line[4:], nil)
			if err != nil {
				return nil, err
			}
			return s.HTTPClient().Do(req)
		},
	} {
		before := heap()
		for range n {
			resp, err := send()
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if each := (heap() - before) / n; each > size/10 {
			t.Errorf("%d bytes stay of every large %s", each, name)
		}
	}
	runtime.KeepAlive(s)
}

// TestChangesWhileServing is for the race detector: all state changes while
// requests run.
func TestChangesWhileServing(t *testing.T) {
	s := entratest.New(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				for _, form := range []url.Values{
					secretForm(s), assertionForm(s, selfSigned(s, nil)), assertionForm(s, s.FederatedToken()),
				} {
					if got := postForm(t, s, s.Tenant().ID(), form); got.Status != http.StatusOK {
						t.Errorf("got %d %s", got.Status, got.Description)
					}
				}
				s.Requests()
				s.TokenRequests()
				page(t, s, "")
				for _, path := range []string{"requests", "counters", "faults", "throttle", "clock"} {
					admin(t, s, "GET", path, "", nil)
				}
			}
		})
	}
	spare := s.NewIssuer("https://spare.test")
	wg.Go(func() {
		for i := range 30 {
			now := time.Now()
			s.App().RemoveSecret(s.App().NewSecret(now.Add(time.Hour)))
			s.App().RemoveCertificate(s.App().NewCertificate(now, now.Add(time.Hour)).Leaf)
			fc := entratest.FederatedCredential{Issuer: s.NewIssuer("https://i.test").URL(), Subject: "x", Audience: "a"}
			s.App().AddFederatedCredential(fc)
			s.App().RemoveFederatedCredential(fc)
			s.API().SetTokenVersion(1 + i%2)
			s.API().Grant(s.Tenant(), s.App(), "Data.Write.All")
			s.API().Revoke(s.Tenant(), s.App(), "Data.Write.All")
			s.SetTokenLifetime(time.Hour)
			s.SetRefreshIn(time.Minute)
			spare.Rollover()
			spare.JWKS()
			spare.SetReachable(i%2 == 0)
			s.Rollover()
			s.SetClockOffset(time.Duration(i) * time.Millisecond)
			remove, err := s.AddFault(entratest.Fault{Endpoint: "keys", Status: 500})
			if err != nil {
				t.Error(err)
				return
			}
			remove()
			s.ClearFaults()
			s.SetThrottle(entratest.Throttle{Requests: 1000, Per: time.Hour})
			s.SetAdmin(true)
			s.SetPropagation(0)
			s.Tenant().AddDomain(fmt.Sprintf("d%d.example", i))
			s.Tenant().Block(s.App(), 0)
			s.Tenant().RevokeTokens(s.App())
			s.Tenant().SetAssignmentRequired(s.API(), i%2 == 0)
			s.API().AddURI(fmt.Sprintf("https://u%d.test", i))
			tenant := s.AddTenant()
			app, api := tenant.NewApp(), tenant.NewResource("")
			s.Tenant().Install(app)
			s.Tenant().Provide(api)
			s.Tenant().Uninstall(app)
			s.Tenant().Withdraw(api)
			app.Remove()
			tenant.Remove()
		}
	})
	wg.Wait()
}

// Programs that read the counters get objects, also before there is anything.
func TestCountersOfNothing(t *testing.T) {
	data, err := json.Marshal(entratest.New(t).Counters())
	if want := `{"requests":0,"endpoints":{},"statuses":{},"codes":{},"faults":0,"throttled":0,"early_returns":0}`; err != nil || string(data) != want {
		t.Errorf("%s, %v, want %s", data, err, want)
	}
}

// The scopes that people get wrong most are what one looks for in a record.
func TestRecordKeepsWrongScopes(t *testing.T) {
	s := entratest.New(t)
	id := s.API().AppID()
	for _, scope := range []string{"https://graph.microsoft.com", "api://orders", "api://" + id, id, id + "/.default", "GRAPH.microsoft.com/.default", "https://graph.microsoft.com/User.Read openid"} {
		form := secretForm(s)
		form.Set("scope", scope)
		postForm(t, s, s.Tenant().ID(), form)
		if log := s.Requests(); log[len(log)-1].Scope != scope {
			t.Errorf("scope %q is recorded as %q", scope, log[len(log)-1].Scope)
		}
	}
}
