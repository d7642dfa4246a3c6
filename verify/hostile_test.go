// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// spaces is a body without end.
type spaces struct{ read atomic.Int64 }

func (s *spaces) Read(p []byte) (int, error) {
	s.read.Add(int64(len(p)))
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
func (s *spaces) Close() error { return nil }

// badBody does what do does.
type badBody struct{ do func() }

func (b badBody) Read([]byte) (int, error) { b.do(); return 0, io.EOF }
func (b badBody) Close() error             { b.do(); return nil }

func answered(r *http.Request, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}
}

// The client is not ours. Whatever it does is a fetch that failed.
func TestHostileClients(t *testing.T) {
	k := newSigner("k1")
	endless := new(spaces)
	for name, tc := range map[string]struct {
		do   roundTripper
		says string
	}{
		"panics":           {func(*http.Request) (*http.Response, error) { panic("with a secret") }, "panicked"},
		"ends a goroutine": {func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, "ended its goroutine"},
		"says nothing":     {func(*http.Request) (*http.Response, error) { return nil, nil }, "transport failed"},
		"shows itself":     {func(*http.Request) (*http.Response, error) { return nil, errors.New("with a secret") }, "transport failed"},
		"no body":          {func(r *http.Request) (*http.Response, error) { return answered(r, nil), nil }, "not a key document"},
		"endless":          {func(r *http.Request) (*http.Response, error) { return answered(r, endless), nil }, "larger than 1 MiB"},
		"reading panics": {func(r *http.Request) (*http.Response, error) {
			return answered(r, badBody{func() { panic("with a secret") }}), nil
		}, "panicked"},
		"slow": {func(r *http.Request) (*http.Response, error) {
			return answered(r, badBody{func() { time.Sleep(time.Minute) }}), nil
		}, "did not return in time"},
		"obeys": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "no answer"},
		"status 0": {func(r *http.Request) (*http.Response, error) {
			return &http.Response{Header: http.Header{}, Body: http.NoBody}, nil
		}, "status 0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(logbook)
			v := openWith(t, &http.Client{Transport: tc.do}, byRole, verify.Options{Logger: slog.New(log)})
			for range 2 {
				err := expect(t, v, k.token(claims(nil)), verify.ErrKeysUnavailable)
				if t.Failed() || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", name, err)
				}
				time.Sleep(2 * time.Minute) // until all have returned
			}
			if err := v.Status()[0].Err; err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want something about %q", name, err, tc.says)
			}
			if log.count("secret") > 0 || log.count("could not be fetched") != 2 {
				t.Errorf("%s: logged %q", name, log.lines)
			}
		})
	}
	if n := endless.read.Load(); n > 4<<20 {
		t.Errorf("%d bytes of an endless body were read", n)
	}
}

// A client that never returns costs a goroutine now and then, not one for each
// fetch; what is known stays good, and nobody waits for it.
func TestClientHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		s := serveKeys(k.entry())
		hang := make(chan struct{})
		var hanging atomic.Int64
		var hangs atomic.Bool
		v := openWith(t, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if hangs.Load() {
				hanging.Add(1)
				<-hang
			}
			return s.RoundTrip(r)
		})}, byRole, verify.Options{})
		token := k.token(claims(fields{"exp": time.Now().Add(40 * time.Hour).Unix()}))
		expect(t, v, token, nil)
		hangs.Store(true)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			began := time.Now()
			expect(t, v, token, nil)
			if time.Since(began) > 0 {
				t.Fatal("a caller has waited")
			}
		}
		if n := hanging.Load(); n < 2 || n > 6 {
			t.Errorf("%d calls hang after a day", n)
		}
		expect(t, v, unknown("x"), verify.ErrKeysUnavailable)
		hangs.Store(false)
		close(hang)
		time.Sleep(10 * time.Minute)
		expect(t, v, unknown("x"), verify.ErrUnknownKey)
	})
}

// A logger that panics or hangs keeps nobody from anything.
func TestHostileLoggers(t *testing.T) {
	for name, do := range map[string]func(){"panics": func() { panic("x") }, "hangs": func() { time.Sleep(time.Hour) }} {
		synctest.Test(t, func(t *testing.T) {
			k := newSigner("k1")
			s := serveKeys(fields{}, k.entry())
			var hang, most atomic.Int64
			v := open(t, s, byRole, verify.Options{Logger: slog.New(hostileHandler{func() {
				most.Store(max(most.Load(), hang.Add(1)))
				defer hang.Add(-1)
				do()
			}})})
			for range 10 {
				s.fails()
				expect(t, v, unknown(name), verify.ErrKeysUnavailable)
				s.set(fields{}, k.entry())
				time.Sleep(time.Minute)
				expect(t, v, k.token(claims(nil)), nil)
				time.Sleep(time.Minute)
			}
			if n := most.Load(); n > 3 || n == 0 {
				t.Errorf("%s: %d calls at once", name, n)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

type hostileHandler struct{ do func() }

func (h hostileHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h hostileHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h hostileHandler) WithGroup(string) slog.Handler             { return h }
func (h hostileHandler) Handle(context.Context, slog.Record) error { h.do(); return nil }

// A foreignContext is a caller's own, whose values are a fault.
type foreignContext struct{ context.Context }

func (foreignContext) Value(any) any { panic("no values") }

// An endlessContext panics where somebody waits for its end.
type endlessContext struct{ context.Context }

func (endlessContext) Done() <-chan struct{} { panic("no end") }

// The fetch has the values of the caller that began it, not its end, and is not
// harmed by them.
func TestFetchContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		type name struct{}
		var got any
		s := serveKeys(k.entry())
		s.answers(func(r *http.Request) (int, []byte) {
			got = r.Context().Value(name{})
			if at, ok := r.Context().Deadline(); !ok || time.Until(at) > 10*time.Second {
				t.Errorf("it may take until %v", at)
			}
			return 200, marshal(fields{"keys": []any{k.entry()}})
		})
		v := open(t, s, byRole, verify.Options{})
		expectCtx(t, context.WithValue(t.Context(), name{}, "span"), v, k.token(claims(nil)), nil)
		if got != "span" {
			t.Errorf("the fetch has %v", got)
		}
		v = open(t, s, byRole, verify.Options{})
		expectCtx(t, foreignContext{t.Context()}, v, k.token(claims(nil)), nil)
		v = open(t, s, byRole, verify.Options{})
		if err := v.Warm(foreignContext{t.Context()}); err != nil {
			t.Error(err)
		}
		v = open(t, s, byRole, verify.Options{})
		if err := v.Warm(endlessContext{t.Context()}); !errors.Is(err, verify.ErrKeysUnavailable) {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// 10,000 forged tokens from 20 goroutines: a fetch in half a minute, and good tokens
// pass meanwhile.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		s := serveKeys(k.entry())
		v := open(t, s, byRole, verify.Options{})
		good := k.token(claims(nil))
		expect(t, v, good, nil)
		_, rest, _ := strings.Cut(unknown(""), ".")
		began := time.Now()
		done := make(chan struct{})
		for g := range 20 {
			go func() {
				for i := range 500 {
					token := b64(fmt.Appendf(nil, `{"alg":"RS256","kid":"%d %d"}`, g, i)) + "." + rest
					if i%10 == 0 {
						token = damaged(good)
					}
					if _, err := v.Verify(t.Context(), token); !errors.Is(err, verify.ErrUnknownKey) && !errors.Is(err, verify.ErrSignature) {
						t.Error(err)
					}
					expect(t, v, good, nil)
					time.Sleep(time.Second)
				}
				done <- struct{}{}
			}()
		}
		for range 20 {
			<-done
		}
		if n, most := s.fetches.Load(), 1+int64(time.Since(began)/(30*time.Second)); n > most || n < most/2 {
			t.Errorf("%d fetches in %v", n, time.Since(began))
		}
	})
}

// Thousands of tenants at once are fetched for by a few at a time.
func TestManyTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		rules, tenants := many(1000)
		s := serveKeys(k.entry())
		body := marshal(fields{"keys": []any{k.entry()}})
		var now, most atomic.Int64
		s.answers(func(*http.Request) (int, []byte) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(100 * time.Millisecond)
			now.Add(-1)
			return 200, body
		})
		v := open(t, s, rules, verify.Options{})
		done := make(chan error)
		for _, tenant := range tenants {
			go func() {
				token := b64(marshal(fields{"alg": "RS256", "kid": "k1"})) + "." + b64(marshal(claims(of(tenant)))) + "." + b64(make([]byte, 256))
				_, err := v.Verify(t.Context(), token)
				done <- err
			}()
		}
		for range tenants {
			if err := <-done; !errors.Is(err, verify.ErrSignature) {
				t.Fatal(err)
			}
		}
		s.fetched(t, 1000)
		if n := most.Load(); n > 64 || n < 32 {
			t.Errorf("%d fetches at once", n)
		}
	})
}
