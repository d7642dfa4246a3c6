// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

func TestStartTLS(t *testing.T) {
	s := entratest.NewServer()
	if got := s.Cloud().Authority(); got != "https://login.entra.test" {
		t.Errorf("authority before: %s", got)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("CAPEM holds no certificate")
	}
	authority, pool := s.StartTLS()
	if !pool.Equal(roots) {
		t.Error("CAPEM and StartTLS disagree about the CA")
	}
	block, _ := pem.Decode(s.CAPEM())
	if ca, err := x509.ParseCertificate(block.Bytes); err != nil || !ca.IsCA || ca.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("%v, CA %t, key usage %b: strict clients take no such root", err, ca.IsCA, ca.KeyUsage) // Python's are
	}
	if again, _ := s.StartTLS(); again != authority || s.Cloud().Authority() != authority {
		t.Errorf("authority %s, second call %s, cloud %s", authority, again, s.Cloud())
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	client := &http.Client{Transport: transport}
	for _, base := range []string{authority, strings.Replace(authority, "127.0.0.1", "localhost", 1)} {
		var config struct{ Issuer string }
		getJSON(t, client, base+"/"+s.Tenant().ID()+"/v2.0/.well-known/openid-configuration", &config)
		if want := base + "/" + s.Tenant().ID() + "/v2.0"; config.Issuer != want {
			t.Errorf("issuer = %s, want that of the host asked, %s", config.Issuer, want)
		}
	}
	if _, err := http.Get(authority); err == nil {
		t.Error("a client without the CA is served")
	}

	transport.CloseIdleConnections()
	s.Close()
	s.Close()
	if _, err := client.Get(authority); err == nil {
		t.Error("still listening after Close")
	}
	if got := postForm(t, s, s.Tenant().ID(), secretForm(s)); got.Status != http.StatusOK {
		t.Errorf("in memory after Close: %d", got.Status)
	}
}

// fakeTB records what New does with a test.
type fakeTB struct {
	cleanups []func()
	fatal    string
}

func (f *fakeTB) Helper()                   {}
func (f *fakeTB) Cleanup(fn func())         { f.cleanups = append(f.cleanups, fn) }
func (f *fakeTB) Fatalf(s string, _ ...any) { f.fatal = s }

func TestNewUsesTB(t *testing.T) {
	tb := &fakeTB{}
	s := entratest.New(tb)
	s.StartTLS()
	for _, fn := range tb.cleanups {
		fn()
	}
	if s.StartTLS(); tb.fatal == "" {
		t.Error("StartTLS after the test has ended is not reported")
	}
}

func TestListenTLS(t *testing.T) {
	type row struct{ addr, host string }
	rows := []row{
		{"127.0.0.1:0", "127.0.0.1"},
		{":0", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.1"},
		{"localhost:0", "localhost"},
	}
	if runtime.GOOS == "linux" { // elsewhere the loopback has one address
		rows = append(rows, row{"127.0.0.2:0", "127.0.0.2"}) // for which the certificate holds only if it is given
	}
	for _, tt := range rows {
		t.Run(tt.addr, func(t *testing.T) {
			s := entratest.New(t)
			authority, err := s.ListenTLS(tt.addr)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(authority, "https://"+tt.host+":") || s.Cloud().Authority() != authority {
				t.Errorf("authority %s, cloud %s; want host %s", authority, s.Cloud(), tt.host)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(s.CAPEM())
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
			defer transport.CloseIdleConnections()
			got, err := send(&http.Client{Transport: transport}, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
			if err != nil || !got.token() {
				t.Errorf("%+v, %v; want a token", got, err)
			}
			if again, err := s.ListenTLS(tt.addr); err == nil || again != "" || !strings.Contains(err.Error(), authority) {
				t.Errorf("a second time: %q, %v", again, err)
			}
			if again, _ := s.StartTLS(); again != authority {
				t.Errorf("StartTLS = %s, want %s", again, authority)
			}
		})
	}
}

func TestListenTLSErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := entratest.New(t)
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:x", taken.Addr().String()} {
		if _, err := s.ListenTLS(addr); err == nil || !strings.HasPrefix(err.Error(), "entratest: ") {
			t.Errorf("%q: %v, want an error", addr, err)
		}
	}
	if got := s.Cloud().Authority(); got != "https://login.entra.test" {
		t.Errorf("authority = %s after all that failed", got)
	}
	if _, err := s.ListenTLS("127.0.0.1:0"); err != nil {
		t.Errorf("and then: %v", err)
	}
	s.Close()
	if _, err := s.ListenTLS("127.0.0.1:0"); err == nil {
		t.Error("listening after Close")
	}
}

// TestPlainHTTP has nothing of the token service at the plain door.
func TestPlainHTTP(t *testing.T) {
	tb := &fakeTB{}
	s := entratest.New(tb)
	base := s.StartHTTP()
	if again := s.StartHTTP(); again != base || !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Errorf("base %s, then %s", base, again)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	sockets, memory := &http.Client{Transport: transport}, s.HTTPClient()
	path := strings.TrimPrefix(s.Cloud().TokenEndpoint(s.Tenant().ID()), s.Cloud().Authority())
	for _, url := range []string{path, "/common/discovery/keys", "/_emulator/counters", "/"} {
		for host, c := range map[string]*http.Client{
			base: sockets, base + "/.": memory, "http://169.254.169.254": memory, "http://METADATA.google.internal:80": memory,
		} {
			got, err := c.PostForm(strings.TrimSuffix(host, "/.")+url, secretForm(s))
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s: %s, want 404", host, url, got.Status)
			}
		}
	}
	if n := s.TokenRequests(); n != 0 || len(s.Requests()) != 16 {
		t.Errorf("%d token requests, %d requests; want 0, 16", n, len(s.Requests()))
	}
	for _, url := range []string{"https://169.254.169.254/", "http://169.254.169.254:8080/", "http://login.entra.test/"} {
		if resp, err := memory.Get(url); err == nil {
			resp.Body.Close()
			t.Errorf("%s answers", url)
		}
	}
	// Faults go by the path's endpoint, but hit any path.
	addFault(t, s, entratest.Fault{Status: 410, Times: 1})
	if got, err := sockets.Get(base + "/metadata/instance"); err != nil || got.StatusCode != 410 {
		t.Errorf("%v, %v; want 410", got, err)
	} else {
		got.Body.Close()
	}

	s.Close()
	if _, err := sockets.Get(base); err == nil {
		t.Error("still listening after Close")
	}
	if s.StartHTTP(); tb.fatal == "" {
		t.Error("StartHTTP after Close is not reported")
	}
}

// TestManyEmulators runs fifty at once, each behind TLS, each with a fault, and
// looks for what they leave behind.
func TestManyEmulators(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		for i := range 50 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				s := entratest.New(t)
				client := secureClient(t, s, i%2 == 0)
				s.StartHTTP()
				ask := func() (rawResponse, error) {
					return send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
				}
				remove := addFault(t, s, entratest.Fault{Code: 90033, RetryAfter: fmt.Sprint(i)})
				if got, err := ask(); err != nil || got.status != 503 || got.header.Get("Retry-After") != fmt.Sprint(i) {
					t.Errorf("%+v, %v; want the fault of this emulator", got, err)
				}
				remove()
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						if got, err := ask(); err != nil || !got.token() {
							t.Errorf("%+v, %v; want a token", got, err)
						}
					})
				}
				wg.Wait()
				addFault(t, s, entratest.Fault{Connection: []string{"hang", "black-hole", "truncate", "reset"}[i%4]})
				end := make(chan error, 1)
				go func() {
					got, err := ask()
					end <- errors.Join(err, got.err)
				}()
				eventually(t, "the last request", func() bool { return s.TokenRequests() == 6 })
				s.Close()
				if err := <-end; err == nil {
					t.Error("the fault does nothing")
				}
			})
		}
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// TestStartWhileServing is for the race detector: an emulator in memory gets its
// sockets.
func TestStartWhileServing(t *testing.T) {
	s := entratest.New(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 100 {
				s.Cloud()
				resp, err := s.HTTPClient().Get("http://169.254.169.254/")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
		wg.Go(func() { s.StartTLS() })
		wg.Go(func() { _, _ = s.ListenTLS("127.0.0.1:0") }) // an error if it comes second
		wg.Go(func() { s.StartHTTP() })
	}
	wg.Wait()
}

// TestCloseWhileBusy closes an emulator that is being asked.
func TestCloseWhileBusy(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := entratest.New(t)
		client := secureClient(t, s, http2)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					resp, err := client.Do(tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
		eventually(t, "some requests", func() bool { return s.TokenRequests() > 20 })
		closed := time.Now()
		s.Close()
		if took := time.Since(closed); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		wg.Wait()
	}
}
