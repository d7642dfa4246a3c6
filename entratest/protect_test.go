// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

const role = "Data.Read.All"

// callAPI calls a protected API in memory; an empty token is none.
func callAPI(api http.Handler, token string) *http.Response {
	req := httptest.NewRequest(http.MethodGet, "https://api.test/things", nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	api.ServeHTTP(rec, req)
	return rec.Result()
}

var served = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "things") })

// TestProtectInAnotherTenant has a token of version 1 for an API with the same
// URI, which is another one, in a tenant where the protected API is not.
func TestProtectInAnotherTenant(t *testing.T) {
	s := entratest.New(t)
	const uri = "https://api.contoso.example"
	here := s.Tenant().NewResource(uri, role)
	elsewhere := s.AddTenant()
	elsewhere.Install(s.App())
	other := elsewhere.NewResource(uri, role)
	other.SetTokenVersion(1)
	other.Grant(elsewhere, s.App(), role)
	form := secretForm(s)
	form.Set("scope", uri+"/.default")
	token := postForm(t, s, elsewhere.ID(), form).AccessToken
	api := here.Protect(served, role)
	expect := func(what string, api http.Handler, want int) {
		t.Helper()
		if got := callAPI(api, token).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	expect("its own API", other.Protect(served, role), 200)
	expect("not provided", api, 401)
	elsewhere.Provide(here)
	expect("provided", api, 200) // nothing in the token tells the two apart
	here.SetMultiTenant(false)
	expect("provided, but of a single tenant", api, 401)
}

// inMemory is an API without a socket, for both kinds of client.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, req)
	return rec.Result(), nil
}

func (m inMemory) Do(req *http.Request) (*http.Response, error) { return m.RoundTrip(req) }

func TestProtect(t *testing.T) {
	s, other := entratest.New(t), entratest.New(t)
	tid := s.Tenant().ID()
	fabrikam := s.AddTenant("fabrikam.example")
	neighbour := s.Tenant().NewResource("https://neighbour.test", role)
	neighbour.Grant(s.Tenant(), s.App(), role)
	token := func(s *entratest.Server, scope string, version int) string {
		t.Helper()
		s.API().SetTokenVersion(version)
		form := secretForm(s)
		form.Set("scope", scope)
		got := postForm(t, s, s.Tenant().ID(), form)
		if got.AccessToken == "" {
			t.Fatalf("%d %s", got.Status, got.Description)
		}
		return got.AccessToken
	}
	good := token(s, s.API().Scope(), 2)
	forged := func(edit func(c jwt.MapClaims)) string {
		c := claimsOf(t, good)
		edit(c)
		return s.Sign(nil, c, nil)
	}
	set := func(k string, v any) string { return forged(func(c jwt.MapClaims) { c[k] = v }) }
	del := func(k string) string { return forged(func(c jwt.MapClaims) { delete(c, k) }) }
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	parts := strings.Split(good, ".")
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claimsOf(t, good)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}

	wrongV1 := claimsOf(t, token(s, s.API().Scope(), 1))
	wrongV1["iss"] = s.Cloud().Authority() + "/" + fabrikam.ID() + "/"

	api := s.API().Protect(served, role)
	const invalid, scope = `error="invalid_token"`, `error="insufficient_scope"`
	for _, tt := range []struct {
		name, token string
		status      int
		challenge   string // part of it
	}{
		{"version 2", good, 200, ""},
		{"version 2 by app ID", token(s, s.API().AppID()+"/.default", 2), 200, ""},
		{"version 1", token(s, s.API().Scope(), 1), 200, ""},
		{"version 1 by app ID", token(s, s.API().AppID()+"/.default", 1), 200, ""},
		{"version 1 with a slash", token(s, s.API().URI()+"//.default", 1), 200, ""},
		{"forged well", forged(func(jwt.MapClaims) {}), 200, ""},
		{"clock a little off", set("nbf", in(20*time.Second)), 200, ""},

		{"none", "", 401, ""},
		{"no JWT", "x", 401, invalid},
		{"signature of something else", parts[0] + "." + parts[1] + "." + strings.Split(set("x", 1), ".")[2], 401, invalid},
		{"not signed", unsigned, 401, invalid},
		{"signed otherwise", s.Sign(map[string]any{"alg": "PS256", "kid": s.SigningKey().ID()}, claimsOf(t, good), nil), 401, invalid},
		{"another emulator's", token(other, other.API().Scope(), 2), 401, invalid},
		{"an outside issuer's", s.Issuer().Token(entratest.Claims{Audience: s.API().AppID()}), 401, invalid},
		{"of another API", token(s, neighbour.Scope(), 2), 401, invalid},
		{"ended", set("exp", in(-time.Minute)), 401, invalid},
		{"no end", del("exp"), 401, invalid},
		{"not yet valid", set("nbf", in(time.Minute)), 401, invalid},
		{"issuer of another tenant", set("iss", s.Cloud().Authority()+"/"+fabrikam.ID()+"/v2.0"), 401, invalid},
		{"issuer of another tenant, version 1", s.Sign(nil, wrongV1, nil), 401, invalid},
		{"issuer of version 1", set("iss", s.Cloud().Authority()+"/"+tid+"/"), 401, invalid},
		{"issuer without TLS", set("iss", "http://login.entra.test/"+tid+"/v2.0"), 401, invalid},
		{"issuer missing", del("iss"), 401, invalid},
		{"tenant unknown", set("tid", other.Tenant().ID()), 401, invalid},
		{"tenant by its domain", forged(func(c jwt.MapClaims) {
			c["tid"], c["iss"] = "fabrikam.example", s.Cloud().Authority()+"/"+fabrikam.ID()+"/v2.0"
		}), 401, invalid},
		{"tenant missing", del("tid"), 401, invalid},
		{"version unknown", set("ver", "3.0"), 401, invalid},
		{"version missing", del("ver"), 401, invalid},
		{"audience URI in version 2", set("aud", s.API().URI()), 401, invalid},
		{"audience missing", del("aud"), 401, invalid},
		{"two audiences", set("aud", []string{s.API().AppID(), neighbour.AppID()}), 401, invalid},
		{"of a user", set("idtyp", "user"), 403, ""},
		{"of nobody in particular", del("idtyp"), 403, ""},
		{"no roles", del("roles"), 403, scope},
		{"another role", set("roles", []string{"Data.Write.All"}), 403, scope},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := callAPI(api, tt.token)
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || (string(body) == "things") != (tt.status == 200) {
				t.Fatalf("got %s %q %v, want %d", resp.Status, body, err, tt.status)
			}
			got := resp.Header.Get("WWW-Authenticate")
			if tt.status == 200 {
				if got != "" {
					t.Errorf("a challenge beside a good answer: %s", got)
				}
				return
			}
			start := `Bearer realm="", authorization_uri="https://login.entra.test/common/oauth2/authorize"`
			if !strings.HasPrefix(got, start) || !strings.Contains(got, tt.challenge) || tt.challenge == "" && strings.Contains(got, " error=") {
				t.Errorf("challenge %s, want %s with %q", got, start, tt.challenge)
			}
		})
	}
	if got := callAPI(s.API().Protect(served, ""), del("roles")).StatusCode; got != 200 {
		t.Errorf("no role wanted, none there: %d, want 200", got)
	}
	defer func() {
		if v, _ := recover().(string); !strings.HasPrefix(v, "entratest: ") {
			t.Errorf("a role that is not defined: recovered %q, want a panic that names the package", v)
		}
	}()
	s.API().Protect(served, "Typo")
}

// TestProtectAgesTokens holds the API to the emulator's clock.
func TestProtectAgesTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetTokenLifetime(time.Hour)
		api := s.API().Protect(served, role)
		token := postForm(t, s, s.Tenant().ID(), secretForm(s)).AccessToken
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 200}, {time.Hour, 200}, {29 * time.Second, 200}, {time.Second, 401}} {
			time.Sleep(step.wait)
			if got := callAPI(api, token).StatusCode; got != step.want {
				t.Errorf("%v later: %d, want %d", step.wait, got, step.want)
			}
		}
		s.SetClockOffset(-time.Hour)
		if got := callAPI(api, token).StatusCode; got != 200 {
			t.Errorf("by a clock set back: %d, want 200", got)
		}
	})
}

// TestRevocation issues and revokes at one instant. Only a token that answers
// the challenge is later than the revocation.
func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetTokenLifetime(time.Hour)
		customer := s.AddTenant()
		customer.Install(s.App())
		customer.Provide(s.API())
		s.API().Grant(customer, s.App(), role)
		api := s.API().Protect(served, role)
		token := func(tenant *entratest.Tenant, claims string) string {
			t.Helper()
			form := secretForm(s)
			form.Set("claims", claims)
			return postForm(t, s, tenant.ID(), form).AccessToken
		}
		const cp1 = `{"access_token":{"xms_cc":{"values":["CP1"]}}}`
		able, unable, elsewhere := token(s.Tenant(), cp1), token(s.Tenant(), ""), token(customer, cp1)
		s.API().SetTokenVersion(1)
		ableV1 := token(s.Tenant(), cp1)
		s.Tenant().RevokeTokens(s.App())
		deaf := token(s.Tenant(), cp1)
		fresh := token(s.Tenant(), `{"access_token":{"xms_cc":{"values":["CP1"]},"nbf":{"essential":true,"value":"946684801"}}}`)
		changed := claimsOf(t, fresh)
		delete(changed, "iat")

		for _, tt := range []struct {
			name, token string
			want        int
		}{
			{"revoked", able, 401},
			{"revoked, version 1", ableV1, 401},
			{"revoked, cannot answer challenges", unable, 200},
			{"another tenant's", elsewhere, 200},
			{"issued afterwards, without the claims", deaf, 401},
			{"issued for the claims", fresh, 200},
			{"issued nobody knows when", s.Sign(nil, changed, nil), 401},
		} {
			resp := callAPI(api, tt.token)
			if resp.StatusCode != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, resp.StatusCode, tt.want)
			}
			if tt.want == 401 {
				// {"access_token":{"nbf":{"essential":true,"value":"946684801"}}}: a bubble's time begins in 2000.
				want := `Bearer realm="", authorization_uri="https://login.entra.test/common/oauth2/authorize", ` +
					`error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiI5NDY2ODQ4MDEifX19"`
				if got := resp.Header.Get("WWW-Authenticate"); got != want {
					t.Errorf("%s: challenge\n got %s\nwant %s", tt.name, got, want)
				}
			}
		}
		time.Sleep(time.Hour + 30*time.Second)
		if got := callAPI(api, unable).StatusCode; got != 401 {
			t.Errorf("the one that stayed good, after its end: %d, want 401", got)
		}
	})
}

// TestRevocationOfTheDeleted has a service principal deleted and made anew: what
// the old one got stays revoked.
func TestRevocationOfTheDeleted(t *testing.T) {
	for name, anew := range map[string]func(s *entratest.Server, app *entratest.App) *entratest.App{
		"service principal": func(s *entratest.Server, app *entratest.App) *entratest.App {
			s.Tenant().Uninstall(app)
			s.Tenant().Install(app)
			return app
		},
		"app": func(s *entratest.Server, app *entratest.App) *entratest.App {
			app.Remove()
			return s.Tenant().NewAppID(fixedApp)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			api := s.API().Protect(served, role)
			token := func(app *entratest.App) string {
				t.Helper()
				app.RemoveSecret("x")
				app.AddSecret("x", time.Now().Add(time.Hour))
				s.API().Grant(s.Tenant(), app, role)
				form := fixedForm(s)
				form.Set("claims", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`)
				return postForm(t, s, s.Tenant().ID(), form).AccessToken
			}
			app := s.Tenant().NewAppID(fixedApp)
			old := token(app)
			if got := callAPI(api, old).StatusCode; got != http.StatusOK {
				t.Fatalf("before: %d, want 200", got)
			}
			app = anew(s, app)
			fresh := token(app)
			if resp := callAPI(api, old); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("WWW-Authenticate"), "insufficient_claims") {
				t.Errorf("the token from before: %d %s, want a challenge", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
			}
			if got := callAPI(api, fresh).StatusCode; got != http.StatusOK {
				t.Errorf("a new token: %d, want 200", got)
			}
		})
	}
}

// TestRevocationAnswered has this module's client and the official one meet a
// revocation: one more token, and the call that was under way succeeds.
func TestRevocationAnswered(t *testing.T) {
	for name, caller := range map[string]func(t *testing.T, s *entratest.Server, api inMemory) func() (*http.Response, error){
		"apponly": func(t *testing.T, s *entratest.Server, api inMemory) func() (*http.Response, error) {
			client, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{
				Cloud: s.Cloud(), HTTPClient: s.HTTPClient(), Cache: apponly.NewCache(nil), CAE: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			rt, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{Base: api, Hosts: []string{"api.test"}})
			if err != nil {
				t.Fatal(err)
			}
			httpClient := &http.Client{Transport: rt}
			return func() (*http.Response, error) { return httpClient.Get("https://api.test/things") }
		},
		"azcore": func(t *testing.T, s *entratest.Server, api inMemory) func() (*http.Response, error) {
			cred, err := azidentity.NewClientSecretCredential(s.Tenant().ID(), s.App().ClientID(), s.Secret(), &azidentity.ClientSecretCredentialOptions{
				ClientOptions: azcore.ClientOptions{
					Cloud:     (&official{Server: s, authority: s.Cloud().Authority()}).options().Cloud,
					Transport: s.HTTPClient(),
				},
				DisableInstanceDiscovery: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			pipeline := runtime.NewPipeline("test", "v0", runtime.PipelineOptions{
				PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(cred, []string{s.API().Scope()}, nil)},
			}, &policy.ClientOptions{Transport: api})
			return func() (*http.Response, error) {
				req, err := runtime.NewRequest(t.Context(), http.MethodGet, "https://api.test/things")
				if err != nil {
					return nil, err
				}
				return pipeline.Do(req)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := entratest.New(t)
				s.SetTokenLifetime(time.Hour)
				call := caller(t, s, inMemory{s.API().Protect(served, role)})
				for _, step := range []struct {
					name    string
					before  func()
					request int // to the token endpoint, in all
				}{
					{"first call", func() {}, 1},
					{"same token", func() { time.Sleep(time.Minute) }, 1},
					{"revoked", func() { s.Tenant().RevokeTokens(s.App()) }, 2},
					{"new token", func() {}, 2},
					{"another app revoked", func() { s.Tenant().RevokeTokens(s.Tenant().NewApp()) }, 2},
					{"revoked again", func() { time.Sleep(5 * time.Minute); s.Tenant().RevokeTokens(s.App()) }, 3},
				} {
					step.before()
					resp, err := call()
					if err != nil {
						t.Fatalf("%s: %v", step.name, err)
					}
					resp.Body.Close()
					if got := s.TokenRequests(); resp.StatusCode != http.StatusOK || got != step.request {
						t.Errorf("%s: %s after %d token requests, want 200 after %d", step.name, resp.Status, got, step.request)
					}
				}
			})
		})
	}
}
