// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/memhttp"
)

const someClaims = `{"access_token":{"nbf":{"essential":true,"value":"1768000000"},"x":"??>>~~"}}`

// An api takes one token at a time, and challenges every other one.
type api struct {
	mu     sync.Mutex
	good   func(token string) bool
	claims string // asked for; "" for a plain 401
	bodies []string
	n      int
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	a.bodies = append(a.bodies, string(body))
	if a.good(token) {
		return
	}
	challenge := `Bearer error="invalid_token"`
	if a.claims != "" {
		challenge = `Bearer realm="", error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(a.claims)) + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, "refused")
}

func (s *sts) apiClient(t *testing.T, c *apponly.Client, h http.Handler) *http.Client {
	t.Helper()
	rt, err := apponly.NewTransport(c, s.API().Scope(), &apponly.TransportOptions{Base: memhttp.New(h), Hosts: []string{"api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: rt}
}

// 200 requests are refused at once, and one token is asked for.
func TestTransportAnswersA401Once(t *testing.T) {
	for name, claims := range map[string]string{"plain": "", "claims": someClaims} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				opts := s.options()
				opts.CAE = true
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				revoked := mustToken(t, c, s.API().Scope()).Value()
				s.setDelay(50 * time.Millisecond)
				var sent atomic.Pointer[string]
				s.setFault(func(r *http.Request) (*http.Response, error) {
					body := bodyAgain(r)
					sent.Store(&body)
					return nil, nil
				})
				a := &api{good: func(token string) bool { return token != revoked && token != "" }, claims: claims}
				h := s.apiClient(t, c, a)
				before := s.requests()
				var wg sync.WaitGroup
				for range 200 {
					wg.Go(func() {
						resp, err := h.Get("https://api.test/")
						if err != nil || resp.StatusCode != 200 {
							t.Errorf("%v, %v", resp, err)
							return
						}
						resp.Body.Close()
					})
				}
				wg.Wait()
				if n := s.requests() - before; n != 1 || a.n != 400 {
					t.Errorf("%d token requests and %d calls, want 1 and 400", n, a.n)
				}
				if has := strings.Contains(*sent.Load(), "1768000000"); has != (claims != "") {
					t.Errorf("the claims were sent: %v", has)
				}
				// The next request needs no challenge and no token request.
				if resp, err := h.Get("https://api.test/"); err != nil || resp.StatusCode != 200 || a.n != 401 || s.requests() != before+1 {
					t.Errorf("afterwards: %v, %d calls, %d token requests", err, a.n, s.requests()-before)
				}
			})
		})
	}
}

func bodyAgain(r *http.Request) string {
	b, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer b.Close()
	all, _ := io.ReadAll(b)
	return string(all)
}

// The second 401 is the answer, and nothing loops: neither on an API that always
// refuses nor on a challenge that cannot be read.
func TestTransportDoesNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var unreadable atomic.Int64
		var log bytes.Buffer
		opts := s.options()
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind == apponly.EventChallengeUnreadable {
				unreadable.Add(1)
				if ev.TenantID != s.Tenant().ID() || ev.ClientID != s.App().ClientID() || ev.Scope != s.API().Scope() || !ev.Time.Equal(time.Now()) {
					t.Errorf("event = %+v", ev)
				}
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		a := &api{good: func(string) bool { return false }}
		h := s.apiClient(t, c, a)
		get := func() {
			t.Helper()
			resp, err := h.Get("https://api.test/")
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%v, %v", resp, err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != "refused" {
				t.Errorf("body = %q", b)
			}
			resp.Body.Close()
		}
		get()
		if a.n != 2 || s.requests() != 2 {
			t.Errorf("refused for ever: %d calls, %d token requests; want 2 and 2", a.n, s.requests())
		}
		for range 1000 { // ten seconds
			get()
			time.Sleep(10 * time.Millisecond)
		}
		if s.requests() > 3 {
			t.Errorf("%d token requests", s.requests())
		}

		a.claims = "not JSON"
		calls := a.n
		time.Sleep(2 * time.Hour)
		mustToken(t, c, s.API().Scope()) // fresh, and nothing under way
		before := s.requests()
		get()
		if a.n != calls+1 || s.requests() != before || unreadable.Load() != 1 {
			t.Errorf("an unreadable challenge: %d calls, %d token requests, %d events", a.n-calls, s.requests()-before, unreadable.Load())
		}
		if !strings.Contains(log.String(), `level=WARN msg="claims challenge cannot be read"`) {
			t.Errorf("log = %s", &log)
		}
		time.Sleep(time.Minute)
	})
}

// azcore once sent empty bodies the second time; a stream cannot be sent again.
func TestTransportBodies(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	revoked := mustToken(t, c, s.API().Scope()).Value()
	a := &api{good: func(token string) bool { return token != revoked }}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

	// A stream gets its 401 back as it is.
	req := newRequest(t, "POST", "https://api.test/", io.NopCloser(bytes.NewReader(big)))
	resp, err := s.apiClient(t, c, a).Do(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || a.n != 1 {
		t.Fatalf("a stream: %v, %v after %d calls", resp, err, a.n)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "refused" {
		t.Errorf("a stream: body of the 401 = %q", b)
	}

	c = s.client(t) // which knows of no refusal yet
	revoked = mustToken(t, c, s.API().Scope()).Value()
	resp, err = s.apiClient(t, c, a).Post("https://api.test/", "text/plain", bytes.NewReader(big))
	if err != nil || resp.StatusCode != http.StatusOK || a.n != 3 {
		t.Fatalf("a body: %v, %v after %d calls", resp, err, a.n)
	}
	if a.bodies[1] != string(big) || a.bodies[2] != string(big) {
		t.Errorf("the bodies are not the same: %d and %d bytes", len(a.bodies[1]), len(a.bodies[2]))
	}

	// One that cannot be had again after all.
	c = s.client(t)
	revoked = mustToken(t, c, s.API().Scope()).Value()
	req = newRequest(t, "POST", "https://api.test/", strings.NewReader("x"))
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	resp, err = s.apiClient(t, c, a).Do(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || a.n != 4 {
		t.Errorf("a body that is gone: %v, %v after %d calls", resp, err, a.n)
	}

	// None at all, as in what a reverse proxy has received.
	c = s.client(t)
	revoked = mustToken(t, c, s.API().Scope()).Value()
	req = newRequest(t, "GET", "https://api.test/", nil)
	req.Body = http.NoBody
	resp, err = s.apiClient(t, c, a).Do(req)
	if err != nil || resp.StatusCode != http.StatusOK || a.n != 6 {
		t.Errorf("no body: %v, %v after %d calls", resp, err, a.n)
	}
}

// An API refuses a token while no other can be had: its 401 is the answer.
func TestTransportRefusedDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		mustToken(t, c, s.API().Scope())
		s.setFault(status(503, ""))
		a := &api{good: func(string) bool { return false }}
		resp, err := s.apiClient(t, c, a).Get("https://api.test/")
		if err != nil || resp.StatusCode != http.StatusUnauthorized || a.n != 1 {
			t.Fatalf("%v, %v after %d calls", resp, err, a.n)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "refused" {
			t.Errorf("body = %q", b)
		}
		time.Sleep(time.Minute) // the token request goes on behind
	})
}

// A refused answer is closed, also one that is too long to be read to its end or
// that must not be read at all.
func TestTransportClosesTheRefusedAnswer(t *testing.T) {
	for name, uncompressed := range map[string]bool{"long": false, "uncompressed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				body := newTracked()
				body.Reader = neverEnding{}
				base := &apiRecorder{}
				base.answer = func(r *http.Request) (*http.Response, error) {
					if len(base.sent) > 1 {
						return status(http.StatusOK, "{}")(r)
					}
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: body, Uncompressed: uncompressed}, nil
				}
				rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
				resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%v, %v", resp, err)
				}
				if !body.closed.Load() {
					t.Error("the refused answer was not closed")
				}
			})
		})
	}
}

// neverEnding is a body without an end.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// A refused answer that is read to its end leaves its connection to the next.
func TestTransportKeepsTheConnection(t *testing.T) {
	s := newSTS(t)
	var conns atomic.Int64
	refuse := map[string]bool{}
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token := r.Header.Get("Authorization")
		if len(refuse) == 0 || refuse[token] {
			refuse[token] = true
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, strings.Repeat("no ", 5000), http.StatusUnauthorized)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	rt, err := apponly.NewTransport(s.client(t), s.API().Scope(), &apponly.TransportOptions{
		Base: &http.Transport{}, Hosts: []string{server.Listener.Addr().String()}, AllowLoopbackHTTP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.CloseIdleConnections()
	for range 5 {
		resp, err := (&http.Client{Transport: rt}).Get(server.URL)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A caller that only ever streams must not be refused for as long as a token
// lives, which with cp1 is a day: the first refusal brings the next one another.
func TestTransportStreamsLearnOfTheRefusal(t *testing.T) {
	for name, claims := range map[string]string{"plain": "", "claims": someClaims} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(24 * time.Hour) // as with cp1
				opts := s.options()
				opts.CAE = true
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
				if err != nil {
					t.Fatal(err)
				}
				revoked := mustToken(t, c, s.API().Scope()).Value()
				a := &api{good: func(token string) bool { return token != revoked }, claims: claims}
				h := s.apiClient(t, c, a)
				refused := 0
				for range 60 { // an hour of uploads
					resp, err := h.Do(newRequest(t, "POST", "https://api.test/", io.NopCloser(strings.NewReader("x"))))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode == 401 {
						refused++
					}
					time.Sleep(time.Minute)
				}
				if refused != 1 {
					t.Errorf("%d of 60 uploads in an hour were refused with the same revoked token, want 1; %d token requests", refused, s.requests())
				}
			})
		})
	}
}

// A gateway sends the headers of a 401 and holds its body back. The request
// must not wait for that: another token is here. net/http's reader of a compressed
// body cannot be closed while it waits for the first of it.
func TestTransportLeavesAHungBody(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/http2=%t", encoding, http2), func(t *testing.T) {
				t.Parallel()
				s := newSTS(t)
				c := s.client(t)
				revoked := mustToken(t, c, s.API().Scope()).Value()
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") != revoked {
						return
					}
					w.Header().Set("Content-Encoding", encoding)
					w.WriteHeader(401)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				server.EnableHTTP2 = http2
				server.StartTLS()
				defer server.Close()
				rt, err := apponly.NewTransport(c, s.API().Scope(), &apponly.TransportOptions{
					Base: server.Client().Transport, Hosts: []string{server.Listener.Addr().String()},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				resp, err := (&http.Client{Transport: rt}).Do(newRequest(t, "GET", server.URL, nil).WithContext(ctx))
				if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoAtLeast(2, 0) != http2 {
					t.Fatalf("%v, %v", resp, err)
				}
				resp.Body.Close()
			})
		}
	}
}

// A source with a cache of its own brings the refused token again, which is no
// other token for being obtained once more.
func TestTransportKnowsTheSameToken(t *testing.T) {
	cred := &tokenCredential{func(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: "a.b.c", ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
	c, err := apponly.FromTokenCredential(cred, &apponly.Options{Cache: apponly.NewCache(nil)})
	if err != nil {
		t.Fatal(err)
	}
	base := &apiRecorder{answer: status(401, "{}")}
	rt, err := apponly.NewTransport(c, "https://api.test/.default", &apponly.TransportOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(newRequest(t, "POST", "https://api.test/", strings.NewReader("pay 100")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := len(base.sent); n != 1 {
		t.Errorf("sent %d times with one and the same token", n)
	}
}

// Telling an observer does not outlast the request.
func TestTransportTellsWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		opts := s.options()
		release := make(chan struct{})
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind == apponly.EventChallengeUnreadable {
				<-release
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
		h := s.apiClient(t, c, &api{good: func(string) bool { return false }, claims: "no JSON"})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err = h.Do(newRequest(t, "GET", "https://api.test/", nil).WithContext(ctx))
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("returned after %v: %v", took, err)
		}
		close(release)
		synctest.Wait()
	})
}
