// SPDX-License-Identifier: MIT

package consent_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
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
	customer = "1b111111-1111-4111-8111-11111111111c"
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
	}{"both": {[][]byte{key2, key1}, true}, "both, before": {[][]byte{key1, key2}, true}, "the new one": {[][]byte{key2}, false}} {
		before.flow = newFlow(t, func(c *consent.Config) { c.Keys = tc.keys })
		if res, _ := before.callback(http.MethodGet, before.good().Encode()); (res != nil) != tc.ok {
			t.Errorf("%s: told %+v", name, res)
		}
	}
	after := begin(t, newFlow(t, func(c *consent.Config) { c.Keys = [][]byte{key2, key1} }), customer, "")
	after.flow = newFlow(t, func(c *consent.Config) { c.Keys = [][]byte{key2} })
	if res, _ := after.callback(http.MethodGet, after.good().Encode()); res == nil {
		t.Error("not the first key signs")
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
		for _, answer := range []string{"", "customer.example", "organizations", customer + "/x", " " + customer, customer[1:]} {
			j := begin(t, newFlow(t, nil), tenant, "")
			q := j.good()
			q.Set("tenant", answer)
			res, _ := j.callback(http.MethodGet, q.Encode())
			if res == nil || res.Granted || res.UnverifiedTenant != "" || !errors.Is(res.Err, consent.ErrTenantMismatch) {
				t.Errorf("%s, answered %q: %+v", tenant, answer, res)
			}
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
	cfg := consent.Config{Keys: [][]byte{secret}}
	f := newFlow(t, func(c *consent.Config) { c.Keys = cfg.Keys })
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)} {
		slog.New(h).Info("x", "flow", f, "config", cfg)
	}
	if s := logged.String(); strings.Contains(s, string(secret)) || strings.Contains(s, base64.StdEncoding.EncodeToString(secret)) || strings.Contains(s, fmt.Sprint(secret)) {
		t.Errorf("logged %s", s)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{f, *f, struct{ F *consent.Flow }{f}, struct{ F consent.Flow }{*f}, cfg, &cfg, struct{ C consent.Config }{cfg}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, string(secret)) || strings.Contains(s, fmt.Sprint(secret)) {
				t.Errorf("%s: %s", format, s)
			}
		}
	}
}
