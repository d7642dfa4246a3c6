// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apponly/apponly"
)

// A web is a set of real servers. A request for /i of a chain is answered with
// a redirect to the chain's next URL, the last one with 200.
type web struct {
	t     *testing.T
	code  int
	chain []string
	http  *http.Transport

	mu      sync.Mutex
	servers map[string]*httptest.Server // by host:port
	seen    []arrival
}

type arrival struct{ host, authorization, body string }

func newWeb(t *testing.T, code int, chain ...string) *web {
	w := &web{t: t, code: code, chain: chain, servers: make(map[string]*httptest.Server)}
	first := w.server("first.test:443", true)
	// The certificate of httptest is for example.com, whoever is asked for.
	pool := first.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	w.http = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			plain := strings.HasSuffix(addr, ":80")
			return new(net.Dialer).DialContext(ctx, "tcp", w.server(addr, !plain).Listener.Addr().String())
		},
	}
	t.Cleanup(w.http.CloseIdleConnections)
	return w
}

// server returns the server of a name and port, each its own.
func (w *web) server(addr string, secure bool) *httptest.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.servers[addr]; s != nil {
		return s
	}
	s := httptest.NewUnstartedServer(w)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	w.t.Cleanup(s.Close)
	w.servers[addr] = s
	return s
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.seen = append(w.seen, arrival{r.Host, strings.Join(r.Header["Authorization"], ", "), string(body)})
	w.mu.Unlock()
	i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	if i+1 < len(w.chain) {
		// As it is: http.Redirect would rewrite it.
		rw.Header()["Location"] = []string{w.url(i + 1)}
		rw.WriteHeader(w.code)
	}
}

func (w *web) url(i int) string {
	if strings.HasPrefix(w.chain[i], "/") {
		return w.chain[i] + strconv.Itoa(i)
	}
	return w.chain[i] + "/" + strconv.Itoa(i)
}

func TestTransportRedirects(t *testing.T) {
	const graph = "https://graph.test"
	tests := []struct {
		name  string
		hosts []string // besides graph.test
		chain []string
		want  string // per hop: T with the token, - without Authorization, B with the URL's own
	}{
		{"same host", nil, []string{graph, graph, "/", graph + ":443"}, "TTTT"},
		{"upper case", nil, []string{graph, "https://GRAPH.test"}, "TT"},
		{"another of the hosts", []string{"*.api.test"}, []string{graph, "https://a.api.test", graph}, "TTT"},
		{"other host", nil, []string{graph, "https://evil.test"}, "T-"},
		{"other host, which goes on", nil, []string{graph, "https://evil.test", "/", "https://worse.test"}, "T---"},
		{"other port", nil, []string{graph, graph + ":8443"}, "T-"},
		{"plain http", nil, []string{graph, "http://graph.test"}, "T-"},
		{"sub-domain", nil, []string{graph, "https://sub.graph.test"}, "T-"},
		{"super-domain", []string{"*.deep.graph.test"}, []string{"https://a.deep.graph.test", "https://deep.graph.test"}, "T-"},
		{"look-alike", nil, []string{graph, "https://graph.test.evil.test"}, "T-"},
		{"look-alike by letters", nil, []string{graph, "https://gr%C4%85ph.test"}, "T-"},
		{"look-alike by case folding", []string{"mi.test"}, []string{"https://mi.test", "https://m%C4%B0.test"}, "T-"},
		{"name as user name", nil, []string{graph, "https://graph.test@evil.test"}, "TB"},
		{"user name", nil, []string{graph, "https://user:pass@graph.test", graph}, "TB-"},
		{"trailing dot", nil, []string{graph, "https://graph.test."}, "T-"},
		{"look-alike in IDNA's form", nil, []string{graph, "https://xn--grph-gra.test"}, "T-"},
		{"away and back for long", nil, []string{graph, graph, "https://evil.test", graph, "/", graph}, "TT----"},
		{"away within the hosts and back", []string{"other.test"}, []string{graph, "https://other.test", "https://evil.test", "https://other.test", graph}, "TT---"},
	}
	// Whatever way a chain has left, coming back does not bring the token back.
	for _, test := range slices.Clone(tests) {
		if !strings.HasSuffix(test.want, "T") {
			test.name += ", and home again"
			test.chain = append(slices.Clone(test.chain), test.chain[0], "/")
			test.want += "--"
			tests = append(tests, test)
		}
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, test := range tests {
			t.Run(strconv.Itoa(code)+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				s := newSTS(t)
				client := s.client(t)
				w := newWeb(t, code, test.chain...)
				rt, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{
					Base: w.http, Hosts: append([]string{"graph.test"}, test.hosts...),
				})
				if err != nil {
					t.Fatal(err)
				}
				req := newRequest(t, "POST", w.url(0), strings.NewReader("body"))
				resp, err := (&http.Client{Transport: rt}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("status = %d", resp.StatusCode)
				}
				if resp.Request.Header.Get("Authorization") != "" && !strings.HasSuffix(test.want, "B") {
					t.Error("the response's Request has the token")
				}
				token := mustToken(t, client, s.API().Scope()).Value()
				var got strings.Builder
				for i, hop := range w.seen {
					switch {
					case hop.authorization == "":
						got.WriteByte('-')
					case hop.authorization == "Bearer "+token:
						got.WriteByte('T')
					case strings.HasPrefix(hop.authorization, "Basic "):
						got.WriteByte('B')
					default:
						got.WriteByte('?')
					}
					wantBody := ""
					if i == 0 || code >= 307 {
						wantBody = "body"
					}
					if hop.body != wantBody {
						t.Errorf("hop %d: body %q, want %q", i, hop.body, wantBody)
					}
				}
				if got.String() != test.want {
					t.Errorf("chain %v: sent %s, want %s", test.chain, &got, test.want)
				}
			})
		}
	}
}

// A base may make a request of its own and leave that in the response, where
// the next hop would look for the chain. The chain must not be shorter for it.
func TestTransportChainOutlivesTheBase(t *testing.T) {
	for _, leaves := range []string{"another request", "nothing"} {
		t.Run(leaves, func(t *testing.T) {
			s := newSTS(t)
			chain := []string{"https://graph.test/0", "https://evil.test/1", "https://graph.test/2", "https://graph.test/3", "https://graph.test/4"}
			var tokens []bool
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				tokens = append(tokens, r.Header.Get("Authorization") != "")
				resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
				if n := len(tokens); n < len(chain) {
					resp.StatusCode = http.StatusTemporaryRedirect
					resp.Header.Set("Location", chain[n])
				}
				if leaves != "nothing" {
					resp.Request = newRequest(t, r.Method, r.URL.String(), nil)
				}
				return resp, nil
			})
			rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"graph.test"}})
			resp, err := (&http.Client{Transport: rt}).Get(chain[0])
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if want := []bool{true, false, false, false, false}; !slices.Equal(tokens, want) {
				t.Errorf("token sent = %v, want %v", tokens, want)
			}
		})
	}
}

// A chain that cannot be followed to its beginning gets no token.
func TestTransportChainWithoutABeginning(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"graph.test"}})
	endless := newRequest(t, "GET", "https://graph.test/", nil)
	endless.Response = &http.Response{Request: endless}
	cut := newRequest(t, "GET", "https://graph.test/", nil)
	cut.Response = &http.Response{}
	for _, req := range []*http.Request{endless, cut} {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if base.sent[len(base.sent)-1].Header.Get("Authorization") != "" {
			t.Error("sent with the token")
		}
	}
}

// An OpenTelemetry transport and its like send a clone, and the chain is in it.
func TestTransportChainThroughAWrapper(t *testing.T) {
	s := newSTS(t)
	w := newWeb(t, http.StatusFound, "https://graph.test", "https://graph.test", "https://evil.test", "https://graph.test")
	rt := s.newTransport(t, &apponly.TransportOptions{Base: w.http, Hosts: []string{"graph.test"}})
	outer := roundTripper(func(r *http.Request) (*http.Response, error) { return rt.RoundTrip(r.Clone(r.Context())) })
	resp, err := (&http.Client{Transport: outer}).Get(w.url(0))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var got []bool
	for _, hop := range w.seen {
		got = append(got, hop.authorization != "")
	}
	if want := []bool{true, true, false, false}; !slices.Equal(got, want) {
		t.Errorf("token sent = %v, want %v", got, want)
	}
}

// net/http drops the caller's Authorization on a redirect to another host. What
// began as a user must not go on as the app.
func TestTransportRedirectKeepsTheIdentity(t *testing.T) {
	s := newSTS(t)
	var got []string
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		a := r.Header.Get("Authorization")
		switch {
		case a == "Bearer user":
			a = "user"
		case a != "":
			a = "app"
		}
		got = append(got, r.URL.Host+" as "+a)
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}
		if len(got) == 1 {
			resp.StatusCode = 307
			resp.Header.Set("Location", "https://b.api.test/users/me")
		}
		return resp, nil
	})
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"*.api.test"}})
	req := newRequest(t, "DELETE", "https://a.api.test/users/me", nil)
	req.Header.Set("Authorization", "Bearer user")
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"a.api.test as user", "b.api.test as "}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}
