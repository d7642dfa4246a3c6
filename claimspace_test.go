// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/memhttp"
)

// A resource wants a token that was obtained with certain claims, for each path its own.
type claimsAPI struct {
	t      *testing.T
	sts    *sts
	mu     sync.Mutex
	issued map[string]string // token → the claims it was asked for with
}

func newClaimsAPI(t *testing.T, s *sts) *claimsAPI {
	a := &claimsAPI{t: t, sts: s, issued: map[string]string{}}
	s.setFault(func(r *http.Request) (*http.Response, error) {
		body := bodyAgain(r)
		resp, err := s.Server.HTTPClient().Transport.RoundTrip(r)
		if err == nil {
			a.note(body, resp)
		}
		return resp, err
	})
	return a
}

func claimsOf(path string) string {
	return fmt.Sprintf(`{"access_token":{"acrs":{"essential":true,"value":"%s"}}}`, path)
}

// note remembers with which claims a token was asked for.
func (a *claimsAPI) note(body string, resp *http.Response) {
	text := new(strings.Builder)
	resp.Body = teeBody(resp.Body, text)
	a.mu.Lock()
	defer a.mu.Unlock()
	_, token, _ := strings.Cut(text.String(), `"access_token":"`)
	token, _, _ = strings.Cut(token, `"`)
	a.issued[token] = body
}

func (a *claimsAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := strings.Trim(r.URL.Path, "/")
	if path == "" || strings.Contains(a.issued[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")], "%22"+path+"%22") {
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(claimsOf(path)))+`"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// Workloads behind one scope that are asked for different claims do not lock each
// other out: whatever the order, each call comes through, with few token requests.
func TestWorkloadsWithDifferentClaims(t *testing.T) {
	for name, tc := range map[string]struct {
		paths    []string
		together bool
		calls    int
		requests int // token requests in ten minutes, at most
	}{
		"two in turn":            {[]string{"c1", "c2"}, false, 600, 20},
		"two together":           {[]string{"c1", "c2"}, true, 600, 20},
		"five in turn":           {[]string{"c1", "c2", "c3", "c4", "c5"}, false, 600, 50},
		"eight together":         {[]string{"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"}, true, 600, 80},
		"one and one with none":  {[]string{"c1", ""}, false, 600, 10},
		"one, again and again":   {[]string{"c1"}, false, 600, 2},
		"each once, then others": {[]string{"c1", "c2", "c3"}, true, 1, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(24 * time.Hour)
				s.setDelay(100 * time.Millisecond)
				c := s.client(t)
				a := newClaimsAPI(t, s)
				rt, err := apponly.NewTransport(c, s.API().Scope(), &apponly.TransportOptions{Base: memhttp.New(a), Hosts: []string{"api.test"}})
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
				var refused atomic.Int64
				get := func(path string) {
					resp, err := (&http.Client{Transport: rt}).Get("https://api.test/" + path)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						refused.Add(1)
					}
				}
				for range tc.calls {
					var wg sync.WaitGroup
					for _, path := range tc.paths {
						if tc.together {
							wg.Go(func() { get(path) })
						} else {
							get(path)
						}
					}
					wg.Wait()
					time.Sleep(time.Second)
				}
				if n := refused.Load(); n > 0 {
					t.Errorf("%d of %d calls refused", n, tc.calls*len(tc.paths))
				}
				if n := s.requests(); n > tc.requests {
					t.Errorf("%d token requests, want at most %d", n, tc.requests)
				}
			})
		})
	}
}

// An API that asks for other claims each time is as slow as one that repeats itself,
// but for the first few.
func TestClaimsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetTokenLifetime(24 * time.Hour)
		c := s.client(t)
		tok := mustToken(t, c, s.API().Scope())
		for i := range 36_000 { // an hour
			next, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Rejected: tok, Claims: claimsOf(fmt.Sprint("c", i))})
			if err != nil {
				t.Fatal(err)
			}
			tok = next
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.requests(); n > 8*12+16 {
			t.Errorf("%d token requests in an hour", n)
		}
	})
}
