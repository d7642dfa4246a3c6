// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An sts is the emulator behind a transport that counts requests and can be
// made to do something else instead of asking it.
type sts struct {
	*entratest.Server
	http *http.Client
	n    atomic.Int64
	// fault answers in the emulator's place unless it returns nil, nil.
	fault atomic.Pointer[func(*http.Request) (*http.Response, error)]
	delay atomic.Int64
}

func newSTS(t testing.TB) *sts {
	t.Helper()
	s := &sts{Server: entratest.New(t)}
	memory := s.Server.HTTPClient().Transport
	s.http = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		s.n.Add(1)
		if d := time.Duration(s.delay.Load()); d > 0 {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		if f := s.fault.Load(); f != nil {
			if resp, err := (*f)(r); resp != nil || err != nil {
				return resp, err
			}
		}
		return memory.RoundTrip(r)
	})}
	return s
}

// requests returns how many HTTP requests of any kind have been sent.
func (s *sts) requests() int { return int(s.n.Load()) }

func (s *sts) setDelay(d time.Duration) { s.delay.Store(int64(d)) }

// setFault makes f answer; nil heals.
func (s *sts) setFault(f func(*http.Request) (*http.Response, error)) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// status returns a fault that always answers with a status and body.
func status(code int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{
			StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r, ContentLength: int64(len(body)),
		}, nil
	}
}

// hang answers only when the request's context ends.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// options are a client's options for s, with a cache of its own.
func (s *sts) options() *apponly.Options {
	return &apponly.Options{Cloud: s.Cloud(), HTTPClient: s.http, Cache: apponly.NewCache(nil)}
}

// client returns a client of the demo app with its secret.
func (s *sts) client(t testing.TB) *apponly.Client {
	t.Helper()
	return s.with(t, apponly.Secret(s.Secret()))
}

func (s *sts) with(t testing.TB, cred apponly.Credential) *apponly.Client {
	t.Helper()
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, s.options())
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

// mustToken returns a token and fails the test if there is none.
func mustToken(t testing.TB, c *apponly.Client, scope string) apponly.Token {
	t.Helper()
	tok, err := c.Token(t.Context(), scope)
	if err != nil {
		t.Fatalf("Token: %+v", err)
	}
	if tok.IsZero() {
		t.Fatal("Token returned neither a token nor an error")
	}
	return tok
}

// force asks Entra past the cache.
func force(t *testing.T, c *apponly.Client, scope string) {
	t.Helper()
	if err := tryForce(t, c, scope); err != nil {
		t.Errorf("%+v", err)
	}
}

func tryForce(t *testing.T, c *apponly.Client, scope string) error {
	_, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true})
	return err
}

// counting makes opts count the events of a kind.
func counting(opts *apponly.Options, kind apponly.EventKind) *atomic.Int64 {
	n := new(atomic.Int64)
	opts.OnEvent = func(_ context.Context, ev apponly.Event) {
		if ev.Kind == kind {
			n.Add(1)
		}
	}
	return n
}

// wantKind fails the test unless err is of the kind and names everything.
func wantKind(t testing.TB, err error, kind apponly.Kind, names ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error = %v, want kind %q", err, string(kind))
		return
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error = %q, does not name %q", err, name)
		}
	}
	if strings.ContainsAny(strings.TrimSpace(err.Error()), "\r") {
		t.Errorf("error = %q, has a carriage return", err)
	}
}

// teeBody reads a body into text and returns it again.
func teeBody(body io.ReadCloser, text *strings.Builder) io.ReadCloser {
	io.Copy(text, body)
	body.Close()
	return io.NopCloser(strings.NewReader(text.String()))
}
