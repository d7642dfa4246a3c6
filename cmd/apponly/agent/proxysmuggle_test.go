// SPDX-License-Identifier: MIT

package agent_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// What comes after a body in chunks are headers, too (RFC 9110 section 6.5).
func TestProxyTakesTrailersAway(t *testing.T) {
	t.Parallel()
	_, to, h := behindProxy(t, nil)
	front := httptest.NewServer(h)
	defer front.Close()
	r, err := http.NewRequest("POST", front.URL, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"Authorization": {"Bearer CALLER"}, "X-Forwarded-For": {"CALLER"}, "X-Kept": {"CALLER"}}
	resp, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	seen, bodies := to.requests()
	if len(seen) != 1 || bodies[0] != "body" || len(seen[0].Trailer) > 0 {
		t.Errorf("the API got %q, and after it %v", bodies, seen[0].Trailer)
	}
}

// A method that is not listed does not go along as a header either, nor another path.
func TestProxyTakesOverridesAway(t *testing.T) {
	t.Parallel()
	w, to, h := behindProxy(t, nil)
	names := []string{"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"}
	var changes []change
	for _, name := range names {
		changes = append(changes, set(name, "DELETE"))
	}
	if a := ask(h, w.to("POST", "/orders/1", "", changes...)); a.status != 200 {
		t.Fatal(a.body)
	}
	seen, _ := to.requests()
	for _, name := range names {
		if got := seen[0].Header.Get(name); got != "" {
			t.Errorf("the API got %s: %s", name, got)
		}
	}
}

// Servers differ in what they take for a segment of dots: some cut parameters off it,
// some decode it once more.
func TestProxyPathsThatClimb(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/../x", "/a/..", "/%2e%2e/x", "/..%2fx", "/..%5cx", "/.%2E/x",
		"/..;/x", "/..;a=b/x", "/%2e%2e;/x", "/..%3b/x", "/.;/x",
		"/%252e%252e/x", "/%25252e%25252e/x", "/..%252fx", "/..%255cx", "/..%253bx",
	} {
		w, to, h := behindProxy(t, nil)
		a := ask(h, w.to("GET", path, ""))
		if seen, _ := to.requests(); a.status != 400 || len(seen) > 0 {
			t.Errorf("%s: %d and %d requests at the API, want 400 and none", path, a.status, len(seen))
		}
	}
	for _, path := range []string{"/a..b/x", "/...", "/users('a@b.example')/x;y=.", "/100%25", "/a%2520b", "/%25zz"} {
		w, to, h := behindProxy(t, nil)
		a := ask(h, w.to("GET", path, ""))
		if seen, _ := to.requests(); a.status != 200 || len(seen) != 1 || seen[0].URL.EscapedPath() != "/base"+path {
			t.Errorf("%s: %d and %s at the API", path, a.status, fmt.Sprint(seen))
		}
	}
}

// TRACE would have the API send the token back to the caller.
func TestProxyOfTRACE(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"TRACE", "TRACK", "CONNECT"} {
		_, err := agent.Parse("proxy:\n- {listen: 127.0.0.1:1, to: https://x, scope: a/.default, open: true, methods: [" + method + "]}\n")
		if err == nil || !strings.Contains(err.Error(), "proxy[0].methods[0]: want a method") {
			t.Errorf("%s: %v", method, err)
		}
	}
}
