// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

const consentRedirect = "https://app.example/consent/callback"

// A consentCase is a request for the consent page of the demo app in another tenant, in
// which the demo API is; its edit breaks something.
type consentCase struct {
	s         *entratest.Server
	customer  *entratest.Tenant
	tenant    string // in the path
	path      string
	method    string
	query     url.Values
	form      url.Values  // of the answer to the page
	header    http.Header // with it
	follow    string      // another address that the form is sent to
	formAgain bool
}

func newConsentCase(t *testing.T, edit func(*consentCase)) *consentCase {
	s := entratest.New(t)
	s.App().AddRedirectURI(consentRedirect)
	c := &consentCase{
		s: s, customer: s.AddTenant("customer.example"), path: "/v2.0/adminconsent", method: http.MethodGet,
		query: url.Values{"client_id": {s.App().ClientID()}, "redirect_uri": {consentRedirect}, "state": {"s t&a=te"}, "scope": {s.API().Scope()}},
		form:  url.Values{"decision": {"approve"}}, header: http.Header{},
	}
	c.tenant = c.customer.ID()
	c.customer.Provide(s.API())
	if edit != nil {
		edit(c)
	}
	return c
}

// v1 makes it the older form of the request.
func (c *consentCase) v1() {
	c.path = "/adminconsent"
	c.query.Del("scope")
}

// A consentAnswer is a page, or a redirect.
type consentAnswer struct {
	status   int
	header   http.Header
	body     string
	location *url.URL
}

func (c *consentCase) address() string {
	return c.s.Cloud().Authority() + "/" + c.tenant + c.path + "?" + c.query.Encode()
}

func (c *consentCase) send(t *testing.T, method, address string, header http.Header, body string) consentAnswer {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	client := c.s.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := consentAnswer{status: resp.StatusCode, header: resp.Header, body: string(page)}
	if where := resp.Header.Get("Location"); where != "" {
		if a.location, err = url.Parse(where); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

// decide opens the page and answers it.
func (c *consentCase) decide(t *testing.T) consentAnswer {
	t.Helper()
	page := c.send(t, c.method, c.address(), nil, "")
	token := formToken.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || token == nil {
		t.Fatalf("no page: %d %s", page.status, page.body)
	}
	form, header := c.form, c.header.Clone()
	if !form.Has("form") {
		form.Set("form", token[1])
	}
	for name, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": c.s.Cloud().Authority()} {
		if header[name] == nil {
			header.Set(name, value)
		}
	}
	address := c.address()
	if c.follow != "" {
		address = c.follow
	}
	answer := c.send(t, http.MethodPost, address, header, form.Encode())
	if c.formAgain {
		answer = c.send(t, http.MethodPost, address, header, form.Encode())
	}
	return answer
}

// token asks for one in the customer's tenant, and returns its roles.
func (c *consentCase) roles(t *testing.T) (roles []any, code int) {
	t.Helper()
	got := postForm(t, c.s, c.customer.ID(), secretForm(c.s))
	if got.AccessToken == "" {
		return nil, got.Codes[0]
	}
	roles, _ = claimsOf(t, got.AccessToken)["roles"].([]any)
	return roles, 0
}

// badConsents are requests that are refused on the page.
var badConsents = []struct {
	name string
	edit func(*consentCase)
	code int
}{
	{"no client", func(c *consentCase) { c.query.Del("client_id") }, 900144},
	{"an empty client", func(c *consentCase) { c.query.Set("client_id", "") }, 900144},
	{"no redirect", func(c *consentCase) { c.query.Del("redirect_uri") }, 900144},
	{"no scope", func(c *consentCase) { c.query.Del("scope") }, 900144},
	{"two clients", func(c *consentCase) { c.query.Add("client_id", "x") }, 9002313},
	{"two redirects", func(c *consentCase) { c.query.Add("redirect_uri", "https://evil.example") }, 9002313},
	{"two states", func(c *consentCase) { c.query.Add("state", "x") }, 9002313},
	{"a query that is none", func(c *consentCase) { c.path += "?%zz&"; c.query = nil }, 9002313},
	{"a scope of a user", func(c *consentCase) { c.query.Set("scope", "https://graph.example/Mail.Read") }, 1002012},
	{"two scopes", func(c *consentCase) { c.query.Set("scope", "a/.default b/.default") }, 700022},
	{"a scope and more", func(c *consentCase) { c.query.Set("scope", c.s.API().Scope()+" "+c.s.API().URI()+"/x") }, 70011},

	{"an unknown client", func(c *consentCase) { c.query.Set("client_id", c.customer.ID()) }, 700016},
	{"markup for a client", func(c *consentCase) { c.query.Set("client_id", "<script>") }, 700016},
	{"a resource for a client", func(c *consentCase) { c.query.Set("client_id", c.s.API().AppID()) }, 700016},
	{"a removed client", func(c *consentCase) { c.s.App().Remove() }, 700016},
	{"a client of one tenant", func(c *consentCase) { c.s.App().SetMultiTenant(false) }, 700016},
	{"a client of one tenant in any", func(c *consentCase) { c.s.App().SetMultiTenant(false); c.tenant = "organizations" }, 50194},
	{"a disabled client", func(c *consentCase) { c.s.App().SetDisabled(true) }, 7000112},
	{"a client that is not known everywhere yet", func(c *consentCase) {
		c.s.SetPropagation(1e9)
		a := c.s.Tenant().NewApp()
		a.AddRedirectURI(consentRedirect)
		c.query.Set("client_id", a.ClientID())
	}, 700016},

	{"another redirect", func(c *consentCase) { c.query.Set("redirect_uri", "https://evil.example/") }, 50011},
	{"a redirect that was removed", func(c *consentCase) { c.s.App().RemoveRedirectURI(consentRedirect) }, 50011},
	{"a redirect of another app", func(c *consentCase) {
		c.s.Tenant().NewApp().AddRedirectURI("https://other.example/cb")
		c.query.Set("redirect_uri", "https://other.example/cb")
	}, 50011},
	{"a redirect in upper case", func(c *consentCase) { c.query.Set("redirect_uri", strings.ToUpper(consentRedirect)) }, 50011},
	{"a redirect with a slash", func(c *consentCase) { c.query.Set("redirect_uri", consentRedirect+"/") }, 50011},
	{"a redirect with a query", func(c *consentCase) { c.query.Set("redirect_uri", consentRedirect+"?x=y") }, 50011},
	{"a longer redirect", func(c *consentCase) { c.query.Set("redirect_uri", consentRedirect+"/more") }, 50011},
	{"v1: a redirect that goes up", func(c *consentCase) { c.v1(); c.query.Set("redirect_uri", consentRedirect+"/../../evil") }, 50011},
	{"v1: a redirect that goes up, encoded", func(c *consentCase) { c.v1(); c.query.Set("redirect_uri", consentRedirect+"/%2e%2e/evil") }, 50011},
	{"v1: a longer name", func(c *consentCase) { c.v1(); c.query.Set("redirect_uri", consentRedirect+"evil") }, 50011},
	{"v1: a user's name", func(c *consentCase) {
		c.v1()
		c.s.App().AddRedirectURI("https://app.example")
		c.query.Set("redirect_uri", "https://app.example@evil.example/")
	}, 50011},
	{"v1: more behind a query", func(c *consentCase) {
		c.v1()
		c.s.App().AddRedirectURI(consentRedirect + "?a=b")
		c.query.Set("redirect_uri", consentRedirect+"?a=b/more")
	}, 50011},
	{"v1: a line break", func(c *consentCase) { c.v1(); c.query.Set("redirect_uri", consentRedirect+"/a\r\nX: y") }, 50011},

	{"an unknown tenant", func(c *consentCase) { c.tenant = "22222222-2222-4222-8222-222222222222" }, 90002},
	{"an unknown domain", func(c *consentCase) { c.tenant = "nobody.example" }, 90002},
	{"personal accounts", func(c *consentCase) { c.tenant = "consumers" }, 90002},
	{"a word", func(c *consentCase) { c.tenant = "contoso" }, 900023},
	{"common, in v2", func(c *consentCase) { c.tenant = "common" }, 900023},
	{"the empty tenant", func(c *consentCase) { c.tenant = "00000000-0000-0000-0000-000000000000" }, 900021},
	{"a suspended tenant", func(c *consentCase) { c.customer.SetDisabled(true) }, 5000224},
	{"a tenant of another cloud", func(c *consentCase) { c.customer.SetOtherCloud(true) }, 900382},
	{"a removed tenant", func(c *consentCase) { c.customer.Remove() }, 90002},

	{"an API that nobody has", func(c *consentCase) { c.query.Set("scope", "api://nobody/.default") }, 500011},
	{"an API that is not in the tenant", func(c *consentCase) { c.customer.Withdraw(c.s.API()) }, 650052},
	{"an API that is not in the tenant, by its ID", func(c *consentCase) {
		c.customer.Withdraw(c.s.API())
		c.query.Set("scope", c.s.API().AppID()+"/.default")
	}, 650052},
	{"an API of one tenant", func(c *consentCase) { c.s.API().SetMultiTenant(false) }, 650052},
	{"an API that is not known everywhere yet", func(c *consentCase) {
		c.customer.Withdraw(c.s.API())
		c.s.SetPropagation(1e9)
		c.customer.Provide(c.s.API())
	}, 650052},
	{"v1: one of the APIs is not in the tenant", func(c *consentCase) {
		c.v1()
		c.s.App().Require(c.s.Tenant().NewResource("api://second", "A"), "A")
	}, 650052},
	{"v1: an API that was removed", func(c *consentCase) { c.v1(); c.s.API().Remove() }, 650052},
	{"a fault", func(c *consentCase) {
		_, _ = c.s.AddFault(entratest.Fault{Endpoint: "consent", Code: 90033})
	}, 90033},
	{"a fault of the account, but another redirect", func(c *consentCase) {
		_, _ = c.s.AddFault(entratest.Fault{Endpoint: "consent", Code: 50020})
		c.query.Set("redirect_uri", "https://evil.example/")
	}, 50020},
}

func TestConsentIsRefusedOnThePage(t *testing.T) {
	for _, tt := range badConsents {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsentCase(t, tt.edit)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				got := c.send(t, method, c.address(), http.Header{}, "")
				if got.location != nil || got.status < 400 || !strings.Contains(got.body, fmt.Sprintf("AADSTS%d: ", tt.code)) {
					t.Errorf("%s: got %d %v\n%s", method, got.status, got.location, got.body)
				}
				if strings.Contains(got.body, "<script") || strings.Contains(got.body, "%!") || strings.Contains(got.body, "<form") {
					t.Errorf("%s: page %s", method, got.body)
				}
				wantPagePolicy(t, got)
				log := c.s.Requests()
				if last := log[len(log)-1]; last.Code != tt.code || last.Status != got.status {
					t.Errorf("recorded %+v", last)
				}
			}
			if roles, _ := c.roles(t); roles != nil {
				t.Errorf("granted %v", roles)
			}
		})
	}
	if len(badConsents) < 40 {
		t.Errorf("%d rows", len(badConsents))
	}
}

// wantPagePolicy holds a page to doing nothing but send its form, and to staying where
// it is.
func wantPagePolicy(t *testing.T, a consentAnswer) {
	t.Helper()
	policy := a.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src 'sha256-", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("policy %q lacks %q", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") || a.header.Get("Referrer-Policy") != "same-origin" || a.header.Get("Cache-Control") != "no-store" ||
		a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("headers %v", a.header)
	}
}

// goodConsents are decisions that go back to the app.
var goodConsents = []struct {
	name  string
	edit  func(*consentCase)
	want  url.Values // of the answer; "*" for a value that varies
	to    string     // "": consentRedirect
	roles []any      // that a token has afterwards
	code  int        // or why there is none
}{
	{"approve", func(c *consentCase) {}, url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All"}, 0},
	{"by domain", func(c *consentCase) { c.tenant = "Customer.example" }, url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All"}, 0},
	{"without a state", func(c *consentCase) { c.query.Del("state") }, url.Values{"scope": {"SCOPE"}, "state": nil}, "", []any{"Data.Read.All"}, 0},
	{"v1", (*consentCase).v1, url.Values{}, "", []any{"Data.Read.All"}, 0},
	{"v1, a longer redirect", func(c *consentCase) { c.v1(); c.query.Set("redirect_uri", consentRedirect+"/a/b-c") }, url.Values{}, consentRedirect + "/a/b-c", []any{"Data.Read.All"}, 0},
	{"v1, unknown parameters", func(c *consentCase) { c.v1(); c.query["prompt"] = []string{"a", "b"} }, url.Values{}, "", []any{"Data.Read.All"}, 0},
	{"a redirect with a query", func(c *consentCase) {
		c.s.App().AddRedirectURI(consentRedirect + "?a=b%20c")
		c.query.Set("redirect_uri", consentRedirect+"?a=b%20c")
	}, url.Values{"scope": {"SCOPE"}, "a": {"b c"}}, "", []any{"Data.Read.All"}, 0},
	{"loopback", func(c *consentCase) {
		c.s.App().AddRedirectURI("http://127.0.0.1:8080/cb")
		c.query.Set("redirect_uri", "http://127.0.0.1:8080/cb")
	}, url.Values{"scope": {"SCOPE"}}, "http://127.0.0.1:8080/cb", []any{"Data.Read.All"}, 0},
	{"any tenant", func(c *consentCase) { c.tenant = "organizations"; c.form.Set("tenant", c.customer.ID()) }, url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All"}, 0},
	{"v1, any tenant", func(c *consentCase) { c.v1(); c.tenant = "Organizations"; c.form.Set("tenant", c.customer.ID()) }, url.Values{}, "", []any{"Data.Read.All"}, 0},
	{"v1, any account", func(c *consentCase) { c.v1(); c.tenant = "common"; c.form.Set("tenant", c.customer.ID()) }, url.Values{}, "", []any{"Data.Read.All"}, 0},
	{"approved again", func(c *consentCase) { c.customer.Install(c.s.App()) }, url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All"}, 0},
	{"two roles", func(c *consentCase) { c.s.App().Require(c.s.API(), "Data.Write.All", "Data.Read.All") }, url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All", "Data.Write.All"}, 0},
	{"a role that was removed", func(c *consentCase) { c.s.API().RemoveRoles("Data.Read.All") }, url.Values{"scope": {"SCOPE"}}, "", nil, 0},
	{"v2, another API of the app's", func(c *consentCase) {
		other := c.s.Tenant().NewResource("api://second", "A")
		c.customer.Provide(other)
		c.s.App().Require(other, "A")
		c.query.Set("scope", other.Scope())
	}, url.Values{"scope": {"api://second/.default"}}, "", nil, 0},
	{"v2, one API is not in the tenant", func(c *consentCase) { c.s.App().Require(c.s.Tenant().NewResource("api://second", "A"), "A") },
		url.Values{"scope": {"SCOPE"}}, "", []any{"Data.Read.All"}, 0},

	{"cancel", func(c *consentCase) { c.form.Set("decision", "cancel") }, declined(65004), "", nil, 7000229},
	{"v1, cancel", func(c *consentCase) { c.v1(); c.form.Set("decision", "cancel") }, declined(65004), "", nil, 7000229},
	{"cancel, any tenant", func(c *consentCase) { c.tenant = "organizations"; c.form.Set("decision", "cancel") }, declined(65004), "", nil, 7000229},
}

// declined is how Entra says no.
func declined(code int) url.Values {
	q := url.Values{
		"error": {"access_denied"}, "error_description": {fmt.Sprintf("AADSTS%d: *", code)}, "error_uri": {fmt.Sprintf("*/error?code=%d", code)},
		"tenant": nil, "error_subcode": {"cancel"},
	}
	if code != 65004 {
		q["error_subcode"] = nil
	}
	return q
}

func TestConsentIsAnswered(t *testing.T) {
	for _, tt := range goodConsents {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsentCase(t, tt.edit)
			got := c.decide(t)
			if got.status != http.StatusFound || got.location == nil || got.body != "" || got.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("got %d %v\n%s", got.status, got.header, got.body)
			}
			wantAnswer(t, c, got.location, tt.to, tt.want)
			roles, code := c.roles(t)
			if code != tt.code || !sameRoles(roles, tt.roles) {
				t.Errorf("roles %v, code %d", roles, code)
			}
		})
	}
}

// wantAnswer compares the address that the browser is sent to.
func wantAnswer(t *testing.T, c *consentCase, got *url.URL, to string, want url.Values) {
	t.Helper()
	if to == "" {
		to = consentRedirect
	}
	q := url.Values{"state": {"s t&a=te"}, "admin_consent": {"True"}, "tenant": {c.customer.ID()}}
	maps.Copy(q, want)
	answer := got.Query()
	for name, values := range q {
		switch have := answer[name]; {
		case values == nil && have == nil:
		case len(have) != len(values):
			t.Errorf("%s is %q, want %q", name, have, values)
		default:
			value := strings.ReplaceAll(values[0], "SCOPE", c.s.API().Scope())
			before, behind, _ := strings.Cut(value, "*")
			if !strings.HasPrefix(have[0], before) || !strings.HasSuffix(have[0], behind) || value == before && have[0] != value {
				t.Errorf("%s is %q, want %q", name, have[0], value)
			}
		}
		delete(answer, name)
	}
	if len(answer) > 0 {
		t.Errorf("more in the answer: %v", answer)
	}
	if got.RawQuery = ""; got.String() != to {
		t.Errorf("answered %s, want %s", got, to)
	}
}

func sameRoles(got, want []any) bool {
	return len(got) == len(want) && !slices.ContainsFunc(want, func(w any) bool { return !slices.Contains(got, w) })
}
