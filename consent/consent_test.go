// SPDX-License-Identifier: MIT

package consent_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/consent"
)

const (
	app      = "aaaaaaaa-0000-4000-8000-00000000000a"
	customer = "11111111-1111-4111-8111-111111111111"
	stranger = "22222222-2222-4222-8222-222222222222"
	redirect = "https://app.example/consent/callback"
	scope    = "https://graph.microsoft.com/.default"
)

var key1, key2 = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 40)

func newFlow(t testing.TB, change func(*consent.Config)) *consent.Flow {
	t.Helper()
	cfg := consent.Config{ClientID: app, RedirectURL: redirect, Scope: scope, Keys: [][]byte{key1}}
	if change != nil {
		change(&cfg)
	}
	f, err := consent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A journey is a consent on its way.
type journey struct {
	t       testing.TB
	flow    *consent.Flow
	state   string
	cookies []*http.Cookie
}

func begin(t testing.TB, f *consent.Flow, tenant, data string) *journey {
	t.Helper()
	address, setCookie, err := f.URL(tenant, data)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	j := &journey{t: t, flow: f, state: u.Query().Get("state")}
	if setCookie != "" {
		j.cookies = []*http.Cookie{mustCookie(t, setCookie)}
	}
	return j
}

func mustCookie(t testing.TB, s string) *http.Cookie {
	t.Helper()
	c, err := http.ParseSetCookie(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// callback has the browser come back with a query, and returns what the app was told,
// nil if nothing.
func (j *journey) callback(method, query string) (*consent.Result, *httptest.ResponseRecorder) {
	j.t.Helper()
	var told *consent.Result
	h := j.flow.Callback(func(w http.ResponseWriter, _ *http.Request, res consent.Result) {
		told = &res
		w.WriteHeader(http.StatusNoContent)
	})
	r := httptest.NewRequest(method, redirect, nil)
	r.URL.RawQuery = query
	for _, c := range j.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return told, w
}

// good is how Entra answers.
func (j *journey) good() url.Values {
	return url.Values{"state": {j.state}, "admin_consent": {"True"}, "tenant": {customer}, "scope": {scope}}
}

// A change is one to a good answer.
type change func(url.Values)

func set(name, value string) change { return func(q url.Values) { q.Set(name, value) } }
func add(name, value string) change { return func(q url.Values) { q.Add(name, value) } }
func del(name string) change        { return func(q url.Values) { q.Del(name) } }
func all(changes ...change) change {
	return func(q url.Values) {
		for _, c := range changes {
			c(q)
		}
	}
}
func nothing(url.Values) {}

// refused is how Entra says no: without the tenant, and with admin_consent.
func refused(code, description string) change {
	return all(del("tenant"), del("scope"), set("error", code), set("error_description", description), set("error_uri", "https://login.microsoftonline.com/error?code=1"))
}

// What the browser brings back, and what it comes to. A "" that is not granted is a
// page with status 400.
func TestCallbacks(t *testing.T) {
	const granted = consent.Kind("granted")
	spoiled := func(change func([]byte) []byte) change {
		return func(q url.Values) { q.Set("state", string(change([]byte(q.Get("state"))))) }
	}
	rows := []struct {
		name   string
		change change
		want   consent.Kind
		code   int
	}{
		{"as Entra answers", nothing, granted, 0},
		{"without the scope", del("scope"), granted, 0},
		{"another scope", set("scope", "x y z"), granted, 0},
		{"true in lower case", set("admin_consent", "true"), granted, 0},
		{"TRUE", set("admin_consent", "TRUE"), granted, 0},
		{"the tenant in upper case", set("tenant", strings.ToUpper(customer)), granted, 0},
		{"unknown parameters", all(add("x", "1"), add("x", "2"), add("session_state", "y")), granted, 0},
		{"an empty parameter", set("", ""), granted, 0},

		{"admin_consent False", set("admin_consent", "False"), consent.ErrRefused, 0},
		{"admin_consent 1", set("admin_consent", "1"), consent.ErrRefused, 0},
		{"admin_consent yes", set("admin_consent", "yes"), consent.ErrRefused, 0},
		{"admin_consent with a blank", set("admin_consent", "True "), consent.ErrRefused, 0},
		{"admin_consent with a long s", set("admin_consent", "Tru\u0435"), consent.ErrRefused, 0},
		{"no admin_consent", del("admin_consent"), consent.ErrRefused, 0},
		{"an empty admin_consent", set("admin_consent", ""), consent.ErrRefused, 0},

		{"another tenant", set("tenant", stranger), consent.ErrTenantMismatch, 0},
		{"no tenant", del("tenant"), consent.ErrTenantMismatch, 0},
		{"an empty tenant", set("tenant", ""), consent.ErrTenantMismatch, 0},
		{"a domain", set("tenant", "customer.example"), consent.ErrTenantMismatch, 0},
		{"organizations", set("tenant", "organizations"), consent.ErrTenantMismatch, 0},
		{"a tenant in braces", set("tenant", "{"+customer+"}"), consent.ErrTenantMismatch, 0},
		{"a tenant with a blank", set("tenant", customer+" "), consent.ErrTenantMismatch, 0},
		{"a tenant with a path", set("tenant", customer+"/x"), consent.ErrTenantMismatch, 0},
		{"markup for a tenant", set("tenant", "<script>alert(1)</script>"), consent.ErrTenantMismatch, 0},

		{"declined", refused("access_denied", "AADSTS65004: User declined to consent to access the app."), consent.ErrCancelled, 65004},
		{"declined, as documented", refused("consent_required", "AADSTS65004: The resource owner denied the request."), consent.ErrCancelled, 65004},
		{"cancelled", all(refused("access_denied", ""), set("error_subcode", "cancel")), consent.ErrCancelled, 0},
		{"cancelled in capitals", all(refused("x", ""), set("error_subcode", "CANCEL")), consent.ErrCancelled, 0},
		{"access_denied without a number", refused("access_denied", "The user has denied access."), consent.ErrCancelled, 0},
		{"ACCESS_DENIED", refused("ACCESS_DENIED", ""), consent.ErrCancelled, 0},
		{"access_denied for something else", refused("access_denied", "AADSTS90094: An administrator has set a policy."), consent.ErrRefused, 90094},
		{"an account of another tenant", refused("access_denied", "AADSTS50020: User account 'a@b' from identity provider does not exist in tenant."), consent.ErrWrongAccount, 50020},
		{"an API that is not there", refused("invalid_client", "AADSTS650052: The app is trying to access a service."), consent.ErrNotSubscribed, 650052},
		{"permission_denied", refused("permission_denied", "The admin canceled the request"), consent.ErrRefused, 0},
		{"an unknown number", refused("invalid_request", "AADSTS9999999: no"), consent.ErrRefused, 9999999},
		{"a number that is none", refused("invalid_request", "AADSTSabc: no"), consent.ErrRefused, 0},
		{"an endless number", refused("invalid_request", "AADSTS"+strings.Repeat("9", 4000)), consent.ErrRefused, 0},
		{"a negative number", refused("invalid_request", "AADSTS-65004"), consent.ErrRefused, 0},
		{"an error beside a tenant", set("error", "access_denied"), consent.ErrCancelled, 0},
		{"an empty error", set("error", ""), consent.ErrRefused, 0},
		{"an error with line breaks", refused("a\r\nSet-Cookie: x=y", "x"), consent.ErrRefused, 0},
		{"markup", refused("<script>", "<script>alert(1)</script>"), consent.ErrRefused, 0},
		{"a description alone", all(set("error_description", "AADSTS65004: x"), nothing), granted, 0},

		{"no state", del("state"), "", 0},
		{"an empty state", set("state", ""), "", 0},
		{"a state of text", set("state", "hello"), "", 0},
		{"a state in base64", set("state", "aGVsbG8gd29ybGQ"), "", 0},
		{"a state of zeros", set("state", strings.Repeat("A", 200)), "", 0},
		{"a state cut short", spoiled(func(b []byte) []byte { return b[:len(b)-1] }), "", 0},
		{"a state cut in half", spoiled(func(b []byte) []byte { return b[:len(b)/2] }), "", 0},
		{"a longer state", spoiled(func(b []byte) []byte { return append(b, 'A') }), "", 0},
		{"a padded state", spoiled(func(b []byte) []byte { return append(b, '=') }), "", 0},
		{"a state with a line break", spoiled(func(b []byte) []byte { return append(b[:10:10], append([]byte("\n"), b[10:]...)...) }), "", 0},
		{"another nonce", spoiled(func(b []byte) []byte { b[0] ^= 1; return b }), "", 0},
		{"a later end", spoiled(func(b []byte) []byte { b[31] = 'z'; return b }), "", 0},
		{"another tenant in the state", spoiled(func(b []byte) []byte { b[40] ^= 1; return b }), "", 0},
		{"another code", spoiled(func(b []byte) []byte { b[len(b)-3] ^= 1; return b }), "", 0},
		{"two states", add("state", "x"), "", 0},
		{"two tenants", add("tenant", customer), "", 0},
		{"two consents", add("admin_consent", "True"), "", 0},
		{"two errors", all(add("error", "a"), add("error", "b")), "", 0},
		{"two descriptions", all(add("error_description", "a"), add("error_description", "b")), "", 0},
		{"a query of 20 KiB", set("x", strings.Repeat("x", 20<<10)), "", 0},
		{"an error without a state", all(refused("access_denied", "AADSTS65004"), del("state")), "", 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			j := begin(t, newFlow(t, nil), customer, "order 7")
			q := j.good()
			row.change(q)
			res, w := j.callback(http.MethodGet, q.Encode())
			if row.want == "" {
				if res != nil || w.Code != http.StatusBadRequest || len(w.Result().Cookies()) > 0 {
					t.Errorf("told %+v, status %d, cookies %v", res, w.Code, w.Result().Cookies())
				}
				return
			}
			if res == nil {
				t.Fatalf("status %d, not told", w.Code)
			}
			if res.Data != "order 7" || res.RequestedTenant != customer || res.Granted != (row.want == granted) || res.Granted != (res.Err == nil) {
				t.Errorf("%+v", res)
			}
			if !res.Granted && (!errors.Is(res.Err, row.want) || res.Err.Code != row.code || strings.ContainsAny(res.Err.Error()+res.Err.OAuthError, "\r\n")) {
				t.Errorf("%v, want %v", res.Err, row.want)
			}
			if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" || c[0].Name != j.cookies[0].Name {
				t.Errorf("the cookie is not cleared: %v", c)
			}
		})
	}
	if len(rows) < 60 {
		t.Errorf("%d rows", len(rows))
	}
}

// Whoever is not the browser that began, and whatever is not a GET, is turned away.
func TestWhoMayComeBack(t *testing.T) {
	f := newFlow(t, nil)
	j, second := begin(t, f, customer, ""), begin(t, f, customer, "")
	own := j.cookies
	for name, cookies := range map[string][]*http.Cookie{
		"no cookie":                     nil,
		"that of another consent":       second.cookies,
		"its name with another's value": {{Name: own[0].Name, Value: second.cookies[0].Value}},
		"an empty one":                  {{Name: own[0].Name}},
		"the value under a plain name":  {{Name: strings.TrimPrefix(own[0].Name, "__Host-"), Value: own[0].Value}},
		"a value that is cut":           {{Name: own[0].Name, Value: own[0].Value[1:]}},
		"the value of the state's own":  {{Name: own[0].Name, Value: j.state}},
	} {
		j.cookies = cookies
		if res, w := j.callback(http.MethodGet, j.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
			t.Errorf("%s: told %+v, status %d", name, res, w.Code)
		}
	}
	j.cookies = own
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if res, w := j.callback(method, j.good().Encode()); res != nil || w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
			t.Errorf("%s: told %+v, status %d", method, res, w.Code)
		}
	}
	// Another flow's state is no state: another app, address, API, cloud or key, and one
	// that is sent around.
	for name, change := range map[string]func(*consent.Config){
		"app":      func(c *consent.Config) { c.ClientID = stranger },
		"redirect": func(c *consent.Config) { c.RedirectURL += "/2" },
		"scope":    func(c *consent.Config) { c.Scope = "" },
		"cloud":    func(c *consent.Config) { c.Cloud = cloud.China },
		"key":      func(c *consent.Config) { c.Keys = [][]byte{key2} },
		"link":     func(c *consent.Config) { c.Link = true },
	} {
		j := begin(t, newFlow(t, change), customer, "")
		j.flow = f
		if res, w := j.callback(http.MethodGet, j.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
			t.Errorf("state of another %s: told %+v, status %d", name, res, w.Code)
		}
	}
	// With both cookies in the browser both consents end well, in any order.
	both := []*http.Cookie{own[0], second.cookies[0]}
	for _, k := range []*journey{second, j} {
		k.cookies = both
		if res, _ := k.callback(http.MethodGet, k.good().Encode()); res == nil || !res.Granted {
			t.Errorf("two at a time: %+v", res)
		}
	}
}

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			ttl, after time.Duration
			ok         bool
		}{
			{0, 59 * time.Minute, true}, {0, time.Hour + time.Second, false},
			{time.Minute, 59 * time.Second, true}, {time.Minute, 61 * time.Second, false},
			{24 * time.Hour, 23 * time.Hour, true}, {24 * time.Hour, 25 * time.Hour, false},
		} {
			j := begin(t, newFlow(t, func(c *consent.Config) { c.TTL = tc.ttl }), customer, "")
			time.Sleep(tc.after)
			if res, _ := j.callback(http.MethodGet, j.good().Encode()); (res != nil) != tc.ok {
				t.Errorf("%v of %v: told %+v", tc.after, tc.ttl, res)
			}
		}
	})
}

// A key that signs no longer goes on checking, until it is taken away.
func TestKeysAreRotated(t *testing.T) {
	before := begin(t, newFlow(t, nil), customer, "")
	for name, tc := range map[string]struct {
		keys [][]byte
		ok   bool
	}{"both": {[][]byte{key2, key1}, true}, "the new one": {[][]byte{key2}, false}} {
		before.flow = newFlow(t, func(c *consent.Config) { c.Keys = tc.keys })
		if res, _ := before.callback(http.MethodGet, before.good().Encode()); (res != nil) != tc.ok {
			t.Errorf("%s: told %+v", name, res)
		}
	}
}

// A link has no cookie, and is good for anybody who has it.
func TestLink(t *testing.T) {
	j := begin(t, newFlow(t, func(c *consent.Config) { c.Link = true }), customer, "mail 9")
	if j.cookies != nil {
		t.Errorf("cookies %v", j.cookies)
	}
	for range 2 {
		res, w := j.callback(http.MethodGet, j.good().Encode())
		if res == nil || !res.Granted || res.Data != "mail 9" || len(w.Result().Cookies()) > 0 {
			t.Errorf("told %+v, cookies %v", res, w.Result().Cookies())
		}
	}
}

// Any tenant may answer for a domain, or for no tenant in particular.
func TestTenantsThatCannotBeCompared(t *testing.T) {
	for _, tenant := range []string{"organizations", "customer.example"} {
		j := begin(t, newFlow(t, nil), tenant, "")
		res, _ := j.callback(http.MethodGet, j.good().Encode())
		if res == nil || !res.Granted || res.UnverifiedTenant != customer || res.RequestedTenant != tenant {
			t.Errorf("%s: %+v", tenant, res)
		}
	}
}

func TestURL(t *testing.T) {
	for _, tc := range []struct{ tenant, scope, path string }{
		{customer, scope, "/" + customer + "/v2.0/adminconsent"},
		{strings.ToUpper(customer), scope, "/" + customer + "/v2.0/adminconsent"},
		{"customer.example", scope, "/customer.example/v2.0/adminconsent"},
		{"Organizations", scope, "/organizations/v2.0/adminconsent"},
		{"organizations", "", "/organizations/adminconsent"},
		{"common", "", "/common/adminconsent"},
		{customer, "", "/" + customer + "/adminconsent"},
		{"common", scope, ""}, {"consumers", scope, ""}, {"", scope, ""}, {"../x", scope, ""}, {customer + "/..", scope, ""}, {"adfs", "", ""}, {"a b", "", ""},
	} {
		address, setCookie, err := newFlow(t, func(c *consent.Config) { c.Scope = tc.scope }).URL(tc.tenant, "d")
		if tc.path == "" {
			if err == nil || address != "" || setCookie != "" {
				t.Errorf("%q: %q, %v", tc.tenant, address, err)
			}
			continue
		}
		u, parseErr := url.Parse(address)
		if err != nil || parseErr != nil {
			t.Fatalf("%q: %v, %v", tc.tenant, err, parseErr)
		}
		q := u.Query()
		if u.Host != "login.microsoftonline.com" || u.Path != tc.path || q.Get("client_id") != app || q.Get("redirect_uri") != redirect || q.Get("scope") != tc.scope || q.Has("scope") != (tc.scope != "") {
			t.Errorf("%s", address)
		}
		c := mustCookie(t, setCookie)
		if !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 3600 {
			t.Errorf("cookie %s", setCookie)
		}
	}
	f := newFlow(t, nil)
	if _, _, err := f.URL(customer, strings.Repeat("x", consent.MaxData)); err != nil {
		t.Error(err)
	}
	if _, _, err := f.URL(customer, strings.Repeat("x", consent.MaxData+1)); err == nil {
		t.Error("data of 513 bytes")
	}
	// Over http, on a loopback address, browsers differ in what they think of Secure.
	_, setCookie, err := newFlow(t, func(c *consent.Config) { c.RedirectURL = "http://localhost:8080/cb" }).URL(customer, "")
	if c := mustCookie(t, setCookie); err != nil || c.Secure || strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly {
		t.Errorf("cookie %s, %v", setCookie, err)
	}
}

func TestStart(t *testing.T) {
	f := newFlow(t, nil)
	w := httptest.NewRecorder()
	f.Start(customer).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	u, err := url.Parse(w.Header().Get("Location"))
	if w.Code != http.StatusFound || err != nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	j := &journey{t: t, flow: f, state: u.Query().Get("state"), cookies: w.Result().Cookies()}
	if res, _ := j.callback(http.MethodGet, j.good().Encode()); res == nil || !res.Granted {
		t.Errorf("told %+v", res)
	}
	w = httptest.NewRecorder()
	f.Start("no tenant").ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError || w.Header().Get("Location") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	f.Start(customer).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d", w.Code)
	}
}

func TestNew(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*consent.Config)
		want   []string // in the error; none: it is fine
	}{
		"as it should be":      {func(*consent.Config) {}, nil},
		"loopback":             {func(c *consent.Config) { c.RedirectURL = "http://127.0.0.1:80/cb" }, nil},
		"loopback, IPv6":       {func(c *consent.Config) { c.RedirectURL = "http://[::1]/cb?a=b" }, nil},
		"everything":           {func(c *consent.Config) { *c = consent.Config{TTL: -1, Scope: "x", Cloud: cloud.Custom("ftp://x")} }, []string{"client ID is empty", "RedirectURL is empty", "Scope", "Keys is empty", "TTL", "cloud"}},
		"http":                 {func(c *consent.Config) { c.RedirectURL = "http://app.example/cb" }, []string{"loopback"}},
		"a host like it":       {func(c *consent.Config) { c.RedirectURL = "http://localhost.example/cb" }, []string{"loopback"}},
		"a fragment":           {func(c *consent.Config) { c.RedirectURL += "#x" }, []string{"fragment"}},
		"an empty fragment":    {func(c *consent.Config) { c.RedirectURL += "#" }, []string{"fragment"}},
		"a user":               {func(c *consent.Config) { c.RedirectURL = "https://u:p4ss@app.example/" }, []string{"user information"}},
		"no host":              {func(c *consent.Config) { c.RedirectURL = "/cb" }, []string{"absolute"}},
		"another scheme":       {func(c *consent.Config) { c.RedirectURL = "myapp://auth" }, []string{"https"}},
		"too long":             {func(c *consent.Config) { c.RedirectURL += strings.Repeat("x", 256) }, []string{"256"}},
		"a short key":          {func(c *consent.Config) { c.Keys = [][]byte{key1, []byte("secretkey")} }, []string{"key 2 has 9 bytes"}},
		"a scope of two":       {func(c *consent.Config) { c.Scope = "a/.default b/.default" }, []string{"one scope"}},
		"two days":             {func(c *consent.Config) { c.TTL = 48 * time.Hour }, []string{"24 hours"}},
		"a client by its name": {func(c *consent.Config) { c.ClientID = "my app" }, []string{"GUID"}},
	} {
		cfg := consent.Config{ClientID: app, RedirectURL: redirect, Scope: scope, Keys: [][]byte{key1}}
		tc.change(&cfg)
		_, err := consent.New(cfg)
		if (err != nil) != (tc.want != nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p4ss") || strings.Contains(err.Error(), "secretkey") {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

func TestKeysAreNotShown(t *testing.T) {
	secret := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	f := newFlow(t, func(c *consent.Config) { c.Keys = [][]byte{secret} })
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{f, struct{ F *consent.Flow }{f}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, string(secret)) || strings.Contains(s, fmt.Sprint(secret)) {
				t.Errorf("%s: %s", format, s)
			}
		}
	}
}
