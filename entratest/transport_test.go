// SPDX-License-Identifier: MIT

package entratest_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestBubble runs the emulator in fake time: tokens, secrets and certificates
// age without anybody waiting, and nothing may be left behind at the end.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.SetTokenLifetime(time.Hour)
		start := time.Now()

		got := postForm(t, s, s.Tenant().ID(), secretForm(s))
		if got.Status != http.StatusOK || got.ExpiresIn != 3600 {
			t.Fatalf("got %d, expires_in %d", got.Status, got.ExpiresIn)
		}
		_, claims := verify(t, s.HTTPClient(), s.Cloud().Authority(), s.Tenant().ID(), got.AccessToken)
		if exp, err := claims.GetExpirationTime(); err != nil || !exp.Equal(start.Add(time.Hour)) {
			t.Errorf("exp = %v, %v; want an hour after %v", exp, err, start)
		}
		if date, err := http.ParseTime(got.Header.Get("Date")); err != nil || !date.Equal(start) {
			t.Errorf("Date = %v, %v; want %v", date, err, start)
		}

		assertion := selfSigned(s, nil)
		federated := s.FederatedToken()
		time.Sleep(14 * time.Minute)
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, assertion)); got.Status != http.StatusOK {
			t.Errorf("4 minutes late: %d %s", got.Status, got.Description)
		}
		time.Sleep(time.Minute)
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, assertion)); len(got.Codes) != 1 || got.Codes[0] != 700024 {
			t.Errorf("5 minutes late: %d %v, want 700024", got.Status, got.Codes)
		}
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, federated)); got.Status != http.StatusOK {
			t.Errorf("federated token within its hour: %d %s", got.Status, got.Description)
		}

		time.Sleep(366 * 24 * time.Hour)
		if got := postForm(t, s, s.Tenant().ID(), secretForm(s)); len(got.Codes) != 1 || got.Codes[0] != 7000222 {
			t.Errorf("secret after a year: %v, want 7000222", got.Codes)
		}
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, selfSigned(s, nil))); len(got.Codes) != 1 || got.Codes[0] != 1000502 {
			t.Errorf("certificate after a year: %v, want 1000502", got.Codes)
		}
	})
}

func TestOtherHosts(t *testing.T) {
	s := entratest.New(t)
	c := s.HTTPClient()
	for _, u := range []string{"https://login.microsoftonline.com/x", "http://nobody.test/", "https://login.entra.test.evil.test/"} {
		_, err := c.Get(u)
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound || !strings.Contains(u, dns.Name) {
			t.Errorf("GET %s: %v, want a DNS failure naming the host", u, err)
		}
	}
	if _, err := c.Get("http://login.entra.test/"); err == nil {
		t.Error("plain http is answered")
	}
	if resp, err := c.Get("https://LOGIN.entra.test:443/"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("same origin spelled otherwise: %v, %v", resp, err)
	}

	// From here on the emulator is somewhere else.
	authority, _ := s.StartTLS()
	if _, err := c.Get("https://login.entra.test/"); err == nil {
		t.Error("the old host still answers")
	}
	if resp, err := c.Get(authority + "/nothing"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("in memory at the TLS authority: %v, %v", resp, err)
	}
	c.CloseIdleConnections()
}
