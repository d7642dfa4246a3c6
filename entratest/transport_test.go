// SPDX-License-Identifier: MIT

package entratest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
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

// TestNoMethod has a request that net/http would send as GET.
func TestNoMethod(t *testing.T) {
	s := entratest.New(t)
	u, err := url.Parse(s.Cloud().Authority() + "/common/discovery/keys")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := send(s.HTTPClient(), &http.Request{URL: u}); err != nil || got.status != http.StatusOK {
		t.Errorf("got %d, %v", got.status, err)
	}
	if log := s.Requests(); log[0].Method != http.MethodGet {
		t.Errorf("recorded as %q", log[0].Method)
	}
}

// trackedBody blocks until it is closed, like an upload that never ends.
type trackedBody struct {
	once   sync.Once
	closed chan struct{}
}

func (b *trackedBody) Read([]byte) (int, error) { <-b.closed; return 0, io.ErrClosedPipe }
func (b *trackedBody) Close() error             { b.once.Do(func() { close(b.closed) }); return nil }

func TestContextEndsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body := &trackedBody{closed: make(chan struct{})}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Cloud().TokenEndpoint(s.Tenant().ID()), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		start := time.Now()
		if _, err := s.HTTPClient().Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("returned after %v, want a second", waited)
		}
		<-body.closed

		// A request whose context has ended does not reach the server.
		before := len(s.Requests())
		synctest.Wait()
		before = max(before, len(s.Requests()))
		if _, err := s.HTTPClient().Do(req.Clone(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		synctest.Wait()
		if got := len(s.Requests()); got != before {
			t.Errorf("%d requests recorded, want %d", got, before)
		}
	})
}
