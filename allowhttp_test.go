// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/apponly/apponly"
)

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
