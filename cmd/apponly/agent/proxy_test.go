// SPDX-License-Identifier: MIT

package agent_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// An api notes what reaches it, and answers as it is told.
type api struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []*http.Request
	bodies []string
	answer http.HandlerFunc // nil: 200
}

func newAPI(t *testing.T) *api {
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.seen, a.bodies = append(a.seen, r), append(a.bodies, string(body))
		a.mu.Unlock()
		if a.answer != nil {
			a.answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) requests() ([]*http.Request, []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen, a.bodies
}

// behindProxy has an agent with a proxy to an API that is open but for changes.
func behindProxy(t *testing.T, change func(*agent.Proxy)) (*world, *api, http.Handler) {
	t.Helper()
	to := newAPI(t)
	w := newWorld(t, func(c *agent.Config) {
		p := agent.Proxy{Listen: "127.0.0.1:9001", To: to.URL + "/base", Scope: c.Callers[0].Scopes[0], Open: true, Methods: []string{"GET", "POST"}}
		if change != nil {
			change(&p)
		}
		c.Proxies = []agent.Proxy{p}
		c.Callers = nil // who may use the proxy has no token by it
	})
	return w, to, w.agent.Proxy("127.0.0.1:9001")
}

// What is the caller's stays with the caller, and the API gets the app's token.
func TestProxy(t *testing.T) {
	t.Parallel()
	w, to, h := behindProxy(t, nil)
	to.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusCreated)
	}
	a := ask(h, w.to("POST", "/orders?a=b%20c&a=d", "body",
		set("Authorization", "Bearer CALLER"), set("Cookie", "CALLER"), set("X-Forwarded-For", "CALLER"), set("X-Forwarded-Anything", "CALLER"),
		set("Forwarded", "for=CALLER"), set("Via", "1.1 CALLER"), set("Connection", "keep-alive, X-Hop"), set("X-Hop", "CALLER"),
		set("Upgrade", "CALLER"), set("Te", "CALLER"), set("Proxy-Authorization", "CALLER"), set("X-Real-Ip", "CALLER"), set("X-Kept", "kept")))
	if a.status != 201 || a.header.Get("X-Answer") != "yes" {
		t.Fatalf("got %d %v", a.status, a.header)
	}
	seen, bodies := to.requests()
	r := seen[0]
	if r.Method != "POST" || r.URL.Path != "/base/orders" || r.URL.RawQuery != "a=b%20c&a=d" || bodies[0] != "body" || r.Header.Get("X-Kept") != "kept" || !strings.HasPrefix(to.URL, "http://"+r.Host) {
		t.Errorf("the API got %s %s %s %q", r.Method, r.Host, r.URL, bodies[0])
	}
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer eyJ") {
		t.Error("the API got no token")
	}
	for name, values := range r.Header {
		if strings.Contains(fmt.Sprint(values), "CALLER") || strings.Contains(fmt.Sprint(values), w.secret) {
			t.Errorf("the API got the caller's %s", name)
		}
	}
	if !strings.Contains(w.log.String(), `"route":"proxy 127.0.0.1:9001"`) {
		t.Errorf("the access log has no such call: %s", w.log)
	}
}

func TestProxyCallers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*agent.Proxy)
		call   []change
		want   int
	}{
		"open":                   {nil, []change{drop("X-Identity-Header")}, 200},
		"open, wrong secret":     {nil, []change{set("X-IDENTITY-HEADER", "x")}, 401},
		"secret":                 {func(p *agent.Proxy) { p.Open, p.Header = false, "default" }, nil, 200},
		"no secret":              {func(p *agent.Proxy) { p.Open, p.Header = false, "default" }, []change{drop("X-Identity-Header")}, 401},
		"wrong secret":           {func(p *agent.Proxy) { p.Open, p.Header = false, "default" }, []change{set("X-IDENTITY-HEADER", "x")}, 401},
		"method":                 {nil, []change{method("DELETE")}, 405},
		"GET and HEAD if silent": {func(p *agent.Proxy) { p.Methods = nil }, []change{method("POST")}, 405},
		"browser":                {nil, []change{set("Origin", "https://evil.example")}, 403},
		"fetch":                  {nil, []change{set("Sec-Fetch-Site", "cross-site")}, 403},
		"rebinding":              {nil, []change{host("evil.example")}, 400},
		"CONNECT":                {nil, []change{method("CONNECT")}, 400},
		"absolute form":          {nil, []change{func(r *http.Request) { r.RequestURI = "http://evil.example/" }}, 400},
	} {
		w, to, h := behindProxy(t, tc.change)
		a := ask(h, w.to("GET", "/", "", tc.call...))
		seen, _ := to.requests()
		if a.status != tc.want || (len(seen) == 1) != (tc.want == 200) {
			t.Errorf("%s: %d %s and %d requests at the API, want %d", name, a.status, a.body, len(seen), tc.want)
		}
	}
}

// Where a redirect leads is the caller's to decide, without the token.
func TestProxyFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	w, to, h := behindProxy(t, nil)
	other := newAPI(t)
	to.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/x", http.StatusTemporaryRedirect)
	}
	a := ask(h, w.to("GET", "/", ""))
	if a.status != 307 || a.header.Get("Location") != other.URL+"/x" {
		t.Errorf("got %d %v", a.status, a.header)
	}
	if seen, _ := other.requests(); len(seen) > 0 {
		t.Error("the redirect was followed")
	}
}

// A token that the API refuses is replaced, and what was sent goes out again if it is
// short.
func TestProxySendsAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size       int
		requests   int
		wantStatus int
	}{"short": {1 << 20, 2, 200}, "long": {1<<20 + 1, 1, 401}} {
		w, to, h := behindProxy(t, nil)
		var first string
		to.answer = func(w http.ResponseWriter, r *http.Request) {
			if first == "" {
				first = r.Header.Get("Authorization")
			}
			if r.Header.Get("Authorization") == first {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
		body := strings.Repeat("x", tc.size)
		a := ask(h, w.to("POST", "/", body))
		seen, bodies := to.requests()
		if a.status != tc.wantStatus || len(seen) != tc.requests || bodies[len(bodies)-1] != body {
			t.Errorf("%s: %d, %d requests, want %d, %d", name, a.status, len(seen), tc.wantStatus, tc.requests)
		}
	}
}

// Nothing goes to the API without a token.
func TestProxyWithoutToken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*world)
		status int
		kind   string
	}{
		"secret gone": {func(w *world) { w.App().RemoveSecret(w.Server.Secret()) }, 502, "secret_invalid"},
		"throttled": {func(w *world) {
			w.AddFault(entratest.Fault{Endpoint: "token", Status: 429, RetryAfter: "500"})
		}, 503, "throttled"},
	} {
		w, to, h := behindProxy(t, nil)
		tc.change(w)
		a := ask(h, w.to("GET", "/", ""))
		seen, _ := to.requests()
		if a.status != tc.status || a.text("kind") != tc.kind || retryAfter(a.header) < 1 || len(seen) > 0 {
			t.Errorf("%s: %d %s, Retry-After %d, %d requests", name, a.status, a.body, retryAfter(a.header), len(seen))
		}
	}
	w, to, h := behindProxy(t, nil)
	to.Close()
	a := ask(h, w.to("GET", "/?code=SECRET", ""))
	if a.status != 502 || retryAfter(a.header) < 1 || strings.Contains(a.body+w.log.String(), "SECRET") {
		t.Errorf("the API is away: %d %s", a.status, a.body)
	}
}

// Whatever a request says, the token goes to the API and nowhere else.
func TestHostileProxyRequests(t *testing.T) {
	t.Parallel()
	evil, to := newAPI(t), newAPI(t)
	evilHost := strings.TrimPrefix(evil.URL, "http://")
	w := newWorld(t, func(c *agent.Config) {
		c.Proxies = []agent.Proxy{{Listen: "127.0.0.1:0", To: to.URL + "/base", Scope: c.Callers[0].Scopes[0], Open: true, Methods: []string{"GET", "POST"}}}
		c.Health.TCP = "127.0.0.1:0"
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w.agent.Proxy("127.0.0.1:0")}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	good := "127.0.0.1"
	for _, line := range []string{
		"GET http://EVIL/ HTTP/1.1", "GET //EVIL/ HTTP/1.1", "GET ///EVIL HTTP/1.1", "GET /@EVIL HTTP/1.1", "GET /.EVIL HTTP/1.1",
		"GET /..//EVIL/ HTTP/1.1", "GET /../../x HTTP/1.1", "GET /a/.. HTTP/1.1", `GET /..\..\x HTTP/1.1`, "GET /%2e%2e/%2e%2e/x HTTP/1.1", `GET /\EVIL HTTP/1.1`, "GET /%5cEVIL HTTP/1.1",
		"GET /http://EVIL/ HTTP/1.1", "GET /?x=http://EVIL HTTP/1.1", "GET EVIL HTTP/1.1", "GET @EVIL/ HTTP/1.1", "CONNECT EVIL HTTP/1.1",
		"OPTIONS * HTTP/1.1", "GET * HTTP/1.1", "GET /#@EVIL HTTP/1.1", "GET /;@EVIL HTTP/1.1", "GET /%00 HTTP/1.1", "GET /%zz HTTP/1.1",
		"GET  / HTTP/1.1", "GET / HTTP/1.1\r\nHost: EVIL", "GET https://EVIL/ HTTP/1.0", "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
		"POST / HTTP/1.1\r\nTransfer-Encoding: identity, chunked", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", "POST / HTTP/1.1\r\nContent-Length: -1",
		"GET / HTTP/1.1\r\nX-Original-URL: http://EVIL/", "GET / HTTP/1.1\r\nX-Rewrite-URL: http://EVIL/", "GET / HTTP/1.1\r\nX-HTTP-Method-Override: DELETE",
		"GET / HTTP/1.1\r\nConnection: Authorization", "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
	} {
		for _, host := range []string{good, "EVIL"} {
			text := strings.ReplaceAll(line+"\r\nHost: "+host+"\r\nAuthorization: Bearer CALLER\r\nConnection: close\r\n\r\n", "EVIL", evilHost)
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, text)
			conn.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(bufio.NewReader(conn))
			conn.Close()
			if isToken(string(answer)) {
				t.Errorf("%q: there is a token in the answer", text)
			}
		}
	}
	if seen, _ := evil.requests(); len(seen) > 0 {
		t.Errorf("the other server got %d requests, the first %s %s", len(seen), seen[0].Method, seen[0].URL)
	}
	seen, _ := to.requests()
	if len(seen) == 0 {
		t.Error("nothing got through")
	}
	for _, r := range seen {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer eyJ") || len(r.Header["Authorization"]) != 1 {
			t.Errorf("%s %s went out without the app's token alone", r.Method, r.URL)
		}
		if clean := path.Clean(strings.ReplaceAll(r.URL.Path, `\`, "/")); clean != "/base" && !strings.HasPrefix(clean, "/base/") {
			t.Errorf("%s went out, which is not below /base", r.URL)
		}
		if r.Method != "GET" && r.Method != "POST" {
			t.Errorf("%s went out", r.Method)
		}
	}
	t.Logf("%d of the requests went to the API", len(seen))
}
