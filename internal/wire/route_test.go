// SPDX-License-Identifier: MIT

package wire_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

// A base takes the place of scheme and host, and nothing else changes.
func TestRouteBase(t *testing.T) {
	var seen atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(fmt.Sprintf("%s %s %s %s", r.Proto, r.TLS.ServerName, r.Host, r.RequestURI))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, tc := range []struct{ path, url, host, want string }{
		{"/", "https://login.test/t/oauth2/v2.0/token", "", "login.test /t/oauth2/v2.0/token"},
		{"/a/b", "https://login.test/t/token?x=1&y=%2F", "", "login.test /a/b/t/token?x=1&y=%2F"},
		{"/a/", "https://login.test:8443//t//token", "", "login.test:8443 /a/t/token"},
		{"/a%2Fb", "https://login.test/t%2Fu/token", "", "login.test /a%2Fb/t%2Fu/token"},
		{"/a", "https://login.test", "", "login.test /a"},
		{"/a", "https://login.test/t", "other.test", "other.test /a/t"},
	} {
		base, err := url.Parse(server.URL + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		client := wire.NewClient(wire.Route{
			Roots: func(context.Context) (*x509.CertPool, error) { return roots, nil },
			Base:  base, ServerName: "example.com",
		})
		req, err := http.NewRequestWithContext(t.Context(), "POST", tc.url, strings.NewReader("grant"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tc.host
		asked := *req.URL
		if a := send(req, client, nil); a.Status != http.StatusOK {
			t.Fatal(a.Err)
		}
		if got := seen.Load(); got != "HTTP/2.0 example.com "+tc.want {
			t.Errorf("%s below %s: %s, want %s", tc.url, tc.path, got, tc.want)
		}
		if wire.HasProxy(client) {
			t.Error("the way to a base is by the proxy of the environment")
		}
		if *req.URL != asked || req.Host != tc.host {
			t.Errorf("the request has changed: %s", req.URL)
		}
		client.CloseIdleConnections()
	}
	if !wire.HasProxy(wire.NewClient(wire.Route{})) {
		t.Error("the way to Entra is not by the proxy of the environment")
	}
}

// Both are named that a fault may be of: who was to be asked, and who was.
func TestRouteBaseFails(t *testing.T) {
	addr, _ := listen(t, says("HTTP/1.1 200 OK\r\n\r\n"))
	client := wire.NewClient(wire.Route{Base: &url.URL{Scheme: "https", Host: addr, Path: "/"}})
	reason, _ := netfault.Describe(send(post(t, t.Context()), client, nil).Err)
	if want := "sts.test through the proxy " + addr + ": TLS: the server speaks plain http on this port, not https"; reason != want {
		t.Errorf("%q, want %q", reason, want)
	}
}
