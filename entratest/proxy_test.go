// SPDX-License-Identifier: MIT

package entratest_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

func TestProxyRoute(t *testing.T) {
	const secure, plain = "127.0.0.1:8443", "127.0.0.1:8080"
	for addr, want := range map[string]string{
		"login.microsoftonline.com:443":        "Entra",
		"LOGIN.microsoftonline.com.:443":       "Entra",
		"login.windows.net:443":                "Entra",
		"sts.windows.net:443":                  "Entra",
		"login.partner.microsoftonline.cn:443": "Entra",
		"westeurope.login.microsoft.com:443":   "Entra",
		"a.b.login.microsoft.com:443":          "refuses",
		".login.microsoft.com:443":             "refuses",
		"management.azure.com:443":             "Entra",
		"vault.corp.example:443":               "Entra",
		"127.0.0.1:8443":                       "Entra",
		"127.0.0.1:8080":                       "metadata",
		"169.254.169.254:80":                   "metadata",
		"metadata.google.internal:80":          "metadata",
		"127.0.0.1:9000":                       "refuses",
		"graph.microsoft.com:443":              "refuses",
		"login.microsoftonline.com.evil:443":   "refuses",
		"":                                     "refuses",
	} {
		host, port, _ := net.SplitHostPort(addr)
		got := entratest.ProxyRoute(secure, plain, []string{"vault.corp.example"}, false, host, port)
		if got != want {
			t.Errorf("%q: %s, want %s", addr, got, want)
		}
		if want == "refuses" {
			want = "passes"
		}
		if got := entratest.ProxyRoute(secure, plain, []string{"vault.corp.example"}, true, host, port); got != want {
			t.Errorf("%q, passing: %s, want %s", addr, got, want)
		}
	}
	// Not even a proxy that lets everything through asks these outside.
	for _, addr := range []string{
		"login.microsoftonline.com:80", "vault.corp.example:8443", "169.254.169.254:443", "169.254.169.254:8080",
		"169.254.170.2:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "metadata.google.internal:443", "management.azure.com:80",
		"[fd00:ec2::254]:80", "[fd20:ce::254]:80", "168.63.129.16:80", "[::ffff:168.63.129.16]:32526", "100.100.100.200:80",
	} {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := entratest.ProxyRoute(secure, plain, []string{"vault.corp.example"}, true, host, port); got != "refuses" {
			t.Errorf("%q: %s, want refuses", addr, got)
		}
	}
}

func TestHostCertificates(t *testing.T) {
	if kept, made := entratest.HostCertificates(300); kept != 256 || made != 300 {
		t.Errorf("%d are kept, %d were made; want 256, 300", kept, made)
	}
}

// throughProxy returns a client with nothing but a proxy and a root.
func throughProxy(t *testing.T, proxy string, ca *x509.CertPool, http2 bool) *http.Client {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: ca}, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// asked is a token request to a cloud that exists.
func asked(t *testing.T, c *http.Client, s *entratest.Server, k cloud.Cloud) (rawResponse, error) {
	t.Helper()
	req := tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))
	to, err := url.Parse(k.TokenEndpoint(s.Tenant().ID()))
	if err != nil {
		t.Fatal(err)
	}
	req.URL, req.Host = to, to.Host
	return send(c, req)
}

func TestProxy(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := entratest.New(t)
		client := throughProxyOf(t, s, http2)
		for _, k := range []cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China, cloud.Delos} {
			got, err := asked(t, client, s, k)
			if err != nil || !got.token() {
				t.Errorf("%s: %+v, %v; want a token", k, got, err)
			}
		}
		// Whoever verifies finds the issuer of the cloud that was asked.
		var config struct {
			Issuer string `json:"issuer"`
		}
		for host, want := range map[string]string{
			"login.windows.net":              "https://login.microsoftonline.com/",
			"westeurope.login.microsoft.com": "https://login.microsoftonline.com/",
			"login.microsoftonline.us":       "https://login.microsoftonline.us/",
		} {
			getJSON(t, client, "https://"+host+"/"+s.Tenant().ID()+"/v2.0/.well-known/openid-configuration", &config)
			if want += s.Tenant().ID() + "/v2.0"; config.Issuer != want {
				t.Errorf("%s: issuer %s, want %s", host, config.Issuer, want)
			}
		}
	}
}

func throughProxyOf(t *testing.T, s *entratest.Server, http2 bool) *http.Client {
	t.Helper()
	proxy, ca := s.StartProxy()
	return throughProxy(t, proxy, ca, http2)
}

// The emulator is reached by its own name too: some programs know no NO_PROXY.
func TestProxyToItself(t *testing.T) {
	s := entratest.New(t)
	client := throughProxyOf(t, s, false)
	for range 2 {
		got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
		if err != nil || !got.token() {
			t.Errorf("%s: %+v, %v; want a token", s.Cloud(), got, err)
		}
		s.StartTLS()
	}
	m := s.Tenant().NewManagedIdentity()
	for _, host := range []string{s.StartHTTP(), "http://169.254.169.254", "http://169.254.169.254:80"} {
		req, err := http.NewRequest(http.MethodGet, host+"/metadata/identity/oauth2/token?api-version=2018-02-01&resource="+s.API().AppID(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Metadata", "true")
		var got struct {
			Token string `json:"access_token"`
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil || claimsOf(t, got.Token)["oid"] != m.ObjectID() {
			t.Errorf("%s: %s, %v; want a token of the machine's identity", host, resp.Status, err)
		}
	}
	vm := s.NewGoogleVM()
	req, err := http.NewRequest(http.MethodGet, "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity?audience=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Metadata-Flavor", "Google")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	token, err := io.ReadAll(resp.Body)
	if err != nil || claimsOf(t, string(token))["sub"] != vm.ServiceAccountID() {
		t.Errorf("Google's metadata: %s, %v", resp.Status, err)
	}
}

func TestProxyRefuses(t *testing.T) {
	s := entratest.New(t)
	proxy, ca := s.StartProxy()
	client := throughProxy(t, proxy, ca, false)
	if _, err := client.Get("https://graph.microsoft.com/v1.0/me"); err == nil || !strings.HasSuffix(err.Error(), "Forbidden: the proxy of the emulated Entra does not stand in for graph.microsoft.com:443 and lets nothing through to it") {
		t.Errorf("https: %v, want it forbidden, and the host named", err)
	}
	for _, host := range []string{"storage.example", "login.microsoftonline.com", "127.0.0.1:9"} {
		resp, err := client.Get("http://" + host + "/container")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), host) || strings.Count(string(body), "\n") != 1 {
			t.Errorf("%s: %s, %q; want 403 and a line that names it", host, resp.Status, body)
		}
	}
	var named []string
	for _, r := range s.Requests() {
		named = append(named, fmt.Sprint(r.Method, " ", r.Host, " ", r.Status))
	}
	if got, want := fmt.Sprint(named), "[CONNECT graph.microsoft.com:443 403 GET storage.example:80 403 GET login.microsoftonline.com:80 403 GET 127.0.0.1:9 403]"; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	resp, err := http.Get(proxy + "/common/discovery/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS_PROXY") {
		t.Errorf("no request to a proxy: %s, %q", resp.Status, body)
	}
}

// TestProxyMixedNames asks for one name outside of the tunnel and for another inside.
func TestProxyMixedNames(t *testing.T) {
	s := entratest.New(t)
	proxy, ca := s.StartProxy()
	open := func(serverName string) (*tls.Conn, error) {
		conn := connect(t, proxy, "login.microsoftonline.com:443")
		c := tls.Client(conn, &tls.Config{RootCAs: ca, ServerName: serverName})
		return c, c.Handshake()
	}
	if _, err := open("graph.microsoft.com"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("another name in TLS: %v", err)
	}
	for host, want := range map[string]int{
		"login.microsoftonline.com": 200, "Login.MicrosoftOnline.com:443": 200, "sts.windows.net": 421, "127.0.0.1": 421,
	} {
		c, err := open("login.microsoftonline.com")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /common/discovery/keys HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("Host %s: %s, want %d", host, resp.Status, want)
		}
		resp.Body.Close()
	}
	// A name that says by a dot that it is a full one is the same.
	if got, err := send(throughProxy(t, proxy, ca, false), mustRequest(t, "https://login.microsoftonline.com./common/discovery/keys")); err != nil || got.status != 200 {
		t.Errorf("with a dot: %+v, %v", got.status, err)
	}
	// A client that tunnels plain http as well.
	c := connect(t, proxy, "169.254.169.254:80")
	fmt.Fprint(c, "GET /metadata/identity/oauth2/token HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain http in a tunnel: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

func mustRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// connect opens a tunnel by hand.
func connect(t *testing.T, proxy, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr)
	const want = "HTTP/1.1 200 Connection established\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("CONNECT %s: %q, %v", addr, got, err)
	}
	return conn
}

func TestListenProxyErrors(t *testing.T) {
	tb := &fakeTB{}
	s := entratest.New(tb)
	for _, tt := range []struct{ addr, host string }{{"127.0.0.1", "a.example"}, {"127.0.0.1:0", "a.example:443"}, {"127.0.0.1:0", ""}} {
		if _, err := s.ListenProxy(tt.addr, entratest.ProxyOptions{Hosts: []string{tt.host}}); err == nil || !strings.HasPrefix(err.Error(), "entratest: ") {
			t.Errorf("%v: %v, want an error", tt, err)
		}
	}
	s.Close()
	if s.StartProxy(); !strings.Contains(tb.fatal, "StartProxy") {
		t.Error("StartProxy after Close is not reported")
	}
}

// TestProxyFaults has faults reach clients behind the proxy.
func TestProxyFaults(t *testing.T) {
	s := entratest.New(t)
	client := throughProxyOf(t, s, false)
	addFault(t, s, entratest.Fault{Connection: "reset", Times: 1})
	if got, err := asked(t, client, s, cloud.Public); !errors.Is(errors.Join(err, got.err), syscall.ECONNRESET) {
		t.Errorf("%+v, %v; want a reset connection", got, err)
	}
	addFault(t, s, entratest.Fault{Status: 503, Times: 1})
	if got, err := asked(t, client, s, cloud.Public); err != nil || got.status != 503 {
		t.Errorf("%+v, %v; want 503", got, err)
	}
}

// TestManyThroughOneProxy has a hundred clients, each with connections of its own, ask
// at once, for several clouds, and looks for what they leave behind.
func TestManyThroughOneProxy(t *testing.T) {
	before := runtime.NumGoroutine()
	s := entratest.NewServer()
	proxy, ca := s.StartProxy()
	s.Tenant().NewManagedIdentity()
	clouds := []cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China, cloud.Bleu, cloud.Delos}
	var wg sync.WaitGroup
	for i := range 100 {
		client := throughProxy(t, proxy, ca, i%2 == 0)
		wg.Go(func() {
			for range 3 {
				if got, err := asked(t, client, s, clouds[i%len(clouds)]); err != nil || !got.token() {
					t.Errorf("client %d: %+v, %v; want a token", i, got, err)
				}
			}
			if resp, err := client.Get("http://169.254.169.254/"); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusNotFound {
				t.Errorf("client %d: metadata: %v, %v", i, resp, err)
			}
			if _, err := client.Get("https://elsewhere.example/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
				t.Errorf("client %d: elsewhere: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := s.TokenRequests(); n != 300 {
		t.Errorf("%d token requests, want 300", n)
	}
	s.Close() // while the clients still hold their connections
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+1 })
}
