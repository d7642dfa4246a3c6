// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// newTransport returns a transport of the demo app for the demo API, whose
// hosts must be named.
func (s *sts) newTransport(t testing.TB, opts *apponly.TransportOptions) *apponly.Transport {
	t.Helper()
	rt, err := apponly.NewTransport(s.client(t), s.API().Scope(), opts)
	if err != nil {
		t.Fatalf("NewTransport: %v", err)
	}
	return rt
}

// An apiRecorder is a base that answers from memory and keeps what it was sent.
type apiRecorder struct {
	mu     sync.Mutex
	sent   []*http.Request
	closed int
	answer func(*http.Request) (*http.Response, error) // nil: 200
}

func (r *apiRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.sent = append(r.sent, req)
	r.mu.Unlock()
	if req.Body != nil {
		defer req.Body.Close()
	}
	if r.answer != nil {
		return r.answer(req)
	}
	return status(http.StatusOK, "{}")(req)
}

func (r *apiRecorder) CloseIdleConnections() { r.closed++ }

// tracked is a body that knows whether it was closed.
type tracked struct {
	io.Reader
	closed atomic.Bool
}

func newTracked() *tracked { return &tracked{Reader: strings.NewReader("body")} }

func (b *tracked) Close() error { b.closed.Store(true); return nil }

func newRequest(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestTransportAttachesTheToken(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	client := s.client(t)
	rt, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	if err != nil {
		t.Fatal(err)
	}

	body := newTracked()
	req := newRequest(t, "POST", "https://api.test/a?b=c", body)
	req.Header = http.Header{"Accept": {"text/plain", "*/*"}, "X-Empty": nil}
	before, headers := *req, req.Header.Clone()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	token := mustToken(t, client, s.API().Scope())
	sent := base.sent[0]
	if sent.Header.Get("Authorization") != "Bearer "+token.Value() { // not printed: it is a token
		t.Error("the request that was sent does not carry the client's token")
	}
	if got, want := sent.Header["Accept"], headers["Accept"]; !slices.Equal(got, want) {
		t.Errorf("Accept = %q, want %q", got, want)
	}
	if _, ok := sent.Header["X-Empty"]; !ok { // for User-Agent and others, it means something
		t.Error("a header without values was dropped")
	}
	if sent.Method != "POST" || sent.URL.String() != "https://api.test/a?b=c" || sent.Body != body || sent.Context() != req.Context() {
		t.Errorf("sent %s %s, want the caller's request but for the header", sent.Method, sent.URL)
	}

	if sent == req {
		t.Error("the caller's request itself was sent")
	}
	if !maps.EqualFunc(req.Header, headers, slices.Equal) {
		t.Errorf("the caller's headers are now %v", slices.Sorted(maps.Keys(req.Header)))
	}
	if req.URL != before.URL || req.Body != before.Body || req.Method != before.Method {
		t.Error("the caller's request was changed")
	}
	if resp.Request != req {
		t.Error("resp.Request is not the caller's: it may hold the token")
	}
}

// Something below may redact headers in place, before it logs a request. That
// must reach neither the caller nor the next request.
func TestTransportSurvivesRedactionBelow(t *testing.T) {
	s := newSTS(t)
	var got []string
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Header.Get("Authorization"))
		for _, values := range r.Header {
			for i := range values {
				values[i] = "REDACTED"
			}
			_ = append(values, "overflow")
		}
		return status(http.StatusOK, "{}")(r)
	})
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	req := newRequest(t, "GET", "https://api.test/", nil)
	req.Header.Set("Accept", "text/plain")
	req.Header.Set("X-Other", "other")
	for range 3 {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for i, g := range got {
		if !strings.HasPrefix(g, "Bearer ey") {
			t.Errorf("request %d: Authorization was no token", i)
		}
	}
	if req.Header.Get("Accept") != "text/plain" || req.Header.Get("X-Other") != "other" {
		t.Errorf("the caller's headers are now %v", req.Header)
	}
}

// What the caller has put in passes untouched, in whatever spelling and to
// whatever host, and its 401 comes back.
func TestTransportLeavesTheCallersAuthorization(t *testing.T) {
	for _, key := range []string{"Authorization", "authorization", "AUTHORIZATION"} {
		t.Run(key, func(t *testing.T) {
			s := newSTS(t)
			base := &apiRecorder{answer: status(http.StatusUnauthorized, "{}")}
			rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
			for _, target := range []string{"https://api.test/", "http://elsewhere.test/"} {
				req := newRequest(t, "GET", target, nil)
				req.Header[key] = []string{"Basic Zm9vOmJhcg=="}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				sent := base.sent[len(base.sent)-1]
				if len(sent.Header) != 1 || !slices.Equal(sent.Header[key], []string{"Basic Zm9vOmJhcg=="}) {
					t.Errorf("%s: sent headers %v, want the caller's", target, slices.Sorted(maps.Keys(sent.Header)))
				}
				if resp.StatusCode != http.StatusUnauthorized || resp.Request != req {
					t.Errorf("%s: status %d, want the base's 401 for the caller's request", target, resp.StatusCode)
				}
			}
			if n := s.requests(); n != 0 {
				t.Errorf("%d token requests, want none", n)
			}
		})
	}
}

func TestTransportHosts(t *testing.T) {
	const graph = "https://graph.microsoft.com/.default"
	tests := []struct {
		name  string
		scope string   // "": the demo API's, which has no host
		hosts []string // nil: the scope's
		plain bool     // AllowLoopbackHTTP
		in    []string
		out   []string
	}{{
		name:  "scope's host",
		scope: graph,
		in: []string{
			"https://graph.microsoft.com/v1.0/users", "https://graph.microsoft.com:443/", "https://GRAPH.Microsoft.COM/",
			"https://graph.microsoft.com:/", "https://graph.microsoft.com",
		},
		out: []string{
			"http://graph.microsoft.com/", "http://graph.microsoft.com:443/",
			"https://graph.microsoft.com:8443/", "https://graph.microsoft.com:0443/", "https://graph.microsoft.com:80/",
			"https://graph.microsoft.com./", "https://graph.microsoft.com.evil.test/", "https://evilgraph.microsoft.com/",
			"https://x.graph.microsoft.com/", "https://microsoft.com/", "https://com/",
			"https://graph.microsoft.com@evil.test/", "https://graph.microsoft.com:x@evil.test/", "https://user@graph.microsoft.com/",
			"https://evil.test/graph.microsoft.com", "https://evil.test?graph.microsoft.com", "https://evil.test#graph.microsoft.com",
			`https://evil.test;graph.microsoft.com/`, "https:///graph.microsoft.com", "https:graph.microsoft.com",
			"ftp://graph.microsoft.com/", "wss://graph.microsoft.com/", "//graph.microsoft.com/", "graph.microsoft.com", "",
			// These become another name, or nearly the same one, between
			// strings.ToLower, IDNA and the resolver.
			"https://graph.mİcrosoft.com/", "https://graph.m%C4%B0crosoft.com/", "https://graph.microſoft.com/",
			"https://graph。microsoft.com/", "https://ｇraph.microsoft.com/", "https://graph\u00ad.microsoft.com/",
			"https://grap%E2%84%8E.microsoft.com/",
		},
	}, {
		name:  "scope's host and port",
		scope: "https://api.test:8443/.default",
		in:    []string{"https://api.test:8443/"},
		out:   []string{"https://api.test/", "https://api.test:443/", "http://api.test:8443/"},
	}, {
		name:  "named hosts are instead of the scope's",
		scope: graph,
		hosts: []string{"API.test", "other.test:8443"},
		in:    []string{"https://api.test/", "https://Other.test:8443/"},
		out:   []string{"https://graph.microsoft.com/", "https://other.test/", "https://api.test:8443/"},
	}, {
		name:  "suffix",
		hosts: []string{"*.vault.azure.net", "*.API.test:8443"},
		in: []string{
			"https://one.vault.azure.net/", "https://a.b.vault.azure.net/", "https://ONE.Vault.Azure.Net/",
			"https://x_1.vault.azure.net/", "https://a.api.test:8443/",
		},
		out: []string{
			"https://vault.azure.net/", "https://.vault.azure.net/", "https://..vault.azure.net/", "https://a..vault.azure.net/",
			"https://evilvault.azure.net/", "https://one.vault.azure.net.evil.test/", "https://one.vault.azure.net./",
			"https://a.api.test/", "https://evil.test!.vault.azure.net/", "https://*.vault.azure.net/",
			"https://ü.vault.azure.net/", "https://one.vault.azure.net:8443/", "http://one.vault.azure.net/",
		},
	}, {
		name:  "IDN in ASCII",
		hosts: []string{"xn--bcher-kva.test"},
		in:    []string{"https://xn--bcher-kva.test/", "https://XN--bcher-KVA.test/"},
		out:   []string{"https://bücher.test/", "https://b%C3%BCcher.test/", "https://bucher.test/"},
	}, {
		name:  "addresses",
		hosts: []string{"192.0.2.1", "[2001:DB8::1]:8443", "2001:db8::2", "[2001:db8::3]"},
		in:    []string{"https://192.0.2.1/", "https://[2001:db8::1]:8443/", "https://[2001:DB8::2]/", "https://[2001:db8::3]:443/"},
		out:   []string{"https://192.0.2.10/", "https://3221225985/", "https://[2001:db8::1]/", "https://[2001:db8::2%25eth0]/"},
	}, {
		name:  "loopback is no exception by itself",
		hosts: []string{"127.0.0.1", "localhost:80"},
		in:    []string{"https://127.0.0.1/", "https://localhost:80/"},
		out:   []string{"http://127.0.0.1:443/", "http://localhost/", "http://localhost:80/"},
	}, {
		name:  "plain http to loopback",
		hosts: []string{"127.0.0.1:8080", "localhost:80", "[::1]:8080", "192.0.2.1:80", "api.test:80", "localhost.evil.test:80"},
		plain: true,
		in: []string{
			"http://127.0.0.1:8080/", "https://127.0.0.1:8080/", "http://localhost/", "http://LOCALHOST:80/", "http://[::1]:8080/",
			"https://api.test:80/",
		},
		out: []string{
			"http://127.0.0.1/", "http://127.0.0.2:8080/", "https://127.0.0.1/", "http://192.0.2.1/", "http://api.test/",
			"http://localhost.evil.test/", "http://user@localhost/", "http://127.1:8080/",
		},
	}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSTS(t)
			if test.scope != "" {
				s.Tenant().NewResource(strings.TrimSuffix(test.scope, "/.default"))
			} else {
				test.scope = s.API().Scope()
			}
			base := &apiRecorder{}
			rt, err := apponly.NewTransport(s.client(t), test.scope, &apponly.TransportOptions{
				Base: base, Hosts: test.hosts, AllowLoopbackHTTP: test.plain,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range test.in {
				u, err := url.Parse(target)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := rt.RoundTrip((&http.Request{Method: "GET", URL: u}).WithContext(t.Context()))
				if err != nil {
					t.Errorf("%s: %v", target, err)
					continue
				}
				resp.Body.Close()
				if !strings.HasPrefix(base.sent[len(base.sent)-1].Header.Get("Authorization"), "Bearer ") {
					t.Errorf("%s: sent without the token", target)
				}
			}
			n, asked := len(base.sent), s.requests()
			for _, target := range test.out {
				u, err := url.Parse(target)
				if err != nil {
					continue // net/http would not get as far either
				}
				body := newTracked()
				_, err = rt.RoundTrip((&http.Request{Method: "POST", URL: u, Body: body}).WithContext(t.Context()))
				if err == nil {
					t.Errorf("%s: not refused", target)
					continue
				}
				wantKind(t, err, apponly.ErrConfiguration, "refused")
				if !body.closed.Load() {
					t.Errorf("%s: body not closed", target)
				}
			}
			if len(base.sent) != n || s.requests() != asked {
				t.Errorf("refused requests sent %d to the API and %d to the token endpoint", len(base.sent)-n, s.requests()-asked)
			}
		})
	}
}

func TestTransportRefusalTeaches(t *testing.T) {
	s := newSTS(t)
	rt := s.newTransport(t, &apponly.TransportOptions{
		Base: &apiRecorder{}, Hosts: []string{"api.test", "*.vault.azure.net", "other.test:8443"},
	})
	tests := []struct {
		target string
		names  []string
	}{
		{"https://elsewhere.test:444/?q=1", []string{
			s.API().Scope(), "elsewhere.test:444", "api.test", "*.vault.azure.net", "other.test:8443",
			"many Azure APIs' hosts are not their scope's", "TransportOptions.Hosts",
		}},
		{"http://api.test/", []string{"http://api.test", "want https"}},
		{"http://localhost:80/", []string{"want https", "AllowLoopbackHTTP"}},
		{"ftp://api.test/", []string{`"ftp"`}},
		{"https://user:password@api.test/", []string{"api.test", "user name"}},
	}
	for _, test := range tests {
		_, err := rt.RoundTrip(newRequest(t, "GET", test.target, nil))
		wantKind(t, err, apponly.ErrConfiguration, test.names...)
		if err != nil && (strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "q=1")) {
			t.Errorf("error tells more of the URL than its host: %v", err)
		}
	}
}

func TestNewTransportRefuses(t *testing.T) {
	s := newSTS(t)
	client := s.client(t)
	for _, h := range []string{
		"", " ", "https://api.test", "api.test/", "api.test/v1", "user@api.test", "api.test:", "api.test:0", "api.test:0443",
		"api.test:65536", "api.test:-1", "api.test:+443", "api.test:https", ":443", "api.test.", "api.test.:443", ".api.test", "a..test", "a b.test",
		"api.test,other.test", "*", "*.", "*.com", "*.com:443", "**.api.test", "*.*.api.test", "a.*.test", "*api.test", "*.api.test.",
		"*.192.0.2.1", "*.2.1", "*.[::1]", "*.::1", "[::1", "::1]", "[api.test]", "[]", "fe80::1%eth0",
		"bücher.test", "graph.mİcrosoft.com", "graph.microsoft.com\u212a", "api.test\x00", "api.test\n",
	} {
		_, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{Hosts: []string{"good.test", h}})
		if err == nil {
			t.Errorf("host %q: no error", h)
			continue
		}
		wantKind(t, err, apponly.ErrConfiguration, "host")
		if strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("host %q: error %q is not one line of text", h, err)
		}
	}

	tests := []struct {
		name  string
		c     *apponly.Client
		scope string
		hosts []string
		kinds []apponly.Kind
		names []string
	}{
		{"no client", nil, "https://api.test/.default", nil, []apponly.Kind{apponly.ErrConfiguration}, []string{"client is nil"}},
		{"scope without a host", client, s.API().Scope(), nil, []apponly.Kind{apponly.ErrConfiguration}, []string{s.API().Scope(), "TransportOptions.Hosts"}},
		{"http scope", client, "http://api.test/.default", nil, []apponly.Kind{apponly.ErrConfiguration}, []string{"TransportOptions.Hosts"}},
		{"wildcard scope", client, "https://*.api.test/.default", nil, []apponly.Kind{apponly.ErrConfiguration}, []string{"TransportOptions.Hosts"}},
		{"scope of a user", client, "https://api.test/User.Read", nil, []apponly.Kind{apponly.ErrScopeInvalid}, []string{"/.default"}},
		{"all at once", nil, "https://api.test/User.Read", []string{"a b", "*.com"},
			[]apponly.Kind{apponly.ErrScopeInvalid, apponly.ErrConfiguration}, []string{"client is nil", "/.default", "a b", "*.com"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := apponly.NewTransport(test.c, test.scope, &apponly.TransportOptions{Hosts: test.hosts})
			if err == nil {
				t.Fatal("no error")
			}
			for _, kind := range test.kinds {
				wantKind(t, err, kind, test.names...)
			}
		})
	}
	if n := s.requests(); n != 0 {
		t.Errorf("NewTransport sent %d requests", n)
	}
}

func TestTransportReturnsWhatTheBaseReturns(t *testing.T) {
	s := newSTS(t)
	answer, _ := status(http.StatusForbidden, `{"error":"no"}`, "WWW-Authenticate", `Bearer error="insufficient_scope"`)(nil)
	base := &apiRecorder{answer: func(*http.Request) (*http.Response, error) { return answer, nil }}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
	if err != nil || resp != answer || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("RoundTrip = %v, %v, want the base's own response", resp, err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != `{"error":"no"}` {
		t.Errorf("body = %q, want it unread", body)
	}
	if len(base.sent) != 1 {
		t.Errorf("sent %d times, want once", len(base.sent))
	}

	broken := errors.New("broken")
	base.answer = func(*http.Request) (*http.Response, error) { return nil, broken }
	if resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil)); resp != nil || err != broken {
		t.Errorf("RoundTrip = %v, %v, want the base's error as it is", resp, err)
	}
}

func TestTransportTokenFailure(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	rt, err := apponly.NewTransport(s.with(t, apponly.Secret("wrong")), s.API().Scope(),
		&apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, remembered := range []bool{false, true} {
		body := newTracked()
		_, err = (&http.Client{Transport: rt}).Do(newRequest(t, "POST", "https://api.test/", body))
		wantKind(t, err, apponly.ErrSecretInvalid)
		e, ok := errors.AsType[*apponly.Error](err)
		if !ok {
			t.Fatalf("error = %v, holds no *Error", err)
		}
		if e.Code != 7000215 || e.Remembered != remembered {
			t.Errorf("code = %d, remembered = %v, want 7000215, %v", e.Code, e.Remembered, remembered)
		}
		if !body.closed.Load() {
			t.Error("body not closed")
		}
	}
	if len(base.sent) != 0 {
		t.Error("sent without a token")
	}
}

func TestTransportWithoutURL(t *testing.T) {
	s := newSTS(t)
	rt := s.newTransport(t, &apponly.TransportOptions{Base: &apiRecorder{}, Hosts: []string{"api.test"}})
	body := newTracked()
	_, err := rt.RoundTrip((&http.Request{Body: body}).WithContext(t.Context()))
	wantKind(t, err, apponly.ErrConfiguration, "URL")
	if !body.closed.Load() {
		t.Error("body not closed")
	}
}

// While the token endpoint hangs, whoever waits leaves when the time is up, and
// not later.
func TestTransportLeavesInTime(t *testing.T) {
	const wait = 50 * time.Millisecond
	tests := []struct {
		name   string
		client http.Client
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		is     error
	}{{
		name: "deadline of the context",
		ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, wait)
		},
		is: context.DeadlineExceeded,
	}, {
		name: "cancelled with a cause",
		ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			timer := time.AfterFunc(wait, func() { cancel(io.ErrClosedPipe) })
			return ctx, func() { timer.Stop(); cancel(nil) }
		},
		is: io.ErrClosedPipe,
	}, {
		name:   "Client.Timeout",
		client: http.Client{Timeout: wait},
		ctx:    context.WithCancel,
		is:     context.DeadlineExceeded,
	}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				release := make(chan struct{}) // a bubble must not end with a flight under way
				defer close(release)
				s.setFault(func(*http.Request) (*http.Response, error) { <-release; return nil, nil })
				base := &apiRecorder{}
				test.client.Transport = s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				body := newTracked()
				start := time.Now()
				_, err := test.client.Do(newRequest(t, "POST", "https://api.test/", body).WithContext(ctx))
				if took := time.Since(start); took != wait {
					t.Errorf("took %v, want %v", took, wait)
				}
				if !errors.Is(err, test.is) {
					t.Errorf("error = %v, want one that is %v", err, test.is)
				}
				if e, ok := errors.AsType[*apponly.Error](err); ok {
					t.Errorf("error = %v, want no *Error: nothing is known about the token", e)
				}
				if u, ok := errors.AsType[*url.Error](err); test.is == context.DeadlineExceeded && (!ok || !u.Timeout()) {
					t.Errorf("error = %v, want a timeout to net/http", err)
				}
				if !body.closed.Load() {
					t.Error("body not closed")
				}
				if len(base.sent) != 0 {
					t.Error("sent without a token")
				}
			})
		})
	}
}

// The timeout counts for the API, too, once the token is there.
func TestTransportClientTimeoutBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(20 * time.Millisecond)
		rt := s.newTransport(t, &apponly.TransportOptions{Base: roundTripper(hang), Hosts: []string{"api.test"}})
		start := time.Now()
		_, err := (&http.Client{Transport: rt, Timeout: 50 * time.Millisecond}).Get("https://api.test/")
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
			t.Errorf("error after %v = %v, want a timeout after 50ms", took, err)
		}
	})
}

func TestTransportCloseIdleConnections(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	(&http.Client{Transport: rt}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("the base was told %d times, want once", base.closed)
	}
	// One that has none to close is no fault.
	s.newTransport(t, &apponly.TransportOptions{Base: roundTripper(hang), Hosts: []string{"api.test"}}).CloseIdleConnections()
}

func TestTransportConcurrent(t *testing.T) {
	s := newSTS(t)
	var missing atomic.Int64
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			missing.Add(1)
		}
		r.Header.Set("Authorization", "REDACTED")
		return status(http.StatusOK, "{}")(r)
	})
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	shared := newRequest(t, "GET", "https://api.test/", nil) // one header map for all
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				resp, err := rt.RoundTrip(shared.WithContext(t.Context()))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if n := missing.Load(); n != 0 {
		t.Errorf("%d requests without the token", n)
	}
	if n := s.requests(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// FuzzHost: whatever a URL looks like, the token goes over https to the very
// name that was allowed and nowhere else.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"https://graph.microsoft.com/", "https://GRAPH.microsoft.com:443/", "https://graph.microsoft.com.evil.test/",
		"https://graph.microsoft.com@evil.test/", "https://graph.microsoft.com.", "http://graph.microsoft.com:443/",
		"https://graph.m\u0130crosoft.com/", "https://graph.m%C4%B0crosoft.com/", "https://\u212aube.vault.azure.net/",
		"https://one.vault.azure.net/", "https://.vault.azure.net/", "https://[::1]:443/", "https://a%2fb.vault.azure.net",
		"//graph.microsoft.com", "https:graph.microsoft.com", "https://graph.microsoft.com:/", "HTTPS://graph.microsoft.com",
	} {
		f.Add(seed)
	}
	const exact, suffix = "graph.microsoft.com", ".vault.azure.net"
	s := newSTS(f)
	client := s.client(f)
	var token bool
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		token = token || len(r.Header["Authorization"]) > 0
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	})
	rt, err := apponly.NewTransport(client, s.API().Scope(), &apponly.TransportOptions{
		Base: base, Hosts: []string{exact, "*" + suffix}, AllowLoopbackHTTP: true,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		token = false
		_, direct := rt.RoundTrip((&http.Request{Method: "GET", URL: u}).WithContext(t.Context()))
		if sent := token; sent != (direct == nil) {
			t.Errorf("%q: token sent = %v, error = %v", target, sent, direct)
		}
		// The same as the target of a redirect from the allowed host.
		first := (&http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: exact}}).WithContext(t.Context())
		if _, err := rt.RoundTrip((&http.Request{Method: "GET", URL: u, Response: &http.Response{Request: first}}).WithContext(t.Context())); err != nil {
			t.Errorf("%q: redirect: %v", target, err)
		}
		if token != (direct == nil) {
			t.Errorf("%q: direct and redirected requests are judged differently", target)
		}
		if !token {
			return
		}
		name := u.Hostname()
		for i := range len(name) {
			if name[i] >= 0x80 {
				t.Errorf("%q: token sent to %q, which is not in ASCII", target, name)
			}
		}
		if lower := strings.ToLower(name); lower != exact && (!strings.HasSuffix(lower, suffix) || len(lower) == len(suffix)) {
			t.Errorf("%q: token sent to %q", target, name)
		}
		if u.Scheme != "https" || u.User != nil || u.Port() != "" && u.Port() != "443" {
			t.Errorf("%q: token sent", target)
		}
	})
}
