// SPDX-License-Identifier: MIT

package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
	"github.com/apponly/apponly/entratest"
)

// run has the agent run until the test ends or stop is called.
func (w *world) run(t *testing.T) (at agent.Addresses, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan agent.Addresses, 1), make(chan error, 1)
	go func() { ended <- w.agent.Run(ctx, func(a agent.Addresses) { ready <- a }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	t.Cleanup(stop)
	return at, stop
}

// get sends the good request to a running agent.
func (w *world) get(c *http.Client, endpoint string) (int, string, error) {
	r, err := http.NewRequest("GET", endpoint+"?api-version=2019-08-01&resource="+w.resource(), nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-IDENTITY-HEADER", w.secret)
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestRun(t *testing.T) {
	before := runtime.NumGoroutine()
	w := newWorld(t, func(c *agent.Config) {
		c.Health.TCP = "127.0.0.1:0"
		c.Proxies = []agent.Proxy{{Listen: "127.0.0.1:0", To: "https://api.example", Scope: c.Callers[0].Scopes[0], Open: true}}
	})
	at, stop := w.run(t)
	c := &http.Client{Transport: &http.Transport{}}
	if status, body, err := w.get(c, at.Endpoint); err != nil || status != 200 || !isToken(body) {
		t.Errorf("%s: %d %v", at.Endpoint, status, err)
	}
	if !strings.HasSuffix(at.Endpoint, "/msi/token") || at.HeaderFile != w.cfg.HeaderFile || at.Socket != "" || !strings.HasPrefix(at.IMDS, "http://localhost:") {
		t.Errorf("it is at %+v", at)
	}
	// The listener for probes has no tokens.
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/statusz": 200, "/msi/token": 404, "/v1/token": 404} {
		r, _ := http.NewRequest("GET", at.Health+path, nil)
		r.Header.Set("X-IDENTITY-HEADER", w.secret)
		r.Header.Set("Metadata", "true")
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || isToken(string(body)) {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	c.CloseIdleConnections()
	stop()
	if _, _, err := w.get(c, at.Endpoint); err == nil {
		t.Error("it still answers")
	}
	settled(t, before)
}

// settled waits for goroutines to end.
func settled(t *testing.T, most int) {
	t.Helper()
	var n int
	for range 1_000_000 { // those of net/http end when their connections are seen to be closed
		if n = runtime.NumGoroutine(); n <= most {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines, want %d", n, most)
}

// What only a server can refuse.
func TestBoundsOfTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at, _ := w.run(t)
	addr := strings.TrimSuffix(strings.TrimPrefix(at.Endpoint, "http://"), "/msi/token")
	send := func(text string) string {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		go io.WriteString(conn, text)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.TrimSpace(line)
	}
	target := "/msi/token?api-version=2019-08-01&resource=" + w.resource()
	ours := "X-IDENTITY-HEADER: " + w.secret + "\r\n"
	for name, tc := range map[string]struct{ request, want string }{
		"good":              {"GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + ours + "\r\n", "HTTP/1.1 200 OK"},
		"large header":      {"GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + ours + "A: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		"two Hosts":         {"GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\nHost: evil.example\r\n" + ours + "\r\n", "HTTP/1.1 400 Bad Request"},
		"absolute form":     {"GET http://" + addr + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + ours + "\r\n", "HTTP/1.1 400 Bad Request"},
		"absolute, foreign": {"GET http://evil.example" + target + " HTTP/1.1\r\nHost: " + addr + "\r\n" + ours + "\r\n", "HTTP/1.1 400 Bad Request"},
		"CONNECT":           {"CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n" + ours + "\r\n", "HTTP/1.1 400 Bad Request"},
		"HTTP/1.0, no Host": {"GET " + target + " HTTP/1.0\r\n" + ours + "\r\n", "HTTP/1.0 400 Bad Request"},
		"HTTP/2 preface":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"slow":              {"GET " + target + " HTTP/1.1\r\nHost: ", ""}, // closed after 5 s
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := send(tc.request); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Who has too many connections is closed, and gets others when they end.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at, _ := w.run(t)
	addr := strings.TrimSuffix(strings.TrimPrefix(at.Endpoint, "http://"), "/msi/token")
	answers := func(conn net.Conn) bool {
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.HasPrefix(line, "HTTP/1.1 404")
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	conns := make([]net.Conn, agent.MaxConnections)
	for i := range conns {
		conns[i] = dial()
	}
	if !answers(conns[len(conns)-1]) {
		t.Fatal("the last one that is allowed gets no answer")
	}
	if answers(dial()) {
		t.Error("one more than is allowed got an answer")
	}
	conns[0].Close()
	for range 1000 { // until the server has seen it
		if answers(dial()) {
			return
		}
	}
	t.Error("no answer although one has ended")
}

// A configuration is changed under load, and no call fails. What is new works, what is
// gone does not.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at, _ := w.run(t)
	var calls, failed atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				status, body, err := w.get(c, at.Endpoint)
				calls.Add(1)
				if err != nil || status != 200 {
					failed.Add(1)
					t.Log(status, body, err)
				}
			}
		})
	}
	cfg := *w.cfg
	for i := range 50 {
		more := cfg
		more.Warm = []string{w.API().Scope()}
		more.Proxies = []agent.Proxy{{Listen: fmt.Sprintf("127.0.0.%d:0", 1+i%2), To: "https://api.example", Scope: w.API().Scope(), Open: true}}
		if err := w.agent.Reload(&more, w.clients); err != nil {
			t.Fatal(err)
		}
		for was := calls.Load(); calls.Load() < was+20; {
			runtime.Gosched()
		}
	}
	bad := cfg
	bad.Listen.TCP = "192.0.2.1:80"
	if err := w.agent.Reload(&bad, w.clients); err == nil {
		t.Error("a bad configuration was taken")
	}
	taken := cfg
	taken.Health.TCP = strings.TrimSuffix(strings.TrimPrefix(at.Endpoint, "http://"), "/msi/token")
	if err := w.agent.Reload(&taken, w.clients); err == nil {
		t.Error("an address in use was taken")
	}
	cancel()
	wg.Wait()
	if failed.Load() > 0 || w.TokenRequests() != 1 {
		t.Errorf("%d of %d calls failed, with %d token requests", failed.Load(), calls.Load(), w.TokenRequests())
	}
	t.Logf("%d calls during 50 changes", calls.Load())
	cfg.Callers = nil
	if err := w.agent.Reload(&cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if status, _, err := w.get(http.DefaultClient, at.Endpoint); err != nil || status == 200 {
		t.Errorf("after its callers are gone: %d %v", status, err)
	}
}

// At the end calls under way get their answers.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at, stop := w.run(t)
	if _, err := w.AddFault(entratest.Fault{Endpoint: "token", Delay: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		status, _, err := w.get(&http.Client{Transport: &http.Transport{}}, at.Endpoint)
		if err == nil && status != 200 {
			err = errors.New(http.StatusText(status))
		}
		got <- err
	}()
	for w.Counters().Requests == 0 {
		runtime.Gosched()
	}
	stop()
	if err := <-got; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if err := w.agent.Reload(w.cfg, w.clients); err != nil {
		t.Error(err)
	}
	w.run(t) // it may run again
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, func(c *agent.Config) { c.Health.TCP = l.Addr().String() })
	if err := w.agent.Run(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), "health.tcp: ") {
		t.Errorf("got %v", err)
	}
	// An end before it has begun is an end.
	w.cfg.Health.TCP = ""
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.agent.Reload(w.cfg, w.clients); err != nil {
		t.Fatal(err)
	}
	if err := w.agent.Run(ctx, nil); err != nil {
		t.Error(err)
	}
}
