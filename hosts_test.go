// SPDX-License-Identifier: MIT

package apponly_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/apponly/apponly"
)

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
			"https://x_1.vault.azure.net/", "https://09-azAZ.vault.azure.net/", "https://a.api.test:8443/",
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
			"http://localhost.evil.test/", "http://user@localhost/", "http://127.1:8080/", "ftp://127.0.0.1:8080/",
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

// The Host header decides at a shared front end who gets the request, so it
// counts like the URL.
func TestTransportHostHeader(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test", "*.other.test", "api.test:8443"}})
	for _, test := range []struct {
		url, host string
		want      bool
	}{
		{"https://api.test/", "", true},
		{"https://api.test/", "api.test", true},
		{"https://api.test/", "API.test:443", true},
		{"https://api.test/", "a.other.test", true},
		{"https://api.test:8443/", "api.test", true},
		{"https://api.test/", "evil.test", false},
		{"https://api.test/", "other.test", false},
		{"https://api.test/", "api.test:80", false},
		{"https://api.test/", "api.test.", false},
		{"https://api.test/", "api.test@evil.test", false},
		{"https://api.test/", "[::1]", false},
		{"https://api.test/", " ", false},
	} {
		req := newRequest(t, "GET", test.url, nil)
		req.Host = test.host
		_, err := rt.RoundTrip(req)
		if test.want != (err == nil) {
			t.Errorf("%s with Host %q: %v, want the token %t", test.url, test.host, err, test.want)
		}
		if !test.want {
			wantKind(t, err, apponly.ErrConfiguration, "its hosts are api.test, *.other.test, api.test:8443")
		}
	}
	if n := len(base.sent); n != 5 {
		t.Errorf("%d requests sent, want 5", n)
	}
}

// A reverse proxy that adds the token passes on the Host that its client has
// sent, unless told otherwise.
func TestTransportInsideAReverseProxy(t *testing.T) {
	s := newSTS(t)
	var got []string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = append(got, r.Host) }))
	defer front.Close()
	u, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.Transport = s.newTransport(t, &apponly.TransportOptions{Base: &http.Transport{DisableKeepAlives: true}, Hosts: []string{u.Host}, AllowLoopbackHTTP: true})
	for host, want := range map[string]int{u.Host: http.StatusOK, "evil.test": http.StatusBadGateway} {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "http://"+host+"/", nil)
		proxy.ServeHTTP(rec, req)
		if rec.Code != want {
			t.Errorf("Host %s: %d, want %d", host, rec.Code, want)
		}
	}
	if len(got) != 1 || got[0] != u.Host {
		t.Errorf("the front end was asked for %q, want %s alone", got, u.Host)
	}
}

// With URL.Opaque the request line may name another host, and by RFC 9112 section
// 3.2.2 that one counts.
func TestTransportOpaqueURL(t *testing.T) {
	s := newSTS(t)
	base := &apiRecorder{}
	rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
	for opaque, want := range map[string]bool{"/a%2Fb": true, "//evil.test/": false, "//api.test/": false, "evil.test": false, "*": false} {
		req := newRequest(t, "GET", "https://api.test/", nil)
		req.URL.Opaque = opaque
		_, err := rt.RoundTrip(req)
		if want != (err == nil) {
			t.Errorf("opaque %q: %v, want the token %t", opaque, err, want)
		}
		if !want {
			wantKind(t, err, apponly.ErrConfiguration, "opaque")
		}
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
		{"ftp://localhost/", []string{`"ftp"`}},
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

// A refusal is one line, whatever the URL says and however much.
func TestTransportRefusalIsOneLine(t *testing.T) {
	s := newSTS(t)
	long := strings.Repeat("x", 2000) + "\nlog: forged"
	for _, u := range []*url.URL{
		{Scheme: "http", Host: long},
		{Scheme: "http", Host: "localhost:" + long},
		{Scheme: long, Host: "api.test"},
		{Scheme: "https", Host: long},
		{Scheme: "https", Host: "api.test:" + strings.Repeat("1", 2000)},
		{Scheme: "https", Host: long, User: url.User("user")},
		{Scheme: "https", Host: long, Opaque: "evil.test"},
	} {
		rt := s.newTransport(t, &apponly.TransportOptions{Base: &apiRecorder{}, Hosts: []string{"api.test"}})
		_, err := rt.RoundTrip((&http.Request{Method: "GET", URL: u}).WithContext(t.Context()))
		wantKind(t, err, apponly.ErrConfiguration)
		if err != nil && (len(err.Error()) > 500 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%.20s…//%.20s…: %d bytes or more than a line: %.600q", u.Scheme, u.Host, len(err.Error()), err)
		}
	}

	long = "https://" + strings.Repeat("x", 900) + "/.default"
	_, err := apponly.NewTransport(s.client(t), strings.Replace(long, "https", "api", 1), nil)
	_, errHost := apponly.NewTransport(s.client(t), long, &apponly.TransportOptions{Hosts: []string{long}})
	_, errTop := apponly.NewTransport(s.client(t), long, &apponly.TransportOptions{Hosts: []string{"*." + strings.Repeat("x", 2000)}})
	rt, ok := apponly.NewTransport(s.client(t), long, &apponly.TransportOptions{Base: &apiRecorder{}, Hosts: []string{"api.test"}})
	if ok != nil {
		t.Fatal(ok)
	}
	_, refused := rt.RoundTrip(newRequest(t, "GET", "https://elsewhere.test/", nil))
	for _, err := range []error{err, errHost, errTop, refused} {
		wantKind(t, err, apponly.ErrConfiguration)
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%d bytes: %.600q", len(err.Error()), err)
		}
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
