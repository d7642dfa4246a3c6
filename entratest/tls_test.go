// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

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
