// SPDX-License-Identifier: MIT

package entratest_test

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

func TestProxyPasses(t *testing.T) {
	outside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "outside "+r.Host) }))
	defer outside.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "outside ", r.Host, r.Header["X-Forwarded-For"])
	}))
	defer plain.Close()
	s := entratest.New(t)
	proxy, err := s.ListenProxy("127.0.0.1:0", entratest.ProxyOptions{PassThrough: true, Hosts: []string{"Token.Corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	roots.AddCert(outside.Certificate())
	client := throughProxy(t, proxy, roots, false)
	for _, tt := range []struct {
		url, body string
		status    int
	}{
		{outside.URL, "outside " + strings.TrimPrefix(outside.URL, "https://"), 200},
		{plain.URL, "outside " + strings.TrimPrefix(plain.URL, "http://") + "[]", 200},
		{"https://token.corp.example/nothing", "", 404},
		{"http://127.0.0.1:1/", "the proxy of the emulated Entra cannot reach 127.0.0.1:1\n", 502},
		{"http://169.254.170.2/", "the proxy of the emulated Entra does not stand in for 169.254.170.2:80 and lets nothing through to it\n", 403},
	} {
		resp, err := client.Get(tt.url)
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || string(body) != tt.body {
			t.Errorf("%s: %s %q, %v; want %d %q", tt.url, resp.Status, body, err, tt.status, tt.body)
		}
	}
	if got, err := asked(t, client, s, cloud.Public); err != nil || !got.token() {
		t.Errorf("Entra: %+v, %v; want a token", got, err)
	}

	// What a client sends arrives as it is, also what no gateway would let through.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.RawQuery, r.Header["Forwarded"], r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"])
	}))
	defer echo.Close()
	req, err := http.NewRequest(http.MethodGet, echo.URL+"/?a;b=%zz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Forwarded", "for=client")
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("X-Forwarded-Proto", "https")
	got, err := send(client, req)
	if want := "a;b=%zz[for=client] [192.0.2.1] [https]"; err != nil || string(got.body) != want {
		t.Errorf("passed on as %q, %v; want %q", got.body, err, want)
	}
}

// TestProxyClose holds connections that are passed on, as they are and as those of a
// WebSocket, while the emulator is closed.
func TestProxyClose(t *testing.T) {
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			defer conn.Close()
			io.Copy(io.Discard, conn)
		}
	}))
	defer outside.Close()
	s := entratest.New(t)
	proxy, err := s.ListenProxy("127.0.0.1:0", entratest.ProxyOptions{PassThrough: true})
	if err != nil {
		t.Fatal(err)
	}
	addr := outside.Listener.Addr().String()
	tunnel := connect(t, proxy, addr)
	socket, err := net.Dial("tcp", strings.TrimPrefix(proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for conn, target := range map[net.Conn]string{tunnel: "/", socket: outside.URL + "/"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", target, addr)
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%s: %v, %v; want 101", target, resp, err)
		}
	}
	s.Close()
	for name, conn := range map[string]net.Conn{"tunnel": tunnel, "WebSocket": socket} {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want it closed", name, err)
		}
	}
}
