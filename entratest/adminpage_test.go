// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// page asks for the page as a browser does.
func page(t *testing.T, s *entratest.Server, query string) rawResponse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+"/_emulator/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "none")
	got, err := send(s.HTTPClient(), req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// press sends a form of the page as a browser does, but for what edit changes.
func press(t *testing.T, s *entratest.Server, form url.Values, edit func(*http.Request)) rawResponse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Cloud().Authority()+"/_emulator/?only=refused", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", s.Cloud().Authority())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if edit != nil {
		edit(req)
	}
	client := s.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got, err := send(client, req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func act(action string, fields ...string) url.Values {
	form := url.Values{"do": {action}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

// TestAdminPageRefused has the count of the refused be that of the list, also of a refusal
// that leads to where people sign in, and of what a proxy does not let through.
func TestAdminPageRefused(t *testing.T) {
	s := entratest.New(t)
	client := s.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	job := s.NewPipelineJob("sc://contoso/project/connection")
	resp, err := client.Post(job.Env()["SYSTEM_OIDCREQUESTURI"]+"?api-version=7.1", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Fatalf("without a bearer: %s, want 302", resp.Status)
	}
	postForm(t, s, s.Tenant().ID(), secretForm(s))
	if resp, err = throughProxyOf(t, s, false).Get("http://storage.example/container"); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := string(page(t, s, "?only=refused").body)
	for _, want := range []string{
		"<dt>Refused</dt><dd>2</dd>", `<span class="asked">GET storage.example:80</span>`, "the proxy does not stand in for this host",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if n := strings.Count(got, `class="refused"`); n != 2 {
		t.Errorf("%d are listed, want 2", n)
	}
}

func TestAdminPage(t *testing.T) {
	s := entratest.New(t)
	s.AddTenant("customer.example")
	postForm(t, s, s.Tenant().ID(), secretForm(s))
	postForm(t, s, s.Tenant().ID(), with(secretForm(s), "scope", "https://nothing.test/.default"))
	got := page(t, s, "")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%+v", got)
	}
	policy := got.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %s lacks %s", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("headers %v", got.header)
	}
	body := html.UnescapeString(got.body)
	for _, text := range []string{
		"AADSTS500011", "https://nothing.test", s.API().URI(), "secret 1 of 1", "customer.example", s.App().ClientID(), s.Issuer().URL(), "Data.Read.All on ",
	} {
		if !strings.Contains(body, text) {
			t.Errorf("%q is missing", text)
		}
	}
	if newest, oldest := strings.Index(body, `id="request-2"`), strings.Index(body, `id="request-1"`); newest < 0 || oldest < newest {
		t.Errorf("the newest is not first: %d, %d", newest, oldest)
	}
	if refused := page(t, s, "?only=refused").body; strings.Contains(refused, `id="request-1"`) || !strings.Contains(refused, `id="request-2"`) {
		t.Error("not the refused alone")
	}
	if got := page(t, s, "?tenant=CUSTOMER.example").body; !strings.Contains(got, "<h3>customer.example") || strings.Contains(got, "federated: ") {
		t.Error("not the tenant that was asked for")
	}
	if got := page(t, s, "?tenant=nobody.example").body; !strings.Contains(got, "There is no tenant nobody.example") {
		t.Error("a tenant that there is not")
	}
	if got := page(t, s, "page.js"); got.status != http.StatusOK || got.header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("the script: %d %v", got.status, got.header)
	}
	if n := s.Counters().Requests; n != 2 {
		t.Errorf("%d requests counted, want those to the page left out", n)
	}
	s.SetAdmin(false)
	if got := page(t, s, ""); got.status != http.StatusNotFound || got.body != "" {
		t.Errorf("closed: %d %s", got.status, got.body)
	}
}

// Somebody types the address without the slash.
func TestAdminPageWithoutSlash(t *testing.T) {
	s := entratest.New(t)
	resp, err := s.HTTPClient().Get(s.Cloud().Authority() + "/_emulator")
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/_emulator/" {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestAdminForms(t *testing.T) {
	s := entratest.New(t)
	list := func() string { return admin(t, s, "GET", "faults", "", nil).body }
	for _, tt := range []struct {
		form   url.Values
		status int
		faults string
		names  string // what the page says on a mistake
	}{
		{act("switch on", "number", "0"), 303, `[{"id":1,"hits":0,"fault":{"endpoint":"token","status":503,"retry_after":"5"}}]`, ""},
		{act("remove fault", "number", "1"), 303, `[]`, ""},
		{act("remove fault", "number", "1"), 303, `[]`, ""},
		{act("add fault", "endpoint", "token", "status", "500", "times", "3", "probability", "0.5", "delay", "2s", "retry_after", "30", "tenant", ""), 303,
			`[{"id":2,"hits":0,"fault":{"endpoint":"token","times":3,"probability":0.5,"delay":"2s","status":500,"retry_after":"30"}}]`, ""},
		{act("add fault", "code", " 90033 ", "client_id", s.App().ClientID()+"\n"), 303,
			`[{"id":2,"hits":0,"fault":{"endpoint":"token","times":3,"probability":0.5,"delay":"2s","status":500,"retry_after":"30"}},` +
				`{"id":3,"hits":0,"fault":{"client_id":"` + s.App().ClientID() + `","code":90033}}]`, ""},
		{act("remove all faults"), 303, `[]`, ""},
		{act("add fault"), 400, `[]`, "it does nothing"},
		{act("add fault", "status", "many"), 400, `[]`, `the value of "status" is not a whole number`},
		{act("add fault", "status", "0x1F7"), 400, `[]`, `the value of "status" is not a whole number`},
		{act("add fault", "status", "503", "probability", "NaN"), 400, `[]`, `"probability" is not a number`},
		{act("add fault", "tenant", `"><script>alert(1)</script>`, "status", "503"), 400, `[]`, "is neither a GUID nor a domain name"},
		{act("switch on", "number", "99"), 400, `[]`, "no such switch"},
		{act("switch on", "number", "-1"), 400, `[]`, "no such switch"},
		{act("set clock", "offset", "soon"), 400, `[]`, `"offset" is not a duration`},
		{act("set clock"), 400, `[]`, "either now or offset"},
		{act("format disk"), 400, `[]`, "does not say what to do"},
	} {
		got := press(t, s, tt.form, nil)
		if got.status != tt.status || list() != tt.faults || !strings.Contains(html.UnescapeString(got.body), tt.names) || strings.Contains(got.body, "<script>alert") {
			t.Errorf("%v: %d, faults %s\n%s", tt.form, got.status, list(), got.body)
		}
		if to := got.header.Get("Location"); tt.status == http.StatusSeeOther && to != "/_emulator/?only=refused#control" {
			t.Errorf("%v: on to %q", tt.form, to)
		}
	}
	if got := press(t, s, act("add fault", "status", "99", "delay", "7s"), nil); !strings.Contains(got.body, `value="7s"`) || !strings.Contains(got.body, `role="alert"`) {
		t.Errorf("what was filled in is lost: %s", got.body)
	}
	press(t, s, act("set clock", "offset", "-48h"), nil)
	if off := time.Until(s.Now()).Round(time.Hour); off != -48*time.Hour || !strings.Contains(page(t, s, "").body, "−48h0m0s") {
		t.Errorf("the clock is off by %v", off)
	}
	press(t, s, act("right clock", "offset", "x"), nil)
	if off := time.Until(s.Now()).Round(time.Hour); off != 0 {
		t.Errorf("the clock is off by %v", off)
	}
}

// Nobody but the page itself sends its forms, and nobody else follows the requests.
func TestAdminPageIsNotForOthers(t *testing.T) {
	s := entratest.New(t)
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Del(pairs[i])
				if pairs[i+1] != "" {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	for name, tt := range map[string]struct {
		edit   func(*http.Request)
		status int
	}{
		"its own":               {nil, 303},
		"old browser":           {set("Sec-Fetch-Site", ""), 303},
		"no origin":             {set("Origin", ""), 403},
		"null":                  {set("Origin", "null"), 403},
		"another origin":        {set("Origin", "https://evil.test"), 403},
		"plain http":            {set("Origin", strings.Replace(s.Cloud().Authority(), "https:", "http:", 1)), 403},
		"another port":          {set("Origin", s.Cloud().Authority()+":444"), 403},
		"another site":          {set("Sec-Fetch-Site", "cross-site"), 403},
		"a sibling":             {set("Sec-Fetch-Site", "same-site"), 403},
		"a form as a link":      {set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "document"), 403},
		"rebound, own origin":   {func(r *http.Request) { r.Host = "evil.test"; r.Header.Set("Origin", "https://evil.test") }, 403},
		"by address":            {func(r *http.Request) { r.Host = "127.0.0.1:8443"; r.Header.Set("Origin", "https://127.0.0.1:8443") }, 303},
		"as JSON":               {set("Content-Type", "application/json"), 400},
		"as text":               {set("Content-Type", "text/plain"), 400},
		"another own host":      {func(r *http.Request) { r.Host = "localhost:8443" }, 403},
		"origin in upper case":  {set("Origin", strings.ToUpper(s.Cloud().Authority())), 403},
		"origin with user info": {set("Origin", "https://evil.test@login.entra.test"), 403},
	} {
		if got := press(t, s, act("right clock"), tt.edit); got.status != tt.status {
			t.Errorf("a form, %s: %d, want %d: %s", name, got.status, tt.status, got.body)
		}
	}
	for _, tt := range []struct {
		path, host, site, dest string
		status                 int
	}{
		{"", "", "none", "document", 200},
		{"", "", "same-origin", "document", 200},
		{"", "", "cross-site", "document", 200},
		{"", "", "cross-site", "iframe", 403},
		{"", "", "cross-site", "empty", 403},
		{"", "evil.test", "none", "document", 403},
		{"page.js", "", "same-origin", "script", 200},
		{"page.js", "", "cross-site", "script", 403},
		{"events", "", "cross-site", "empty", 403},
		{"events", "", "cross-site", "document", 403},
		{"events", "evil.test", "same-origin", "empty", 403},
		{"requests", "", "cross-site", "document", 403},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+"/_emulator/"+tt.path, nil)
		if tt.host != "" {
			req.Host = tt.host
		}
		req.Header.Set("Sec-Fetch-Site", tt.site)
		req.Header.Set("Sec-Fetch-Dest", tt.dest)
		if got, err := send(s.HTTPClient(), req); err != nil || got.status != tt.status {
			t.Errorf("%+v: %d, %v", tt, got.status, err)
		}
	}
}

// What a client has sent is text on the page, in the stream and in a list of lines.
func TestAdminPageHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		evil := "x\"><script>alert(1)</script><img src=x onerror=alert(2)>\r\n\nevent: state\ndata: <b>evil</b>"
		postForm(t, s, s.Tenant().ID(), assertionForm(s, s.Issuer().Token(entratest.Claims{Subject: evil, Audience: evil})))
		postForm(t, s, s.Tenant().ID(), assertionForm(s, selfSigned(s, nil)))
		if _, err := s.AddFault(entratest.Fault{Status: 503, RetryAfter: "<script>alert(3)</script>", Endpoint: "keys"}); err != nil {
			t.Fatal(err)
		}
		stream := streamed(t, s)
		for name, text := range map[string]string{
			"page": page(t, s, "?tenant=%22%3E%3Cscript%3Ealert(4)%3C/script%3E&only=%3Cscript%3Ealert(5)").body, "stream": stream,
		} {
			if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img") || strings.Contains(text, "<b>") || !strings.Contains(text, "&lt;img src=x") {
				t.Errorf("%s: %s", name, text)
			}
		}
		if n := strings.Count(stream, "\nevent: state\n"); n != 1 {
			t.Errorf("%d events of the state, want one", n)
		}
	})
}

// No secret, assertion or token is on the page, in the stream or in the lists.
func TestAdminPageHoldsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		const wrong = "Wr0ng~canary-secret.that-nobody-knows"
		s.App().AddSecret(wrong+"-expired", time.Now().Add(-time.Hour))
		self, federated, foreign := selfSigned(s, nil), s.FederatedToken(), s.NewIssuer("https://other.test").Token(entratest.Claims{Subject: "x", Audience: "y"})
		secrets := []string{s.Secret(), wrong, self, federated, foreign}
		for _, form := range []url.Values{
			secretForm(s), with(secretForm(s), "client_secret", wrong), with(secretForm(s), "client_secret", wrong+"-expired"), with(secretForm(s), "client_secret", s.Secret()+"\n"),
			with(secretForm(s), "scope", wrong), with(secretForm(s), "client_id", wrong), with(secretForm(s), "grant_type", wrong),
			assertionForm(s, self), assertionForm(s, federated), assertionForm(s, foreign), assertionForm(s, self+"x"),
		} {
			if token := postForm(t, s, s.Tenant().ID(), form).AccessToken; token != "" {
				secrets = append(secrets, token)
			}
			postForm(t, s, wrong, form)
		}
		var all strings.Builder
		all.WriteString(streamed(t, s))
		if n := strings.Count(all.String(), "event: request\n"); n != 22 {
			t.Fatalf("%d requests in the stream", n)
		}
		for _, path := range []string{"", "?only=refused", "page.js", "requests", "faults", "counters"} {
			all.WriteString(page(t, s, path).body)
		}
		all.WriteString(fmt.Sprintf("%+v %#v", s.Requests(), s.Requests()))
		for _, secret := range secrets {
			for _, part := range []string{secret, secret[strings.LastIndex(secret, ".")+1:], url.QueryEscape(secret), secret[:min(len(secret), 12)]} {
				if i := strings.Index(html.UnescapeString(all.String()), part); i >= 0 {
					t.Errorf("%q is there", part)
				}
			}
		}
	})
}

// A directory of very many does not make the page long.
func TestAdminPageIsBounded(t *testing.T) {
	s := entratest.New(t)
	for i := range 3000 {
		tenant := s.AddTenant(fmt.Sprintf("d%d.example", i))
		tenant.Install(s.App())
		s.Tenant().NewApp()
	}
	for range 300 {
		postForm(t, s, "nobody.example", secretForm(s))
	}
	got := page(t, s, "").body
	if len(got) > 300_000 || !strings.Contains(got, "6001 IDs and domain names") || !strings.Contains(got, "And 2951 more.") || strings.Count(got, `<li id="request-`) != 100 {
		t.Errorf("%d bytes: %s", len(got), got[:min(len(got), 2000)])
	}
}
