// SPDX-License-Identifier: MIT

package agent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

func drop(name string) change { return func(r *http.Request) { r.Header.Del(name) } }
func host(name string) change { return func(r *http.Request) { r.Host = name } }
func method(m string) change  { return func(r *http.Request) { r.Method = m } }

// Each of these would be a way to a token for somebody who should have none. Nobody
// gets one, and Entra is not asked.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	resource := func(name string) string { return "/msi/token?api-version=2019-08-01&resource=" + name }
	imds := "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + w.resource()
	json := set("Content-Type", "application/json")
	for name, tc := range map[string]struct {
		request *http.Request
		want    int
		error   string
	}{
		// What an application is talked into.
		"no secret":             {w.request(drop("X-Identity-Header")), 401, "invalid_client"},
		"wrong secret":          {w.request(set("X-IDENTITY-HEADER", strings.Repeat("x", 43))), 401, "invalid_client"},
		"part of the secret":    {w.request(set("X-IDENTITY-HEADER", w.secret[:42])), 401, "invalid_client"},
		"more than the secret":  {w.request(set("X-IDENTITY-HEADER", w.secret+"x")), 401, "invalid_client"},
		"empty secret":          {w.request(set("X-IDENTITY-HEADER", "")), 401, "invalid_client"},
		"two secrets":           {w.request(func(r *http.Request) { r.Header.Add("X-IDENTITY-HEADER", w.secret) }), 401, "invalid_client"},
		"secret in the query":   {w.to("GET", resource(w.resource())+"&X-IDENTITY-HEADER="+w.secret, "", drop("X-Identity-Header")), 401, "invalid_client"},
		"IMDS without Metadata": {w.to("GET", imds, ""), 400, "invalid_request"},
		"IMDS with another":     {w.to("GET", imds, "", set("Metadata", "false")), 400, "invalid_request"},
		"IMDS, version":         {w.to("GET", strings.Replace(imds, "2018-02-01", "2021-01-01", 1), "", set("Metadata", "true")), 400, "invalid_request"},
		// What was passed on.
		"X-Forwarded-For":   {w.request(set("X-Forwarded-For", "10.0.0.1")), 400, "invalid_request"},
		"X-Forwarded-Host":  {w.request(set("X-Forwarded-Host", "x")), 400, "invalid_request"},
		"X-Forwarded-Proto": {w.request(set("X-Forwarded-Proto", "https")), 400, "invalid_request"},
		"Forwarded":         {w.request(set("Forwarded", "for=10.0.0.1")), 400, "invalid_request"},
		"Forwarded, empty":  {w.request(set("Forwarded", "")), 400, "invalid_request"},
		"Via":               {w.request(set("Via", "1.1 proxy")), 400, "invalid_request"},
		"IMDS, forwarded":   {w.to("GET", imds, "", set("Metadata", "true"), set("X-Forwarded-For", "10.0.0.1")), 400, "invalid_request"},
		// Browsers, and names that were pointed here.
		"Origin":             {w.request(set("Origin", "https://evil.example")), 403, "access_denied"},
		"Origin null":        {w.request(set("Origin", "null")), 403, "access_denied"},
		"own Origin":         {w.request(set("Origin", "http://127.0.0.1:8181")), 403, "access_denied"},
		"Sec-Fetch-Site":     {w.request(set("Sec-Fetch-Site", "same-origin")), 403, "access_denied"},
		"preflight":          {w.request(method("OPTIONS"), set("Origin", "https://evil.example")), 403, "access_denied"},
		"Host of another":    {w.request(host("evil.example")), 400, "invalid_request"},
		"Host ends so":       {w.request(host("127.0.0.1.evil.example:8181")), 400, "invalid_request"},
		"Host of localhost.": {w.request(host("localhost.")), 400, "invalid_request"},
		"Host of everywhere": {w.request(host("0.0.0.0:8181")), 400, "invalid_request"},
		"Host of IMDS":       {w.request(host("169.254.169.254")), 400, "invalid_request"},
		"no Host":            {w.request(host("")), 400, "invalid_request"},
		"Host with a user":   {w.request(host("127.0.0.1@evil.example")), 400, "invalid_request"},
		// A proxy it is not.
		"absolute form":  {w.request(func(r *http.Request) { r.RequestURI = "http://127.0.0.1:8181" + r.RequestURI }), 400, "invalid_request"},
		"CONNECT":        {w.request(method("CONNECT")), 400, "invalid_request"},
		"authority form": {w.request(method("CONNECT"), func(r *http.Request) { r.RequestURI = "127.0.0.1:8181" }), 400, "invalid_request"},
		"asterisk":       {w.request(method("OPTIONS"), func(r *http.Request) { r.RequestURI = "*" }), 400, "invalid_request"},
		// What is not asked as it should be.
		"api-version":       {w.to("GET", "/msi/token?api-version=2017-09-01&resource="+w.resource(), ""), 400, "invalid_request"},
		"no api-version":    {w.to("GET", "/msi/token?resource="+w.resource(), ""), 400, "invalid_request"},
		"no resource":       {w.to("GET", "/msi/token?api-version=2019-08-01", ""), 400, "invalid_request"},
		"resource twice":    {w.to("GET", resource(w.resource())+"&resource=https://vault.azure.net", ""), 400, "invalid_request"},
		"semicolons":        {w.to("GET", resource("x;y"), ""), 400, "invalid_request"},
		"POST":              {w.request(method("POST")), 405, "invalid_request"},
		"HEAD":              {w.request(method("HEAD")), 405, "invalid_request"},
		"another path":      {w.to("GET", "/msi/token/../token?api-version=2019-08-01&resource="+w.resource(), ""), 404, "invalid_request"},
		"path with a slash": {w.to("GET", "/msi/token/?api-version=2019-08-01&resource="+w.resource(), ""), 404, "invalid_request"},
		"GET of a token":    {w.to("GET", "/v1/token?scope="+w.API().Scope(), ""), 405, "invalid_request"},
		"POST with a query": {w.to("POST", "/v1/token?scope="+w.API().Scope(), "{}", json), 400, "invalid_request"},
		"no content type":   {w.to("POST", "/v1/token", "{}"), 415, "invalid_request"},
		"not JSON":          {w.to("POST", "/v1/token", "scope=x", json), 400, "invalid_request"},
		"unknown member":    {w.to("POST", "/v1/token", `{"scope":"`+w.API().Scope()+`","scopes":"x"}`, json), 400, "invalid_request"},
		"two objects":       {w.to("POST", "/v1/token", `{"scope":"`+w.API().Scope()+`"}{}`, json), 400, "invalid_request"},
		"null":              {w.to("POST", "/v1/token", `null`, json), 400, "invalid_request"},
		"no hash":           {w.to("POST", "/v1/token", `{"scope":"`+w.API().Scope()+`","rejected_sha256":"abc"}`, json), 400, "invalid_request"},
		"a body of 65 KiB":  {w.to("POST", "/v1/token", `{"scope":"`+strings.Repeat("x", 65<<10)+`"}`, json), 413, "invalid_request"},
		"another grant":     {w.to("POST", "/v1/token", "grant_type=password&scope="+w.API().Scope(), set("Content-Type", "application/x-www-form-urlencoded")), 400, "unsupported_grant_type"},
		// What is not on the list.
		"another scope":  {w.to("GET", resource("https://vault.azure.net"), ""), 403, "access_denied"},
		"a longer scope": {w.to("GET", resource(w.resource()+"/x"), ""), 403, "access_denied"},
		"scopes":         {w.to("GET", resource(w.resource()+"/.default%20https://vault.azure.net"), ""), 403, "access_denied"},
		"a line break":   {w.to("GET", resource(w.resource()+"%0d%0aX-Evil:%20x"), ""), 403, "access_denied"},
	} {
		h := w.agent.Handler()
		if strings.HasPrefix(name, "IMDS") {
			h = w.agent.IMDS()
		}
		a := ask(h, tc.request)
		if a.status != tc.want || a.text("error") != tc.error {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, tc.want, tc.error)
		}
		if isToken(a.body) || a.text("error_description") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %s", name, a.header, a.body)
		}
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control") || name == "X-Evil" {
				t.Errorf("%s: the header %s", name, name)
			}
		}
	}
	if got := w.TokenRequests(); got != 0 {
		t.Errorf("%d token requests, want none", got)
	}
	// The secret is good; all of the above was for what is wrong with it.
	for _, name := range []string{"127.0.0.1", "localhost:8181", "LOCALHOST", "[::1]:8181", "[::1]", "127.0.0.1:8181"} {
		if a := w.ask(w.request(host(strings.ToLower(name)))); a.status != 200 {
			t.Errorf("Host %s: %d", name, a.status)
		}
	}
}

// Nobody gets anything from an agent without callers.
func TestNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *agent.Config) { c.Callers = nil })
	if a := w.ask(w.request()); a.status != 403 || isToken(a.body) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := w.post(`{"scope":"` + w.API().Scope() + `"}`); a.status != 403 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if got := w.TokenRequests(); got != 0 {
		t.Errorf("%d token requests, want none", got)
	}
}
