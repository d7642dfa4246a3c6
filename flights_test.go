// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// A flight that has landed but still tells its observers must not be joined: who
// did so once kept the key from ever being refreshed again.
func TestSlowObserverStopsNothing(t *testing.T) {
	bad := 0
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			c := apponly.NewFake("t", apponly.NewCache(nil), func(ctx context.Context, _, _ string) (string, time.Duration, error) {
				if n.Add(1) == 2 {
					return "", 0, errors.New("blip")
				}
				return fmt.Sprint("token", n.Load()), time.Hour, nil
			}, &apponly.Options{OnEvent: func(context.Context, apponly.Event) { time.Sleep(900 * time.Millisecond) }})
			tok, _ := c.Token(t.Context(), "https://api.example/.default")
			time.Sleep(time.Until(tok.RefreshOn()) + 2*time.Second)
			for range 400 { // the blip, and callers while it is observed
				c.Token(t.Context(), "https://api.example/.default")
				time.Sleep(10 * time.Millisecond)
			}
			for time.Until(tok.ExpiresOn()) > time.Minute { // traffic each second
				c.Token(t.Context(), "https://api.example/.default")
				time.Sleep(time.Second)
			}
			if n.Load() < 3 {
				bad++
			}
		})
	}
	if bad > 0 {
		t.Errorf("%d of 20: no refresh was tried again after one blip, until a minute before expiry", bad)
	}
}

func TestZeroCache(t *testing.T) {
	s := newSTS(t)
	o := s.options()
	o.Cache = new(apponly.Cache)
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
}

// Inside its gap Force must not be weaker than Token.
func TestForceSeesAChangedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		os.WriteFile(path, []byte("wrong-secret-wrong"), 0o600)
		c := s.with(t, apponly.SecretFile(path))
		scope := s.API().Scope()
		force := apponly.TokenRequest{Scope: scope, Force: true}
		if _, err := c.TokenFor(t.Context(), force); err == nil {
			t.Fatal("wrong secret accepted")
		}
		os.WriteFile(path, []byte(s.Secret()), 0o600)
		time.Sleep(2 * time.Second)
		_, err := c.TokenFor(t.Context(), force)
		_, err2 := c.Token(t.Context(), scope)
		if err != nil {
			t.Errorf("Force after the file was corrected: %v; Token right after it: %v", err, err2)
		}
	})
}

func TestForceAsksWhenTokenWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		scope := s.API().Scope()
		s.setFault(status(503, ``))
		if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true}); err == nil {
			t.Fatal()
		}
		s.setFault(nil)
		time.Sleep(5 * time.Second) // longer than any pause after one failure to ask
		_, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true})
		_, err2 := c.Token(t.Context(), scope)
		if err != nil && err2 == nil {
			t.Errorf("Force: %v; Token: %v", err, err2)
		}
	})
}

// Also after refusals, whose own pause is minutes by then.
func TestForceOnceInTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.with(t, apponly.Secret("not-the-secret"))
		scope := s.API().Scope()
		for range 10 { // one every 11 s: each one must ask
			c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true})
			time.Sleep(11 * time.Second)
		}
		if n := s.requests(); n < 9 {
			t.Errorf("10 forced requests 11 s apart, %d asked", n)
		}
		// Then the administrator grants it; how long is Force deaf?
		s.App().AddSecret("not-the-secret", time.Now().Add(24*time.Hour))
		begun := time.Now()
		for {
			if _, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true}); err == nil {
				break
			}
			time.Sleep(time.Second)
		}
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("Force saw the grant after %v", d)
		}
	})
}

// A forced request and ordinary ones on a cold key are one request.
func TestOneFlightPerColdKey(t *testing.T) {
	for _, forceFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.setDelay(time.Second)
			c := s.client(t)
			scope := s.API().Scope()
			var wg sync.WaitGroup
			wg.Go(func() { c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: forceFirst}) })
			synctest.Wait()
			for range 1000 {
				wg.Go(func() { c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: !forceFirst}) })
			}
			wg.Wait()
			if s.requests() != 1 {
				t.Errorf("forced first %t: %d requests for one cold key", forceFirst, s.requests())
			}
		})
	}
}

// A request with claims and an ordinary one share nothing, whichever comes first:
// claims that Entra refuses are no fault of who has asked for none.
func TestClaimsFlyApart(t *testing.T) {
	for _, claimsFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.setDelay(time.Second)
			s.setFault(func(r *http.Request) (*http.Response, error) {
				if strings.Contains(bodyAgain(r), "claims=") {
					return status(400, `{"error":"invalid_request"}`)(r)
				}
				return nil, nil
			})
			c := s.client(t)
			var wg sync.WaitGroup
			for _, withClaims := range []bool{claimsFirst, !claimsFirst} {
				req := apponly.TokenRequest{Scope: s.API().Scope()}
				if withClaims {
					req.Claims = someClaims
				}
				wg.Go(func() {
					if _, err := c.TokenFor(t.Context(), req); (err != nil) != withClaims {
						t.Errorf("claims first %t, with claims %t: %v", claimsFirst, withClaims, err)
					}
				})
				synctest.Wait()
			}
			wg.Wait()
			if n := s.requests(); n != 2 {
				t.Errorf("claims first %t: %d requests, want 2", claimsFirst, n)
			}
		})
	}
}

// An HTTP client that ignores its context costs a few goroutines per key, not one
// per flight.
func TestHungRoundTripperCostsFewGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		release := make(chan struct{})
		var stuck atomic.Int64
		s.setFault(func(*http.Request) (*http.Response, error) {
			stuck.Add(1)
			<-release
			return nil, errors.New("late")
		})
		c := s.client(t)
		for range 60 {
			c.Token(t.Context(), s.API().Scope())
			time.Sleep(time.Minute)
		}
		if stuck.Load() > 3 {
			t.Errorf("%d goroutines of flights that ended long ago", stuck.Load())
		}
		close(release)
		synctest.Wait()
		time.Sleep(time.Hour)
	})
}

// What a caller's context says goes along with the flight. Its httptrace hooks do
// not: they are about one request of the caller's, which a flight outlives, so
// that hooks that are right for one request would race with themselves.
func TestFlightKeepsValuesAndNoTrace(t *testing.T) {
	s := entratest.New(t)
	_, pool := s.StartTLS()
	type key struct{}
	var kept atomic.Int64
	direct := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(direct.CloseIdleConnections)
	o := &apponly.Options{Cloud: s.Cloud(), Cache: apponly.NewCache(nil), HTTPClient: &http.Client{
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Context().Value(key{}) == "span" {
				kept.Add(1)
			}
			return direct.RoundTrip(r)
		}),
	}}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := httptrace.WithClientTrace(context.WithValue(t.Context(), key{}, "span"), &httptrace.ClientTrace{
		GetConn:          func(string) { t.Error("GetConn called") },
		ConnectStart:     func(string, string) { t.Error("ConnectStart called") }, // by package net
		WroteHeaderField: func(name string, _ []string) { t.Errorf("WroteHeaderField called with %s", name) },
	})
	if _, err := c.Token(ctx, s.API().Scope()); err != nil {
		t.Fatal(err)
	}
	if kept.Load() == 0 {
		t.Error("the values of the caller's context are lost")
	}
}

// One failure an hour ago is no reason not to retry for who waits now.
func TestRetriesLongAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := newSTS(t)
		c := s.client(t)
		s.setFault(status(400, `{"error":"invalid_client","error_codes":[7000215]}`))
		c.Token(t.Context(), s.API().Scope())
		time.Sleep(time.Hour) // long past
		before := s.requests()
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if n.Add(1) == 1 {
				return status(503, "")(r)
			}
			return nil, nil
		})
		if _, err := c.Token(t.Context(), s.API().Scope()); err != nil {
			t.Errorf("one 503, no retry for a caller who waits (%d requests): %v", s.requests()-before, err)
		}
	})
}

// Not having been able to ask passes at any moment, unlike a refusal.
func TestSourceOutageIsAskedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var down atomic.Bool
		down.Store(true)
		var calls atomic.Int64
		c := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			calls.Add(1)
			if down.Load() {
				return "", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return "a.e30.c", nil
		})))
		for range 900 {
			c.Token(t.Context(), s.API().Scope())
			time.Sleep(time.Second)
		}
		down.Store(false)
		before, begun := calls.Load(), time.Now()
		for calls.Load() == before {
			c.Token(t.Context(), s.API().Scope())
			time.Sleep(time.Second)
		}
		if d := time.Since(begun); d > 16*time.Second {
			t.Errorf("the source was asked again %v after it had recovered", d)
		}
	})
}

func TestContextMethodsRunUnderNoLock(t *testing.T) {
	s := newSTS(t)
	c := s.client(t)
	stuck := errCtx{t.Context(), make(chan struct{}), make(chan struct{})}
	defer close(stuck.leave)
	go c.Token(stuck, s.API().Scope())
	<-stuck.entered
	other := make(chan struct{})
	go func() {
		defer close(other)
		c.Token(t.Context(), "https://other.example/.default")
	}()
	select {
	case <-other:
	case <-time.After(30 * time.Second):
		t.Error("another key waits for a context's Err method")
	}
}

// A controller that comes back at RetryAt must be asked for, or it spins.
func TestRetryAtIsTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setFault(status(429, `{}`, "Retry-After", "600"))
		c := s.client(t)
		_, err := c.Token(t.Context(), s.API().Scope())
		s.setFault(nil)
		e := err.(*apponly.Error)
		calls := 0
		for err != nil && calls < 100_000 {
			time.Sleep(max(time.Until(e.RetryAt), time.Millisecond)) // a controller's requeue
			_, err = c.Token(t.Context(), s.API().Scope())
			calls++
		}
		if calls > 1 {
			t.Errorf("%d calls at or after RetryAt were still answered from memory", calls-1)
		}
	})
}

// What a resource writes into a challenge is its own fault: nobody was asked, and
// ordinary callers of the key are not told of it.
func TestClaimsThatDoNotMerge(t *testing.T) {
	for _, claims := range []string{
		`{"access_token":5}`, `{"access_token":null}`, `{"access_token":{"xms_cc":5}}`, `{"access_token":{"xms_cc":{"values":["x"]}}}`,
		`{"access_token":{"nbf":{"essential":true,"value":"1"}}}`, `{"access_token":[]}`, `{"access_token":"x"}`,
	} {
		s := newSTS(t)
		o := s.options()
		o.CAE = true
		c, _ := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
		_, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: claims})
		_, err2 := c.Token(t.Context(), s.API().Scope())
		if err != nil && !errors.Is(err, apponly.ErrRequestMalformed) {
			t.Errorf("%s: %v", claims, err)
		}
		if err2 != nil {
			t.Errorf("%s: then an ordinary Token: %v", claims, err2)
		}
	}
}

// On 32 bits such a number once wrapped around to a known one.
func TestNumbersBeyondInt32(t *testing.T) {
	s := newSTS(t)
	for _, codes := range []string{"[2147483648000000]", "[21474836480000000]", "[99999999999999999]", "[4294967296700016]"} {
		s.setFault(status(400, `{"error":"invalid_request","error_codes":`+codes+`}`))
		c := s.client(t)
		_, err := c.Token(t.Context(), s.API().Scope())
		if e, ok := err.(*apponly.Error); ok && e.Code != 0 {
			t.Errorf("%s: code %d", codes, e.Code)
		}
	}
}

// errCtx is a context whose Err does not return before it may leave.
type errCtx struct {
	context.Context
	entered, leave chan struct{}
}

func (c errCtx) Err() error {
	select {
	case <-c.entered:
	default:
		close(c.entered)
		<-c.leave
	}
	return c.Context.Err()
}
