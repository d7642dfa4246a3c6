// SPDX-License-Identifier: MIT

package entratest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// secureClient returns a client for the sockets of s.
func secureClient(t *testing.T, s *entratest.Server, http2 bool) *http.Client {
	_, ca := s.StartTLS()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca}, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// eventually waits for something that happens soon, but not at once.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

// transports are the ways to reach an emulator.
var transports = map[string]struct {
	client func(*testing.T, *entratest.Server) *http.Client
	major  int
}{
	"memory":   {func(_ *testing.T, s *entratest.Server) *http.Client { return s.HTTPClient() }, 1},
	"HTTP/1.1": {func(t *testing.T, s *entratest.Server) *http.Client { return secureClient(t, s, false) }, 1},
	"HTTP/2":   {func(t *testing.T, s *entratest.Server) *http.Client { return secureClient(t, s, true) }, 2},
}

func TestFaultConnections(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			client := tr.client(t, s)
			ask := func(ctx context.Context) (*http.Response, error) {
				return client.Do(tokenRequest(ctx, s, s.Tenant().ID(), secretForm(s)))
			}
			fault := func(connection string) {
				t.Helper()
				addFault(t, s, entratest.Fault{Connection: connection, Times: 1})
			}
			recorded := func(fault string, status int) {
				t.Helper()
				log := s.Requests()
				if last := log[len(log)-1]; last.Fault != fault || last.Status != status || last.ClientID != s.App().ClientID() {
					t.Errorf("record %+v, want %s, status %d", last, fault, status)
				}
			}

			t.Run("reset", func(t *testing.T) {
				fault("reset")
				resp, err := ask(t.Context())
				if err == nil {
					resp.Body.Close()
					t.Fatal("answered")
				}
				if tr.major == 1 && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%v, want ECONNRESET", err)
				}
				if tr.major == 2 && !strings.Contains(err.Error(), "stream error") {
					t.Errorf("%v, want a reset stream", err)
				}
				recorded("reset", 0)
			})

			t.Run("truncate", func(t *testing.T) {
				fault("truncate")
				resp, err := ask(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if !errors.Is(err, io.ErrUnexpectedEOF) || int64(len(body)) != resp.ContentLength/2 || resp.StatusCode != 200 || resp.ProtoMajor != tr.major {
					t.Errorf("%s, %d bytes of %d, %v; want the half and ErrUnexpectedEOF", resp.Status, len(body), resp.ContentLength, err)
				}
				recorded("truncate", 200)
			})

			t.Run("truncate nothing", func(t *testing.T) {
				fault("truncate")
				resp, err := client.Get(s.Cloud().Authority() + "/nowhere")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 404 {
					t.Errorf("%s, %v; want 404 and ErrUnexpectedEOF", resp.Status, err)
				}
			})

			t.Run("truncate HEAD", func(t *testing.T) {
				fault("truncate")
				if resp, err := client.Head(s.Cloud().Authority() + "/common/discovery/keys"); err == nil {
					resp.Body.Close()
					t.Errorf("answered %s; there is no body to break off", resp.Status)
				}
			})

			t.Run("garble", func(t *testing.T) {
				fault("garble")
				got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
				if err != nil || got.status != 200 || got.token() || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
					t.Errorf("%+v, %v; want 200 and no JSON", got, err)
				}
				recorded("garble", 200)
			})

			t.Run("hang", func(t *testing.T) {
				fault("hang")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := ask(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.ReadFull(resp.Body, make([]byte, resp.ContentLength/2)); err != nil {
					t.Fatal(err)
				}
				recorded("hang", 200)
				end := make(chan error, 1)
				go func() {
					_, err := resp.Body.Read(make([]byte, 1))
					end <- err
				}()
				cancel()
				if err := <-end; !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want Canceled", err)
				}
			})

			t.Run("black-hole", func(t *testing.T) {
				fault("black-hole")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				before := len(s.Requests())
				end := make(chan error, 1)
				go func() {
					_, err := ask(ctx)
					end <- err
				}()
				eventually(t, "the request arrives", func() bool { return len(s.Requests()) > before })
				recorded("black-hole", 0)
				select {
				case err := <-end:
					t.Fatalf("ended with %v before the client left", err)
				default:
				}
				cancel()
				if err := <-end; !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want Canceled", err)
				}
			})

			// The client that was wronged so often is served like any other.
			if got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))); err != nil || !got.token() {
				t.Errorf("afterwards: %+v, %v", got, err)
			}
		})
	}
}

// TestWhoLeavesIsNoticed has the handlers of a server that stays open go when
// their clients do, whether or not anybody was to read what they sent.
func TestWhoLeavesIsNoticed(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			client := tr.client(t, s)
			n := 0
			for _, fault := range []entratest.Fault{{Connection: "black-hole"}, {Connection: "hang"}, {Delay: time.Hour}} {
				remove := addFault(t, s, fault)
				for _, path := range []string{"oauth2/v2.0/token", "nowhere", "long"} {
					body := secretForm(s).Encode()
					if path == "long" {
						if body = strings.Repeat("x", 3<<20); fault.Delay > 0 {
							continue // it has to be kept for the handler
						}
					}
					n++
					ctx, cancel := context.WithCancel(t.Context())
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Cloud().Authority()+"/common/"+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					end := make(chan struct{})
					go func() {
						defer close(end)
						_, _ = send(client, req)
					}()
					eventually(t, "a handler waits", func() bool { return waiting() == 1 })
					cancel()
					<-end
					eventually(t, "the handler has left", func() bool { return waiting() == 0 && len(s.Requests()) == n })
				}
				remove()
			}
		})
	}
}

// waiting counts the goroutines that a fault makes wait.
func waiting() int {
	return strings.Count(stacks(), "entratest.(*call).waitFor(")
}

func stacks() string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}

func TestCloseReleases(t *testing.T) {
	for name, tr := range transports {
		for _, fault := range []entratest.Fault{{Connection: "hang"}, {Connection: "black-hole"}, {Delay: time.Hour}} {
			t.Run(name+" "+fault.Connection+fault.Delay.String(), func(t *testing.T) {
				s := entratest.New(t)
				client := tr.client(t, s)
				addFault(t, s, fault)
				const n = 10
				end := make(chan error, n)
				for range n {
					go func() {
						got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
						end <- errors.Join(err, got.err)
					}()
				}
				eventually(t, "all of them wait", func() bool { return waiting() == n })
				s.Close()
				for range n {
					if err := <-end; err == nil {
						t.Error("answered")
					}
				}
				eventually(t, "all handlers have left", func() bool { return waiting() == 0 })
			})
		}
	}
}
