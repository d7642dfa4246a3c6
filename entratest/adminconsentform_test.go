// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// badForms are answers to the page that are not taken.
var badForms = []struct {
	name   string
	edit   func(*consentCase)
	status int
	want   string // on the page
}{
	{"of another site", func(c *consentCase) { c.header.Set("Origin", "https://evil.example") }, 403, "Another site"},
	{"of a site like it", func(c *consentCase) { c.header.Set("Origin", c.s.Cloud().Authority()+".evil.example") }, 403, "Another site"},
	{"over http", func(c *consentCase) {
		c.header.Set("Origin", strings.Replace(c.s.Cloud().Authority(), "https:", "http:", 1))
	}, 403, "Another site"},
	{"of another port", func(c *consentCase) { c.header.Set("Origin", c.s.Cloud().Authority()+":8443") }, 403, "Another site"},
	{"of nobody", func(c *consentCase) { c.header["Origin"] = []string{} }, 403, "Another site"},
	{"of an origin that is hidden", func(c *consentCase) { c.header.Set("Origin", "null") }, 403, "Another site"},
	{"of another site, as the browser says", func(c *consentCase) { c.header.Set("Sec-Fetch-Site", "cross-site") }, 403, "Another site"},
	{"of a neighbour, as the browser says", func(c *consentCase) { c.header.Set("Sec-Fetch-Site", "same-site") }, 403, "Another site"},
	{"of the address bar", func(c *consentCase) { c.header.Set("Sec-Fetch-Site", "none") }, 403, "Another site"},

	{"without a token", func(c *consentCase) { c.form.Set("form", "") }, 400, "sent already"},
	{"with a wrong token", func(c *consentCase) { c.form.Set("form", "x") }, 400, "sent already"},
	{"with two tokens", func(c *consentCase) { c.form["form"] = []string{"x", "y"} }, 400, "AADSTS9002313"},
	{"with two decisions", func(c *consentCase) { c.form["decision"] = []string{"cancel", "approve"} }, 400, "AADSTS9002313"},
	{"without a decision", func(c *consentCase) { c.form.Del("decision") }, 400, "does not say"},
	{"with another decision", func(c *consentCase) { c.form.Set("decision", "Approve") }, 400, "does not say"},
	{"as JSON", func(c *consentCase) { c.header.Set("Content-Type", "application/json") }, 400, "AADSTS900144"},
	{"as a file", func(c *consentCase) { c.header.Set("Content-Type", "multipart/form-data; boundary=x") }, 400, "AADSTS900144"},
	{"of 2 MiB", func(c *consentCase) { c.form.Set("x", strings.Repeat("x", 2<<20)) }, 400, "AADSTS9002313"},

	{"of a page for another redirect", func(c *consentCase) {
		c.s.App().AddRedirectURI("https://other.example/")
		c.follow = strings.Replace(c.address(), url.QueryEscape(consentRedirect), url.QueryEscape("https://other.example/"), 1)
	}, 400, "sent already"},
	{"of a page for another state", func(c *consentCase) { c.follow = c.address() + "x" }, 400, "sent already"},
	{"of a page for another tenant", func(c *consentCase) {
		other := c.s.AddTenant("other.example")
		other.Provide(c.s.API())
		c.follow = strings.Replace(c.address(), c.customer.ID(), other.ID(), 1)
	}, 400, "sent already"},
	{"of a page of the other version", func(c *consentCase) { c.follow = strings.Replace(c.address(), "/v2.0/", "/", 1) }, 400, "sent already"},

	{"without a choice", func(c *consentCase) { c.tenant = "organizations" }, 400, "AADSTS900023"},
	{"with no choice", func(c *consentCase) { c.tenant = "organizations"; c.form.Set("tenant", "organizations") }, 400, "AADSTS900023"},
	{"with an unknown choice", func(c *consentCase) { c.tenant = "organizations"; c.form.Set("tenant", "nobody.example") }, 400, "AADSTS90002"},
	{"with a tenant that is suspended", func(c *consentCase) {
		c.tenant = "organizations"
		c.form.Set("tenant", c.customer.ID())
		c.customer.SetDisabled(true)
	}, 400, "AADSTS5000224"},
	{"with a tenant that lacks the API", func(c *consentCase) {
		c.tenant = "organizations"
		c.form.Set("tenant", c.customer.ID())
		c.customer.Withdraw(c.s.API())
	}, 400, "AADSTS650052"},
}

func TestConsentFormIsRefused(t *testing.T) {
	for _, tt := range badForms {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsentCase(t, tt.edit)
			got := c.decide(t)
			if got.location != nil || got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got %d %v\n%s", got.status, got.location, got.body)
			}
			wantPagePolicy(t, got)
			c.customer.SetDisabled(false)
			if roles, code := c.roles(t); code != 7000229 {
				t.Errorf("installed, with roles %v", roles)
			}
		})
	}
}

// A form is good for one answer, whatever that is, and for an hour.
func TestConsentFormIsGoodForOnce(t *testing.T) {
	for _, decision := range []string{"approve", "cancel", "neither"} {
		c := newConsentCase(t, func(c *consentCase) { c.form.Set("decision", decision); c.formAgain = true })
		if got := c.decide(t); got.status != 400 || !strings.Contains(got.body, "sent already") || got.location != nil {
			t.Errorf("%s twice: %d %v", decision, got.status, got.location)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			wait   time.Duration
			status int
		}{{59 * time.Minute, 302}, {time.Hour, 400}} {
			c := newConsentCase(t, nil)
			page := c.send(t, "GET", c.address(), nil, "")
			c.form.Set("form", formToken.FindStringSubmatch(page.body)[1])
			time.Sleep(tt.wait)
			if got := c.decide(t); got.status != tt.status {
				t.Errorf("after %v: %d", tt.wait, got.status)
			}
		}
	})
}

// So many pages may be out; the oldest is forgotten first.
func TestConsentFormsAreBounded(t *testing.T) {
	c := newConsentCase(t, nil)
	var tokens []string
	for range 1001 {
		page := c.send(t, "GET", c.address(), nil, "")
		tokens = append(tokens, formToken.FindStringSubmatch(page.body)[1])
	}
	for i, want := range map[int]int{0: 400, 5: 302, 1000: 302} {
		c.form.Set("form", tokens[i])
		if got := c.decide(t); got.status != want {
			t.Errorf("page %d: %d, want %d", i, got.status, want)
		}
	}
}

func TestConsentMethods(t *testing.T) {
	c := newConsentCase(t, nil)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
		if got := c.send(t, method, c.address(), nil, ""); got.status != 405 || got.header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: %d %v", method, got.status, got.header)
		}
	}
	if got := c.send(t, "HEAD", c.address(), nil, ""); got.status != 200 || got.body != "" {
		t.Errorf("HEAD: %d %s", got.status, got.body)
	}
}

// The page says who asks whom for what, and nothing that it was sent is markup.
func TestConsentPage(t *testing.T) {
	c := newConsentCase(t, nil)
	c.s.Tenant().AddDomain("vendor.example")
	odd := c.s.Tenant().NewResource("api://odd/<b>", "<i>.All")
	c.s.App().Require(odd, "<i>.All")
	c.customer.Provide(odd)
	c.v1()
	c.query.Set("state", `"><script>`)
	got := c.send(t, "GET", c.address(), nil, "")
	for _, want := range []string{
		`<html lang="en">`, "<h1>Approve an app", "<dd>" + c.s.App().ClientID(), "<dd>vendor.example (" + c.s.Tenant().ID(), "<dd>customer.example (" + c.customer.ID(),
		"<dd>app.example", "<strong>Data.Read.All</strong> on " + c.s.API().URI(), "&lt;i&gt;.All", "Approve</button>", "Cancel</button>",
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(got.body, "<script") || strings.Contains(got.body, "<b>") || strings.Contains(got.body, "<select") || strings.Contains(got.body, "Data.Write.All") {
		t.Errorf("page %s", got.body)
	}
	wantPagePolicy(t, got)
	if policy := got.header.Get("Content-Security-Policy"); strings.Contains(policy, "http:") {
		t.Errorf("policy %s, though the answer goes to https", policy)
	}

	// Over http, on a loopback address, the answer has to be let through as well.
	c.s.App().AddRedirectURI("http://[::1]:8080/cb")
	c.query.Set("redirect_uri", "http://[::1]:8080/cb")
	if got := c.send(t, "GET", c.address(), nil, ""); !strings.HasSuffix(got.header.Get("Content-Security-Policy"), " http:") {
		t.Errorf("policy %v", got.header)
	}
	bare := c.s.Tenant().NewApp()
	bare.AddRedirectURI(consentRedirect)
	c.query.Set("client_id", bare.ClientID())
	c.query.Set("redirect_uri", consentRedirect)
	if got := c.send(t, "GET", c.address(), nil, ""); !strings.Contains(got.body, "requires no permission") {
		t.Errorf("page %s", got.body)
	}
}

// For any tenant the page lets choose among those that are in use, up to a hundred.
func TestConsentChoices(t *testing.T) {
	c := newConsentCase(t, func(c *consentCase) { c.tenant = "organizations" })
	c.s.AddTenant("suspended.example").SetDisabled(true)
	c.s.AddTenant("abroad.example").SetOtherCloud(true)
	c.s.AddTenant("alpha.example", "beta.example")
	body := c.send(t, "GET", c.address(), nil, "").body
	alpha, customer := strings.Index(body, ">alpha.example ("), strings.Index(body, ">customer.example (")
	if alpha < 0 || customer < alpha || strings.Contains(body, "beta") || strings.Contains(body, "suspended") || strings.Contains(body, "abroad") ||
		strings.Count(body, "<option ") != 4 || !strings.Contains(body, `<label for="tenant">`) || !strings.Contains(body, "formnovalidate") {
		t.Errorf("page %s", body)
	}
	for i := range 120 {
		c.s.AddTenant(fmt.Sprintf("c%d.example", i))
	}
	if body := c.send(t, "GET", c.address(), nil, "").body; strings.Count(body, "<option ") != 101 || !strings.Contains(body, "There are 23 more") {
		t.Errorf("page %s", body)
	}
}

// What has been approved counts later, as everything that is added.
func TestConsentPropagates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsentCase(t, nil)
		c.s.SetPropagation(time.Minute)
		c.decide(t)
		if _, code := c.roles(t); code != 7000229 {
			t.Errorf("at once: %d", code)
		}
		time.Sleep(time.Minute)
		if roles, code := c.roles(t); code != 0 || len(roles) != 1 {
			t.Errorf("after a minute: %v, %d", roles, code)
		}
	})
}

// What concerns the administrator's account goes back to the app: here, that it is of
// another tenant.
func TestConsentFaults(t *testing.T) {
	c := newConsentCase(t, func(c *consentCase) {
		_, _ = c.s.AddFault(entratest.Fault{Endpoint: "consent", ClientID: c.s.App().ClientID(), Code: 50020, Times: 2})
	})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		got := c.send(t, method, c.address(), nil, "")
		if got.location == nil {
			t.Fatalf("%s: %d %s", method, got.status, got.body)
		}
		wantAnswer(t, c, got.location, "", declined(50020))
	}
	if got := c.decide(t); got.status != 302 || !got.location.Query().Has("tenant") {
		t.Errorf("afterwards: %d", got.status)
	}
	if got := c.s.Counters(); got.Endpoints["consent"] != 4 || got.Codes[50020] != 2 {
		t.Errorf("counted %+v", got)
	}
}

func TestRedirectURIs(t *testing.T) {
	for uri, ok := range map[string]bool{
		consentRedirect: true, "https://app.example": true, "https://app.example:8443/?a=b": true, "http://localhost:1/": true, "http://127.0.0.2/x": true, "http://[::1]/": true,
		"": false, "/callback": false, "app.example/cb": false, "myapp://auth": false, "http://app.example/": false, "http://localhost.example/": false,
		"https://u:p@app.example/": false, "https://app.example/#x": false, "https://*.example/": false, "https://app.example/\r\nX: y": false, "https://app.example\\x": false,
		"https://app.example/" + strings.Repeat("x", 236): true, "https://app.example/" + strings.Repeat("x", 237): false,
	} {
		s := entratest.New(t)
		if err := s.Loader().AddRedirectURI(s.App(), uri); (err == nil) != ok {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
