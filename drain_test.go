// SPDX-License-Identifier: MIT

package apponly_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// An exclusiveBody is one that must not be closed while it is read, as most are that
// are not net/http's.
type exclusiveBody struct {
	reading, closed atomic.Bool
	atOnce          atomic.Bool
	hang            chan struct{}
	once            sync.Once
}

func (b *exclusiveBody) Read(p []byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	<-b.hang
	return 0, io.EOF
}

func (b *exclusiveBody) Close() error {
	b.closed.Store(true)
	b.atOnce.Store(b.atOnce.Load() || b.reading.Load())
	b.once.Do(func() { close(b.hang) })
	return nil
}

// The body of a refused answer is not closed while it is read, and holds nobody up.
func TestDrainLeavesForeignBodiesAlone(t *testing.T) {
	wrap := map[string]func(io.ReadCloser) io.ReadCloser{
		"plain":              func(b io.ReadCloser) io.ReadCloser { return b },
		"embedded":           func(b io.ReadCloser) io.ReadCloser { return struct{ io.ReadCloser }{b} },
		"net/http around it": func(b io.ReadCloser) io.ReadCloser { return http.MaxBytesReader(nil, b, 1<<20) },
		"pointer":            func(b io.ReadCloser) io.ReadCloser { return &struct{ io.ReadCloser }{b} },
	}
	for name, wrap := range wrap {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				body := &exclusiveBody{hang: make(chan struct{})}
				base := &apiRecorder{}
				base.answer = func(r *http.Request) (*http.Response, error) {
					if len(base.sent) > 1 {
						return status(http.StatusOK, "{}")(r)
					}
					return &http.Response{StatusCode: http.StatusUnauthorized, Body: wrap(body)}, nil
				}
				rt := s.newTransport(t, &apponly.TransportOptions{Base: base, Hosts: []string{"api.test"}})
				start := time.Now()
				resp, err := rt.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
				if err != nil || resp.StatusCode != http.StatusOK || time.Since(start) > time.Second {
					t.Fatalf("%v, %v after %v", resp, err, time.Since(start))
				}
				synctest.Wait()
				if body.atOnce.Load() || !body.closed.Load() {
					t.Errorf("closed while it was read: %t; closed: %t", body.atOnce.Load(), body.closed.Load())
				}
			})
		})
	}
}

// Over HTTP/2 the stream of a refused answer is read to its end, too, and its
// connection serves on.
func TestTransportKeepsTheHTTP2Connection(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	refused := mustToken(t, c, s.API().Scope()).Value()
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+refused {
			http.Error(w, strings.Repeat("no ", 5000), http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	h, err := c.HTTPClient(s.API().Scope(), &apponly.TransportOptions{Base: server.Client().Transport, Hosts: []string{server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		resp, err := h.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "HTTP/2.0" {
			t.Errorf("answer %q", b)
		}
		resp.Body.Close()
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
