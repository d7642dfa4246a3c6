// SPDX-License-Identifier: MIT

package wire_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/memhttp"
	"github.com/apponly/apponly/internal/wire"
)

func post(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "https://sts.test/token", strings.NewReader("grant"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// send takes a turn and sends.
func send(req *http.Request, client *http.Client, again func(wire.Answer) (time.Duration, bool)) wire.Answer {
	turn, err := wire.TakeTurn(req.Context(), client)
	if err != nil {
		return wire.Answer{Err: err}
	}
	defer turn.End()
	return turn.Send(req, wire.Policy{Again: again})
}

// always is worth another attempt, as soon as may be.
func always(wire.Answer) (time.Duration, bool) { return 0, true }

func TestSend(t *testing.T) {
	serve := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}
	unless := func(status int) func(wire.Answer) (time.Duration, bool) {
		return func(a wire.Answer) (time.Duration, bool) { return 0, a.Status != status }
	}
	for name, tc := range map[string]struct {
		handler  http.HandlerFunc
		again    func(wire.Answer) (time.Duration, bool)
		status   int
		body     string
		err      error
		requests int
	}{
		"an answer":                   {serve(200, "", "token"), unless(200), 200, "token", nil, 1},
		"one that is not worth it":    {serve(401, "", "no"), unless(401), 401, "no", nil, 1},
		"one that is":                 {serve(503, "", "later"), always, 503, "later", nil, 5},
		"without callers, once":       {serve(503, "", "later"), nil, 503, "later", nil, 1},
		"a redirect is an answer":     {serve(307, "Location: https://evil.test/", ""), unless(307), 307, "", nil, 1},
		"as much as there may be":     {serve(200, "", strings.Repeat("x", wire.MaxAnswer)), unless(200), 200, strings.Repeat("x", wire.MaxAnswer), nil, 1},
		"more is not read to its end": {serve(200, "", strings.Repeat("x", wire.MaxAnswer+1)), unless(0), 200, "", wire.ErrTooLarge, 1},
		"a lost connection":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, always, 0, "", http.ErrAbortHandler, 5},
		"without callers, once, too":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, 0, "", http.ErrAbortHandler, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				client := &http.Client{Transport: memhttp.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests++
					tc.handler(w, r)
				}))}
				a := send(post(t, t.Context()), client, tc.again)
				if a.Status != tc.status || string(a.Body) != tc.body || requests != tc.requests {
					t.Errorf("status %d, %d bytes, %d requests; want %d, %d, %d", a.Status, len(a.Body), requests, tc.status, len(tc.body), tc.requests)
				}
				if (a.Err != nil) != (tc.err != nil) || tc.err == wire.ErrTooLarge && !errors.Is(a.Err, tc.err) {
					t.Errorf("error %v, want %v", a.Err, tc.err)
				}
			})
		})
	}
}

// Ten seconds for an attempt leave time for others; an attempt that the time no
// longer allows is not waited for.
func TestSendInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := &http.Client{Transport: memhttp.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		a := send(post(t, ctx), hang, always)
		if took := time.Since(start); !errors.Is(a.Err, context.DeadlineExceeded) || took < 20*time.Second || took > 30*time.Second {
			t.Errorf("a server that hangs: %v after %v", a.Err, took)
		}
		start = time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		busy := &http.Client{Transport: memhttp.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))}
		a = send(post(t, ctx), busy, func(wire.Answer) (time.Duration, bool) { return time.Hour, true })
		if took := time.Since(start); a.Status != 503 || took != 0 {
			t.Errorf("told to wait an hour: status %d after %v", a.Status, took)
		}
	})
}

func TestRootsClient(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused once
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	var roots *x509.CertPool
	var fault error
	client := wire.NewClient(wire.Route{Roots: func(context.Context) (*x509.CertPool, error) { return roots, fault }})
	get := func() error {
		resp, err := client.Get(server.URL)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if fault = errors.New("no such file"); !errors.Is(get(), fault) {
		t.Errorf("without roots: %v", get())
	}
	roots, fault = x509.NewCertPool(), nil
	if err := get(); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("with other roots: %v", err)
	}
	if roots = pool; get() != nil {
		t.Errorf("with the server's: %v", get())
	}
	if fault = errors.New("gone for a moment"); get() != nil {
		t.Errorf("once there were roots: %v", get())
	}
}
