// SPDX-License-Identifier: MIT

package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
)

func TestAppService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SetRefreshIn(30 * time.Minute)
	a := w.ask(w.request())
	if a.status != 200 || !isToken(a.text("access_token")) {
		t.Fatalf("got %d %v", a.status, a.json)
	}
	if got := a.text("resource"); got != w.resource() {
		t.Errorf("resource %q, want what was asked for, %q", got, w.resource())
	}
	if a.text("token_type") != "Bearer" || a.text("client_id") != w.App().ClientID() {
		t.Errorf("got %v", a.json)
	}
	if left := until(t, a.text("expires_on")); left < 59*time.Minute {
		t.Errorf("expires in %v", left)
	}
	if n, ok := a.json["refresh_in"].(float64); !ok || n < 60 || n > 1800 {
		t.Errorf("refresh_in %v, want a number, and half an hour at most", a.json["refresh_in"])
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s", got)
	}
	for range 10 {
		w.ask(w.request())
	}
	if got := w.TokenRequests(); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}

func until(t *testing.T, unix string) time.Duration {
	t.Helper()
	n, err := strconv.ParseInt(unix, 10, 64)
	if err != nil {
		t.Fatalf("a time of %q", unix)
	}
	return time.Until(time.Unix(n, 0))
}

// The resource comes back byte for byte, or SDKs do not find it in their cache.
func TestResourceIsEchoed(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "/", "/.default"} {
		w := newWorld(t)
		resource := w.resource() + end
		cfg := *w.cfg
		cfg.Callers = []agent.Caller{{Header: agent.DefaultHeader, Scopes: []string{agent.ScopeOf(resource)}}}
		if err := w.agent.Reload(&cfg, w.clients); err != nil {
			t.Fatal(err)
		}
		a := w.ask(w.to("GET", "/msi/token?api-version=2019-08-01&resource="+url.QueryEscape(resource), ""))
		if a.status != 200 || a.text("resource") != resource {
			t.Errorf("%s: %d, and it came back as %q", resource, a.status, a.text("resource"))
		}
	}
}

func TestClientID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tc := range map[string]struct {
		query string
		want  int
	}{
		"its own":         {"&client_id=" + w.App().ClientID(), 200},
		"its own, upper":  {"&client_id=" + upper(w.App().ClientID()), 200},
		"another":         {"&client_id=11111111-2222-4333-8444-555555555555", 400},
		"an object":       {"&object_id=" + w.App().ClientID(), 400},
		"a principal":     {"&principal_id=" + w.App().ClientID(), 400},
		"a resource ID":   {"&mi_res_id=/subscriptions/x", 400},
		"its other name":  {"&msi_res_id=/subscriptions/x", 400},
		"empty is no one": {"&client_id=", 200},
	} {
		r := w.to("GET", "/msi/token?api-version=2019-08-01&resource="+w.resource()+tc.query, "")
		a := w.ask(r)
		if a.status != tc.want {
			t.Errorf("%s: status %d, want %d: %s", name, a.status, tc.want, a.body)
		}
		if tc.want == 400 && (a.text("error") != "invalid_request" || !contains(a.text("error_description"), "Identity not found")) {
			t.Errorf("%s: %v, want what IMDS says", name, a.json)
		}
	}
}

func TestIMDS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/metadata/identity/oauth2/token", "/metadata/identity/oauth2/token/"} {
		r := w.to("GET", path+"?api-version=2018-02-01&resource="+w.resource(), "", set("Metadata", "true"))
		r.Header.Del("X-IDENTITY-HEADER")
		a := ask(w.agent.IMDS(), r)
		if a.status != 200 || !isToken(a.text("access_token")) || a.text("resource") != w.resource() {
			t.Fatalf("%s: %d %v", path, a.status, a.json)
		}
		for _, name := range []string{"expires_in", "ext_expires_in", "expires_on", "not_before"} {
			if _, err := strconv.Atoi(a.text(name)); err != nil {
				t.Errorf("%s is %v, want a number as text", name, a.json[name])
			}
		}
		if v, there := a.json["refresh_token"]; !there || v != "" {
			t.Errorf("refresh_token is %v, want it empty and there", v)
		}
		// Each listener has its own paths.
		if a := w.ask(r); a.status != 404 {
			t.Errorf("over TCP it answers %d, want 404", a.status)
		}
	}
	if a := ask(w.agent.IMDS(), w.request()); a.status != 404 {
		t.Errorf("/msi/token on the listener for IMDS: %d, want 404", a.status)
	}
}

func (w *world) post(body string, changes ...change) answer {
	return w.ask(w.to("POST", "/v1/token", body, append([]change{set("Content-Type", "application/json")}, changes...)...))
}

func TestJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.post(`{"scope":"` + w.API().Scope() + `"}`)
	if a.status != 200 || !isToken(a.text("access_token")) || a.text("token_type") != "Bearer" || a.json["shared"] != false {
		t.Fatalf("got %d %v", a.status, a.json)
	}
	ends, err := time.Parse(time.RFC3339, a.text("expires_on"))
	if err != nil || time.Until(ends) < 59*time.Minute {
		t.Errorf("expires_on %q", a.text("expires_on"))
	}
	if due, err := time.Parse(time.RFC3339, a.text("refresh_on")); err != nil || !due.Before(ends) {
		t.Errorf("refresh_on %q, want a time before %v", a.text("refresh_on"), ends)
	}
	first := a.text("access_token")
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	q := func(more string) answer { return w.post(`{"scope":"` + w.API().Scope() + `",` + more + `}`) }
	if a := q(`"rejected_sha256":"` + hash("another") + `"`); a.text("access_token") != first {
		t.Errorf("another token was refused, and ours replaced: %d", a.status)
	}
	second := q(`"rejected_sha256":"` + hash(first) + `"`).text("access_token")
	if second == first || !isToken(second) {
		t.Error("the token that was refused came back")
	}
	if a := q(`"rejected_sha256":"` + hash(first) + `"`); a.text("access_token") != second {
		t.Error("who is late did not get the token that there is")
	}
	if got := w.TokenRequests(); got != 2 {
		t.Errorf("%d token requests, want 2", got)
	}
	if a := q(`"app":"default","tenant":"` + w.Tenant().ID() + `","force":false,"claims":""`); a.status != 200 {
		t.Errorf("with all of it: %d %s", a.status, a.body)
	}
	if a := q(`"tenant":"fabrikam.example"`); a.status != 403 || a.text("kind") != "tenant_not_allowed" {
		t.Errorf("a foreign tenant: %d %s", a.status, a.body)
	}
	if a := q(`"claims":"no JSON"`); a.status != 400 || a.text("kind") != "request_malformed" {
		t.Errorf("claims that are none: %d %s", a.status, a.body)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := func(v url.Values, changes ...change) answer {
		v.Set("scope", w.API().Scope())
		v.Set("grant_type", "client_credentials")
		r := w.to("POST", "/v1/token", v.Encode(), append([]change{
			func(r *http.Request) { r.Header.Del("X-IDENTITY-HEADER") },
			set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
		}, changes...)...)
		return w.ask(r)
	}
	basic := func(user, password string) change {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(password)) }
	}
	for name, tc := range map[string]struct {
		form    url.Values
		changes []change
		want    int
		error   string
	}{
		"secret":             {url.Values{"client_secret": {w.secret}}, nil, 200, ""},
		"by ID":              {url.Values{"client_id": {w.App().ClientID()}, "client_secret": {w.secret}}, nil, 200, ""},
		"by name":            {url.Values{"client_id": {"default"}, "client_secret": {w.secret}}, nil, 200, ""},
		"another app":        {url.Values{"client_id": {"billing"}, "client_secret": {w.secret}}, nil, 401, "invalid_client"},
		"wrong secret":       {url.Values{"client_secret": {w.secret + "x"}}, nil, 401, "invalid_client"},
		"no secret":          {url.Values{}, nil, 401, "invalid_client"},
		"the app's own":      {url.Values{"client_secret": {w.Server.Secret()}}, nil, 401, "invalid_client"},
		"basic":              {url.Values{}, []change{basic("default", w.secret)}, 200, ""},
		"basic, wrong":       {url.Values{}, []change{basic("default", "x")}, 401, "invalid_client"},
		"basic, other app":   {url.Values{}, []change{basic("x", w.secret)}, 401, "invalid_client"},
		"bearer":             {url.Values{}, []change{set("Authorization", "Bearer "+w.secret)}, 401, "invalid_client"},
		"by header":          {url.Values{}, []change{set("X-IDENTITY-HEADER", w.secret)}, 200, ""},
		"twice":              {url.Values{"client_secret": {w.secret}}, []change{basic("default", w.secret)}, 400, "invalid_request"},
		"a parameter twice":  {url.Values{"client_secret": {w.secret, w.secret}}, nil, 400, "invalid_request"},
		"charset is no type": {url.Values{"client_secret": {w.secret}}, []change{set("Content-Type", "text/plain")}, 415, "invalid_request"},
	} {
		a := form(tc.form, tc.changes...)
		if a.status != tc.want || a.text("error") != tc.error {
			t.Errorf("%s: %d %v, want %d %s", name, a.status, a.json["error"], tc.want, tc.error)
		}
		if n, ok := a.json["expires_in"].(float64); tc.want == 200 && (!ok || n < 3500 || !isToken(a.text("access_token"))) {
			t.Errorf("%s: %v", name, a.json)
		}
	}
	if a := form(url.Values{"client_secret": {w.secret}}, func(r *http.Request) {}); a.text("token_type") != "Bearer" || a.text("scope") != w.API().Scope() {
		t.Errorf("got %v", a.json)
	}
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.ask(w.to("GET", "/v1/authorization-header?scope="+w.API().Scope(), ""))
	if a.status != 200 || len(a.body) < 100 || a.body[:10] != "Bearer eyJ" {
		t.Errorf("got %d %.20s", a.status, a.body)
	}
	for query, want := range map[string]int{"": 400, "?scope=": 400, "?scope=x": 403, "?app=x&scope=" + w.API().Scope(): 403} {
		if a := w.ask(w.to("GET", "/v1/authorization-header"+query, "")); a.status != want || isToken(a.body) {
			t.Errorf("%q: %d, want %d", query, a.status, want)
		}
	}
}

// What bypasses the cache is paced, so that a caller who asks for nothing else cannot have
// the app throttled.
func TestForceIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 200 {
			w.post(fmt.Sprintf(`{"scope":%q,"force":true}`, w.API().Scope()))
			w.post(fmt.Sprintf(`{"scope":%q,"claims":"{\"a\":%d}"}`, w.API().Scope(), i))
		}
		if got := w.TokenRequests(); got < 2 || got > 10 {
			t.Errorf("%d token requests for 400 calls in no time, want one by force and 8 for claims", got)
		}
	})
}

// One app may be there for several tenants. Who names it by its ID gets the one that is
// for this caller, each time.
func TestAppsOfOneID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.AddTenant("fabrikam.example")
	for i := range 8 {
		name := fmt.Sprintf("app%d", i)
		c, err := apponly.New(other.ID(), w.App().ClientID(), apponly.Secret(w.Server.Secret()), &apponly.Options{Cloud: w.Cloud(), HTTPClient: w.HTTPClient()})
		if err != nil {
			t.Fatal(err)
		}
		w.clients[name] = c
	}
	w.clients["mine"] = w.client(t)
	cfg := *w.cfg
	cfg.Apps = map[string]agent.App{}
	for name := range w.clients {
		cfg.Apps[name] = agent.App{From: "env"}
	}
	cfg.Callers = []agent.Caller{{Header: agent.DefaultHeader, Scopes: []string{w.API().Scope()}, Apps: []string{"mine"}}}
	if err := w.agent.Reload(&cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if a := w.post(fmt.Sprintf(`{"scope":%q,"app":%q}`, w.API().Scope(), w.App().ClientID())); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
}

// Callers of different apps do not meet.
func TestApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clients["billing"] = w.client(t)
	cfg := *w.cfg
	cfg.Apps = map[string]agent.App{"default": {From: "env"}, "billing": {From: "env"}}
	cfg.Callers = []agent.Caller{{Header: agent.DefaultHeader, Scopes: []string{w.API().Scope()}, Apps: []string{"billing"}}}
	if err := w.agent.Reload(&cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	for app, want := range map[string]int{"billing": 200, "default": 403, "": 403} {
		if a := w.post(fmt.Sprintf(`{"scope":%q,"app":%q}`, w.API().Scope(), app)); a.status != want {
			t.Errorf("the app %q: %d, want %d: %s", app, a.status, want, a.body)
		}
	}
}
