// SPDX-License-Identifier: MIT

package memhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/memhttp"
)

// client returns one whose requests are all answered by h.
func client(h http.HandlerFunc) *http.Client { return &http.Client{Transport: memhttp.New(h)} }

// TestReceived has a handler see what it would see of a request that came over a
// network.
func TestReceived(t *testing.T) {
	var got *http.Request
	var body []byte
	c := client(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Seen", "yes")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("Seen", "too late")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "answer")
	})
	req, err := http.NewRequest(http.MethodPost, "https://user:pw@api.test/a%2Fb?q=1#part", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header["lower-case"] = []string{"x"}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if string(answer) != "answer" || err != nil || resp.Status != "201 Created" || resp.ContentLength != 6 || resp.Header.Get("Seen") != "yes" {
		t.Errorf("%s, length %d, header %v, %q, %v", resp.Status, resp.ContentLength, resp.Header, answer, err)
	}
	if got.Host != "api.test" || got.RequestURI != "/a%2Fb?q=1" || got.URL.String() != got.RequestURI || got.RemoteAddr == "" {
		t.Errorf("host %q, URI %q, URL %q, from %q", got.Host, got.RequestURI, got.URL, got.RemoteAddr)
	}
	if string(body) != "question" || got.Header.Get("Lower-Case") != "x" || !got.ProtoAtLeast(1, 1) {
		t.Errorf("body %q, header %v, %s", body, got.Header, got.Proto)
	}
}

// TestNoMethod has a request that net/http would send as GET.
func TestNoMethod(t *testing.T) {
	method := ""
	c := client(func(_ http.ResponseWriter, r *http.Request) { method = r.Method })
	resp, err := c.Do(&http.Request{URL: &url.URL{Scheme: "https", Host: "api.test", Path: "/"}})
	if err != nil || resp.StatusCode != http.StatusOK || method != http.MethodGet {
		t.Errorf("%v, %v; the handler saw %q", resp, err, method)
	}
}

// TestEnds has answers end in every way that a client can meet.
func TestEnds(t *testing.T) {
	half := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "12345")
	}
	flushed := func(w http.ResponseWriter) {
		half(w)
		w.(http.Flusher).Flush()
	}
	reset := func(w http.ResponseWriter) {
		if !memhttp.Reset(w) {
			t.Error("the ResponseWriter is not recognized")
		}
	}
	for name, tt := range map[string]struct {
		handle   http.HandlerFunc
		failed   error // instead of an answer
		body     string
		length   int64
		endsWith error
	}{
		"empty":                 {func(http.ResponseWriter, *http.Request) {}, nil, "", 0, nil},
		"flushed":               {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, "1") }, nil, "1", -1, nil},
		"truncated":             {func(w http.ResponseWriter, _ *http.Request) { half(w) }, nil, "12345", 10, io.ErrUnexpectedEOF},
		"truncated and flushed": {func(w http.ResponseWriter, _ *http.Request) { flushed(w) }, nil, "12345", 10, io.ErrUnexpectedEOF},
		"aborted":               {func(w http.ResponseWriter, _ *http.Request) { half(w); panic(http.ErrAbortHandler) }, io.ErrUnexpectedEOF, "", 0, nil},
		"aborted, flushed":      {func(w http.ResponseWriter, _ *http.Request) { flushed(w); panic(http.ErrAbortHandler) }, nil, "12345", 10, io.ErrUnexpectedEOF},
		"reset":                 {func(w http.ResponseWriter, _ *http.Request) { reset(w) }, syscall.ECONNRESET, "", 0, nil},
		"reset, aborted":        {func(w http.ResponseWriter, _ *http.Request) { reset(w); panic(http.ErrAbortHandler) }, syscall.ECONNRESET, "", 0, nil},
		"reset, flushed":        {func(w http.ResponseWriter, _ *http.Request) { flushed(w); reset(w) }, nil, "12345", 10, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := client(tt.handle).Get("https://api.test/")
			if !errors.Is(err, tt.failed) || (err == nil) != (tt.failed == nil) {
				t.Fatalf("error %v, want %v", err, tt.failed)
			}
			if err != nil {
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if string(body) != tt.body || resp.ContentLength != tt.length || !errors.Is(err, tt.endsWith) || (err == nil) != (tt.endsWith == nil) {
				t.Errorf("%q of %d, %v; want %q of %d, %v", body, resp.ContentLength, err, tt.body, tt.length, tt.endsWith)
			}
		})
	}
}

func TestHead(t *testing.T) {
	resp, err := client(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "1234567890")
	}).Head("https://api.test/")
	if err != nil || resp.ContentLength != 10 {
		t.Fatalf("%v, %v", resp, err)
	}
	if body, err := io.ReadAll(resp.Body); len(body) > 0 || err != nil {
		t.Errorf("body %q, %v", body, err)
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
		var handled atomic.Int32
		c := client(func(_ http.ResponseWriter, r *http.Request) {
			handled.Add(1)
			_, _ = io.ReadAll(r.Body)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body := &trackedBody{closed: make(chan struct{})}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.test/", body)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("returned after %v, want a second", waited)
		}
		<-body.closed

		// A request whose context has ended does not reach the handler.
		if _, err := c.Do(req.Clone(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		synctest.Wait()
		if got := handled.Load(); got != 1 {
			t.Errorf("%d requests handled, want 1", got)
		}
	})
}

// TestStream has a client read what was flushed while the handler waits, and the
// handler go when the client leaves, by its context or by closing the body.
func TestStream(t *testing.T) {
	for name, closes := range map[string]bool{"context": false, "close": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := false
				c := client(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w, "1")
					w.(http.Flusher).Flush()
					time.Sleep(time.Second)
					fmt.Fprint(w, "2")
					<-r.Context().Done()
					left = true
					panic(http.ErrAbortHandler)
				})
				ctx, cancel := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.test/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				two := make([]byte, 2)
				if _, err := io.ReadFull(resp.Body, two); string(two) != "12" || err != nil || time.Since(start) != time.Second {
					t.Errorf("%q, %v after %v", two, err, time.Since(start))
				}
				if closes {
					resp.Body.Close()
				}
				cancel()
				if _, err := resp.Body.Read(two); !closes && !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want Canceled", err)
				}
				synctest.Wait()
				if !left {
					t.Error("the handler is still there")
				}
			})
		})
	}
}

// TestUnreachable has a request fail before anything is sent, and its body be
// closed all the same.
func TestUnreachable(t *testing.T) {
	nobody := errors.New("nobody is there")
	rt := &memhttp.Transport{Reach: func(*http.Request) (http.Handler, error) { return nil, nobody }}
	body := &trackedBody{closed: make(chan struct{})}
	req, err := http.NewRequest(http.MethodPost, "https://api.test/", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.RoundTrip(req); err != nobody {
		t.Errorf("%v", err)
	}
	<-body.closed
}
