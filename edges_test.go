// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
)

// Each form of a challenge brings another token: on a 401 and on a 403.
func TestTransportAnswersChallengesInTheWild(t *testing.T) {
	const ask = `error="insufficient_claims", claims="CLAIMS"`
	for name, test := range map[string]struct {
		status       int
		challenge    string
		claims       bool // are sent
		calls, event int
	}{
		"Graph":                     {401, `Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize, client_id="x", ` + ask, true, 2, 0},
		"Storage":                   {401, `Bearer authorization_uri=https://login.microsoftonline.com/x/oauth2/authorize resource_id=https://storage.azure.com ` + ask, true, 2, 0},
		"semicolons":                {401, `Bearer realm=""; error=Insufficient_Claims; claims=CLAIMS`, true, 2, 0},
		"a revoked session":         {401, `Bearer authorization_uri="https://login.windows.net/", error="invalid_token", claims="CLAIMS"`, true, 2, 0},
		"403":                       {403, `Bearer ` + ask, true, 2, 0},
		"403 for a role":            {403, `Bearer error="insufficient_scope"`, false, 1, 0},
		"403 without a challenge":   {403, "", false, 1, 0},
		"403 that cannot be read":   {403, `Bearer error="insufficient_claims", claims="eyJ`, false, 1, 1},
		"401 that cannot be read":   {401, `Bearer error="insufficient_claims", claims="eyJ`, false, 1, 1},
		"revoked, cannot be read":   {401, `Bearer error="invalid_token", claims="ey=="`, false, 2, 1},
		"401 with a role in it":     {401, `Bearer authorization_uri=https://x.test/ error="invalid_token"`, false, 2, 0},
		"another status with claim": {400, `Bearer ` + ask, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSTS(t)
			opts := s.options()
			events := counting(opts, apponly.EventChallengeUnreadable)
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
			if err != nil {
				t.Fatal(err)
			}
			refused := mustToken(t, c, s.API().Scope()).Value()
			var sent string
			s.setFault(func(r *http.Request) (*http.Response, error) { sent = bodyAgain(r); return nil, nil })
			calls := 0
			h := s.apiClient(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls++; r.Header.Get("Authorization") == "Bearer "+refused {
					w.Header().Set("WWW-Authenticate", strings.ReplaceAll(test.challenge, "CLAIMS", base64.StdEncoding.EncodeToString([]byte(someClaims))))
					w.WriteHeader(test.status)
				}
			}))
			resp, err := h.Get("https://api.test/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if has := strings.Contains(sent, "1768000000"); has != test.claims || calls != test.calls || int(events.Load()) != test.event {
				t.Errorf("claims sent: %t, %d calls, %d events; status %d", has, calls, events.Load(), resp.StatusCode)
			}
		})
	}
}

// A wrapper sets what it does not have.
func TestTransportTakesAnEmptyAuthorizationForNone(t *testing.T) {
	for _, h := range []http.Header{
		{"Authorization": {""}}, {"Authorization": {" \t"}}, {"authorization": {""}}, {"AUTHORIZATION": {"", ""}},
		{"Authorization": {""}, "authorization": {""}, "Accept": {"*/*"}}, {"Authorization": nil}, {"authorization": {}},
	} {
		s := newSTS(t)
		base := &apiRecorder{}
		rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
		req := newRequest(t, "GET", "https://api.test/", nil)
		req.Header = h.Clone()
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		var values []string
		for k, v := range base.sent[0].Header {
			if strings.EqualFold(k, "Authorization") {
				values = append(values, v...)
			}
		}
		if len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ey") {
			t.Errorf("%q: sent with %d values, want the token alone", h, len(values))
		}
	}
	// One value among empty ones is the caller's.
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	req := newRequest(t, "GET", "https://api.test/", nil)
	req.Header = http.Header{"Authorization": {""}, "authorization": {"Basic x"}}
	if resp, err := rt.RoundTrip(req); err != nil || s.requests() != 0 {
		t.Errorf("%v, %v: %d token requests", resp, err, s.requests())
	}
}

func TestTransportAllowHTTP(t *testing.T) {
	const scope = "https://orders.shop.svc/.default"
	for name, test := range map[string]struct {
		hosts, plain []string
		in, out      []string
	}{
		"no port": {
			[]string{"orders.shop.svc", "tls.shop.svc"}, []string{"orders.shop.svc"},
			[]string{"http://orders.shop.svc/", "http://ORDERS.shop.svc:80/", "https://orders.shop.svc/", "https://tls.shop.svc"},
			[]string{"http://orders.shop.svc:443/", "http://orders.shop.svc:8080/", "https://orders.shop.svc:80/", "http://tls.shop.svc/", "http://orders.shop.svc.evil.test/", "http://user@orders.shop.svc/", "ftp://orders.shop.svc/"},
		},
		"a port": {
			[]string{"orders.shop.svc:8080"}, []string{"Orders.shop.svc:8080"},
			[]string{"http://orders.shop.svc:8080/"}, []string{"http://orders.shop.svc/", "https://orders.shop.svc/"},
		},
		"port 80": {[]string{"orders.shop.svc:80"}, []string{"orders.shop.svc"}, []string{"http://orders.shop.svc/"}, []string{"https://orders.shop.svc/"}},
		"suffix":  {[]string{"*.shop.svc"}, []string{"*.shop.svc"}, []string{"http://a.shop.svc/"}, []string{"http://shop.svc/", "http://shop.svc.evil.test/"}},
		"one below a suffix": {
			[]string{"*.shop.svc"}, []string{"a.shop.svc"}, []string{"http://a.shop.svc/", "https://b.shop.svc/"}, []string{"http://b.shop.svc/"},
		},
		"the scope's": {nil, []string{"orders.shop.svc"}, []string{"http://orders.shop.svc/"}, []string{"http://localhost/"}},
	} {
		s := newSTS(t)
		s.Tenant().NewResource("https://orders.shop.svc")
		base := &apiRecorder{}
		rt, err := apponly.NewTransport(s.client(t), scope, &apponly.TransportOptions{Base: base, Hosts: test.hosts, AllowHTTP: test.plain})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, target := range test.in {
			resp, err := rt.RoundTrip(newRequest(t, "GET", target, nil))
			if err != nil {
				t.Errorf("%s: %s: %v", name, target, err)
				continue
			}
			resp.Body.Close()
		}
		for _, target := range test.out {
			_, err := rt.RoundTrip(newRequest(t, "GET", target, nil))
			wantKind(t, err, apponly.ErrConfiguration, "refused")
		}
		// The Host header decides at a front end.
		req := newRequest(t, "GET", test.in[0], nil)
		req.Host = "other.test"
		_, err = rt.RoundTrip(req)
		wantKind(t, err, apponly.ErrConfiguration, "other.test")
	}
	c := newSTS(t).client(t)
	for _, plain := range []string{"other.svc", "orders.shop.svc:8080", "*.shop.svc", "http://orders.shop.svc", ""} {
		_, err := apponly.NewTransport(c, scope, &apponly.TransportOptions{AllowHTTP: []string{plain}})
		wantKind(t, err, apponly.ErrConfiguration, "host")
	}
	rt, err := apponly.NewTransport(c, scope, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = rt.RoundTrip(newRequest(t, "GET", "http://orders.shop.svc/", nil))
	wantKind(t, err, apponly.ErrConfiguration, "http://orders.shop.svc", "TransportOptions.AllowHTTP")
}

// What a mesh would encrypt is readable to a proxy in front of it.
func TestTransportAllowHTTPAndProxies(t *testing.T) {
	s := newSTS(t)
	var seen atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			seen.Add(1)
		}
	}))
	defer proxy.Close()
	ask := func(target, through string) error {
		base := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(through) }}
		defer base.CloseIdleConnections()
		rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"orders.shop.svc"}, AllowHTTP: []string{"orders.shop.svc"}})
		resp, err := rt.RoundTrip(newRequest(t, "GET", target, nil))
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	wantKind(t, ask("http://orders.shop.svc/", "http://user:pass@proxy.test:3128"), apponly.ErrConfiguration, "through the proxy proxy.test:3128", "NO_PROXY")
	if err := ask("http://orders.shop.svc/", proxy.URL); err != nil || seen.Load() != 1 { // a sidecar
		t.Errorf("a proxy on loopback: %v, %d requests", err, seen.Load())
	}
}

func TestHTTPClient(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	h, err := s.client(t).HTTPClient(s.API().Scope(), &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		resp, err := h.Get("https://api.test/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := base.sent[1].Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer ey") || s.requests() != 1 {
		t.Errorf("%d token requests, or no token", s.requests())
	}
	h, err = s.client(t).HTTPClient("no scope", nil)
	wantKind(t, err, apponly.ErrScopeInvalid)
	if h != nil {
		t.Error("a client beside an error")
	}
}

// What is nil says so.
func TestNilArguments(t *testing.T) {
	s := newSTS(t)
	good := s.client(t)
	scope := s.API().Scope()
	var nilCtx context.Context
	ctx := t.Context()
	calls := map[string]func(c *apponly.Client) error{
		"Token": func(c *apponly.Client) error { _, err := c.Token(ctx, scope); return err },
		"TokenFor": func(c *apponly.Client) error {
			_, err := c.TokenFor(ctx, apponly.TokenRequest{Scope: scope, Force: true})
			return err
		},
		"Tenant":   func(c *apponly.Client) error { _, err := c.Tenant(someTenant); return err },
		"Warm":     func(c *apponly.Client) error { return c.Warm(ctx, scope) },
		"KeepWarm": func(c *apponly.Client) error { return c.KeepWarm(ctx, scope) },
		"TokenCredential": func(c *apponly.Client) error {
			_, err := c.TokenCredential().GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
			return err
		},
		"NewTransport": func(c *apponly.Client) error {
			_, err := apponly.NewTransport(c, "https://api.test/.default", nil)
			return err
		},
		"HTTPClient": func(c *apponly.Client) error { _, err := c.HTTPClient("https://api.test/.default", nil); return err },
	}
	for name, call := range calls {
		for what, c := range map[string]*apponly.Client{"nil": nil, "zero": {}} {
			t.Run(name+" of a "+what+" client", func(t *testing.T) { wantKind(t, call(c), apponly.ErrConfiguration, "lient is nil") })
		}
	}
	for _, c := range []*apponly.Client{nil, {}} {
		if c.TenantID() != "" || c.ClientID() != "" || c.Status() != nil {
			t.Error("a nil client has IDs or a status")
		}
	}
	_, err := good.Token(nilCtx, scope)
	wantKind(t, err, apponly.ErrConfiguration, "context is nil")
	_, err = good.TokenFor(nilCtx, apponly.TokenRequest{Scope: scope, Force: true})
	wantKind(t, err, apponly.ErrConfiguration, "context is nil")
	wantKind(t, good.Warm(nilCtx, scope), apponly.ErrConfiguration, "context is nil")
	wantKind(t, good.KeepWarm(nilCtx, scope), apponly.ErrConfiguration, "context is nil")
	for _, rt := range []*apponly.Transport{nil, {}} {
		_, err = rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
		wantKind(t, err, apponly.ErrConfiguration, "NewTransport")
		rt.CloseIdleConnections()
	}
	_, err = apponly.NewTransport(good, "https://api.test/.default", &apponly.TransportOptions{Base: (*http.Transport)(nil)})
	wantKind(t, err, apponly.ErrConfiguration, "TransportOptions.Base is a nil *http.Transport")
	_, err = apponly.NewTransport(good, "https://api.test/.default", &apponly.TransportOptions{Base: roundTripper(nil)})
	wantKind(t, err, apponly.ErrConfiguration, "TransportOptions.Base is a nil")
	_, err = s.newTransport(t, &apponly.TransportOptions{Hosts: []string{"api.test"}}).RoundTrip(nil)
	wantKind(t, err, apponly.ErrConfiguration, "request is nil")
	if (*apponly.Cache)(nil).Stats() != (apponly.CacheStats{}) {
		t.Error("a nil cache holds something")
	}
	o := s.options()
	o.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
	_, err = apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret("x"), o)
	wantKind(t, err, apponly.ErrConfiguration, "Options.HTTPClient", "nil *http.Transport")
}

// An exclusiveBody is one that must not be closed while it is read, as most are that
// are not net/http's.
type exclusiveBody struct {
	reading, closed atomic.Bool
	atOnce          atomic.Bool
	hang            chan struct{}
	once            sync.Once
}

func (b *exclusiveBody) Read(p []byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	<-b.hang
	return 0, io.EOF
}

func (b *exclusiveBody) Close() error {
	b.closed.Store(true)
	b.atOnce.Store(b.atOnce.Load() || b.reading.Load())
	b.once.Do(func() { close(b.hang) })
	return nil
}

// The body of a refused answer is not closed while it is read, and holds nobody up.
func TestDrainLeavesForeignBodiesAlone(t *testing.T) {
	wrap := map[string]func(io.ReadCloser) io.ReadCloser{
		"plain":              func(b io.ReadCloser) io.ReadCloser { return b },
		"embedded":           func(b io.ReadCloser) io.ReadCloser { return struct{ io.ReadCloser }{b} },
		"net/http around it": func(b io.ReadCloser) io.ReadCloser { return http.MaxBytesReader(nil, b, 1<<20) },
		"pointer":            func(b io.ReadCloser) io.ReadCloser { return &struct{ io.ReadCloser }{b} },
	}
	for name, wrap := range wrap {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				body := &exclusiveBody{hang: make(chan struct{})}
				base := &apiRecorder{}
				base.answer = func(r *http.Request) (*http.Response, error) {
					if len(base.sent) > 1 {
						return status(http.StatusOK, "{}")(r)
					}
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: wrap(body)}, nil
				}
				rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
				start := time.Now()
				resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
				if err != nil || resp.StatusCode != http.StatusOK || time.Since(start) > time.Second {
					t.Fatalf("%v, %v after %v", resp, err, time.Since(start))
				}
				synctest.Wait()
				if body.atOnce.Load() || !body.closed.Load() {
					t.Errorf("closed while it was read: %t; closed: %t", body.atOnce.Load(), body.closed.Load())
				}
			})
		})
	}
}

// Over HTTP/2 the stream of a refused answer is read to its end, too, and its
// connection serves on.
func TestTransportKeepsTheHTTP2Connection(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	refused := mustToken(t, c, s.API().Scope()).Value()
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+refused {
			http.Error(w, strings.Repeat("no ", 5000), http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	h, err := c.HTTPClient(s.API().Scope(), &apponly.TransportOptions{Base: server.Client().Transport, Hosts: []string{server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		resp, err := h.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "HTTP/2.0" {
			t.Errorf("answer %q", b)
		}
		resp.Body.Close()
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
