// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
)

// A gauge counts the requests that are under way.
type gauge struct {
	http.RoundTripper
	now, most atomic.Int64
}

func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	n := g.now.Add(1)
	defer g.now.Add(-1)
	for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
	}
	return g.RoundTripper.RoundTrip(r)
}

func grant(r *http.Request) (*http.Response, error) {
	return status(200, `{"token_type":"Bearer","expires_in":3600,"access_token":"a.b.c"}`)(r)
}

// crowd asks for a token in n tenants at once and returns the errors.
func crowd(t *testing.T, n int, client func(i int) *apponly.Client) (errs []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			view, err := client(i).Tenant(fmt.Sprintf("11111111-1111-4111-8111-%012x", i))
			if err == nil {
				_, err = view.Token(t.Context(), "https://graph.microsoft.com/.default")
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

// However many ask at once, a hundred are under way, and nobody's time runs while
// others have their turn: neither the attempt's ten seconds nor the flight's thirty.
func TestTokenRequestsInTurn(t *testing.T) {
	fails503 := status(503, "")
	for name, tc := range map[string]struct {
		tenants, clients int
		delay            time.Duration
		fault            func(*http.Request) (*http.Response, error)
		failed           int
		atMost           time.Duration
	}{
		"as many as there are turns": {100, 1, 5 * time.Second, grant, 0, 5 * time.Second},
		"longer than a flight":       {1500, 1, 5 * time.Second, grant, 0, 75 * time.Second},
		"almost as long as it may":   {500, 1, 9900 * time.Millisecond, grant, 0, 50 * time.Second},
		"of several clients":         {600, 6, 5 * time.Second, grant, 0, 30 * time.Second},
		"each repeated once":         {300, 1, 5 * time.Second, firstly(300, fails503), 0, 40 * time.Second},
		"nothing answers":            {200, 1, time.Hour, grant, 200, 70 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(tc.delay)
				s.setFault(func(r *http.Request) (*http.Response, error) {
					if resp, err := tc.fault(r); resp != nil || err != nil {
						return resp, err
					}
					return grant(r)
				})
				g := &gauge{RoundTripper: s.http.Transport}
				s.http.Transport = g
				var clients []*apponly.Client
				for range tc.clients {
					o := s.options() // each with a cache of its own
					o.AllowedTenants = []string{"*"}
					c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
					if err != nil {
						t.Fatal(err)
					}
					clients = append(clients, c)
				}
				start := time.Now()
				errs := crowd(t, tc.tenants, func(i int) *apponly.Client { return clients[i%tc.clients] })
				if len(errs) != tc.failed {
					t.Errorf("%d of %d failed, want %d: %v", len(errs), tc.tenants, tc.failed, errs[:min(1, len(errs))])
				}
				if most := g.most.Load(); most != int64(min(tc.tenants, 100)) {
					t.Errorf("%d requests at once", most)
				}
				if took := time.Since(start); took > tc.atMost {
					t.Errorf("took %v, want %v at most", took, tc.atMost)
				}
			})
		})
	}
}

// Who leaves, or is in a flight that hangs for good, takes no turn from others.
func TestTurnsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		release := make(chan struct{})
		s.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) { // deaf
			<-release
			return nil, errors.New("much too late")
		})
		o := s.options()
		o.AllowedTenants = []string{"*"}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
		if err != nil {
			t.Fatal(err)
		}
		if errs := crowd(t, 150, func(int) *apponly.Client { return c }); len(errs) != 150 {
			t.Errorf("%d of 150 failed", len(errs))
		}
		s.http.Transport = roundTripper(grant)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Token(ctx, "https://graph.microsoft.com/.default"); err != nil {
			t.Errorf("beside RoundTrippers that never return: %v", err)
		}
		close(release)
	})
}

// Bubbles that use one HTTP client know nothing of each other.
func TestTurnsInSeveralBubbles(t *testing.T) {
	shared := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		time.Sleep(20 * time.Millisecond)
		return grant(r)
	})}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				synctest.Test(t, func(t *testing.T) {
					s := newSTS(t)
					o := s.options()
					o.HTTPClient, o.AllowedTenants = shared, []string{"*"}
					c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
					if err != nil {
						t.Error(err)
						return
					}
					start := time.Now()
					if errs := crowd(t, 350, func(int) *apponly.Client { return c }); len(errs) > 0 {
						t.Errorf("%d failed: %v", len(errs), errs[0])
					}
					if took := time.Since(start); took != 80*time.Millisecond {
						t.Errorf("350 at a time took %v, want four times 20ms", took)
					}
				})
			}
		})
	}
	wg.Wait()
}

// Over real connections, by the transport of the package: no more of them than there
// are turns, and they are kept.
func TestColdStartOverTLS(t *testing.T) {
	const tenants = 1000
	var open, most, all atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"a.b.c"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			all.Add(1)
			most.Store(max(most.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c, err := apponly.New("contoso.test", "00000000-0000-4000-8000-000000000001", apponly.Secret("secret"), &apponly.Options{
		Cloud: cloud.Custom(server.URL), CAFile: ca, AllowedTenants: []string{"*"}, Cache: apponly.NewCache(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	if errs := crowd(t, tenants, func(int) *apponly.Client { return c }); len(errs) > 0 {
		t.Errorf("%d of %d failed: %v", len(errs), tenants, errs[0])
	}
	if most.Load() > 100 || all.Load() > 100 {
		t.Errorf("%d connections, %d at once", all.Load(), most.Load())
	}
	t.Logf("%d connections", all.Load())
}

// Who waits in vain is told so, before the first attempt and between two of them.
func TestWaitingForATurnInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(time.Hour)
		o := s.options()
		o.AllowedTenants = []string{"*"}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]int{}
		arriving := func(i int) *apponly.Client { // twice as many as there are turns for
			time.Sleep(time.Duration(i) * 50 * time.Millisecond)
			return c
		}
		for _, err := range crowd(t, 8000, arriving) {
			wantKind(t, err, apponly.ErrUnreachable)
			text, _, _ := strings.Cut(err.Error(), "; ")
			texts[text]++
		}
		for text, n := range texts {
			if !strings.HasSuffix(text, "no answer in time") && !strings.HasSuffix(text, "too many token requests are under way") {
				t.Errorf("%d times %q", n, text)
			}
		}
		if len(texts) != 3 {
			t.Errorf("got %v, want no answer, and no turn with and without one", texts)
		}
	})
}
