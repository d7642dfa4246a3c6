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
	// If-None-Match is as long as Authorization, and is none; one without a value
	// is no Authorization either.
	req.Header = http.Header{"Accept": {"text/plain", "*/*"}, "If-None-Match": {`"1"`}, "X-Nil": nil, "X-Empty": {}, "Authorization": {}}
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
	// For User-Agent and others it means something to have no value, and for a
	// reverse proxy's X-Forwarded-For to be nil.
	for k, wantNil := range map[string]bool{"X-Nil": true, "X-Empty": false} {
		if v, ok := sent.Header[k]; !ok || (v == nil) != wantNil {
			t.Errorf("%s = %#v, there: %t; want it there as it was, nil: %t", k, v, ok, wantNil)
		}
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

func TestNewTransportRefuses(t *testing.T) {
	s := newSTS(t)
	client := s.client(t)
	for _, h := range []string{
		"", " ", "https://api.test", "api.test/", "api.test/v1", "user@api.test", "api.test:", "api.test:0", "api.test:0443",
		"api.test:65536", "api.test:-1", "api.test:+443", "api.test:https", ":443", "api.test.", "api.test.:443", ".api.test", "a..test", "a b.test",
		"api.test,other.test", "*", "*.", "*.com", "*.com:443", "**.api.test", "*.*.api.test", "a.*.test", "*api.test", "*.api.test.",
		"*.192.0.2.1", "*.2.1", "*.[::1]", "*.::1", "[::1", "::1]", "[api.test]", "[]", "fe80::1%eth0",
		"x::1]", "bücher.test", "graph.mİcrosoft.com", "graph.microsoft.com\u212a", "api.test\x00", "api.test\n",
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
		{"scope with an empty host", client, "https:///.default", nil, []apponly.Kind{apponly.ErrConfiguration}, []string{"has no host"}},
		{"scope that is no URL", client, "https://[::1/.default", nil, []apponly.Kind{apponly.ErrConfiguration}, []string{"has no host"}},
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

// Without options the token goes to the scope's host, over http.DefaultTransport.
func TestTransportDefaults(t *testing.T) {
	s := newSTS(t)
	const scope = "https://api.test/.default"
	s.Tenant().NewResource("https://api.test")
	base := &apiRecorder{}
	was := http.DefaultTransport
	http.DefaultTransport = base
	defer func() { http.DefaultTransport = was }()
	for _, opts := range []*apponly.TransportOptions{nil, {}} {
		rt, err := apponly.NewTransport(s.client(t), scope, opts)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := len(base.sent); n != 2 {
		t.Errorf("http.DefaultTransport was sent %d requests, want 2", n)
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

// What http.Client puts up with must not be a panic here.
func TestTransportWithSloppyBases(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"401 without a body": func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 401}, nil },
		"nothing at all":     func(*http.Request) (*http.Response, error) { return nil, nil },
	} {
		calls := 1
		if resp, _ := answer(nil); resp != nil {
			calls = 2 // with another token
		}
		t.Run(name, func(t *testing.T) {
			s := newSTS(t)
			base := &apiRecorder{answer: answer}
			rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
			resp, err := (&http.Client{Transport: rt}).Get("https://api.test/")
			if n := len(base.sent); n != calls {
				t.Errorf("%d calls, want %d", n, calls)
			}
			if _, bare := (&http.Client{Transport: roundTripper(answer)}).Get("https://api.test/"); (err == nil) != (bare == nil) {
				t.Errorf("%v, %v; without the transport: %v", resp, err, bare)
			}
		})
	}
}
