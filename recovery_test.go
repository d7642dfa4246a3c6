// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

func mintedFor(s *sts, calls *atomic.Int64) apponly.Credential {
	return apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
		calls.Add(1)
		issued := time.Now()
		return s.Issuer().Token(entratest.Claims{Subject: "system:serviceaccount:demo:worker", Audience: s.Cloud().ExchangeAudience(), NotBefore: issued.Add(-time.Hour), ExpiresAt: issued.Add(time.Hour)}), nil
	}))
}

// One answer with a wrong Date once locked a federated credential out for good.
func TestAProxysClockIsNotEntras(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var calls atomic.Int64
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind == apponly.EventClockSkew {
				t.Errorf("told of a skew of %v", ev.Skew)
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), mintedFor(s, &calls), opts)
		if err != nil {
			t.Fatal(err)
		}
		s.setFault(status(403, "<html>proxy</html>", "Date", time.Now().Add(2*time.Hour).UTC().Format(http.TimeFormat)))
		c.Token(t.Context(), s.API().Scope())
		s.setFault(nil)
		before := s.requests()
		for range 48 {
			time.Sleep(time.Hour)
			if _, err = c.Token(t.Context(), s.API().Scope()); err == nil {
				return
			}
		}
		t.Errorf("two days later, %d requests since: %v", s.requests()-before, err)
	})
}

// So did a clock that was put right after its skew had been learnt.
func TestClockPutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetClockOffset(2 * time.Hour)
		cl := 2 * time.Hour
		var told []apponly.EventKind
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind != apponly.EventTokenRequest {
				told = append(told, ev.Kind)
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			i := time.Now().Add(cl)
			return s.Issuer().Token(entratest.Claims{Subject: "system:serviceaccount:demo:worker", Audience: s.Cloud().ExchangeAudience(), NotBefore: i.Add(-time.Minute), ExpiresAt: i.Add(time.Hour)}), nil
		})), opts)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, c, s.API().Scope())
		s.SetClockOffset(0)
		cl = 0 // somebody has set the clock
		before := s.requests()
		for range 48 {
			time.Sleep(time.Hour)
			_, err = c.Token(t.Context(), s.API().Scope())
		}
		if err != nil {
			t.Errorf("two days later, %d requests since: %v", s.requests()-before, err)
		}
		// Neither is a clock that is right worth telling of, nor the end of an
		// assertion, which is renewed by who wrote it.
		if !slices.Equal(told, []apponly.EventKind{apponly.EventClockSkew}) {
			t.Errorf("told of %v, want the skew once", told)
		}
	})
}

// What is not made by the clock is not sent again when the clock is known.
func TestSkewIsNoReasonToRepeatASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetClockOffset(time.Minute)
		c := s.with(t, apponly.Secret("wrong"))
		c.Token(t.Context(), s.API().Scope())
		if s.requests() != 1 {
			t.Errorf("%d requests with one wrong secret", s.requests())
		}
	})
}

// Nor is what is made by it, when the clock has been known before.
func TestKnownSkewIsNoReasonToRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetClockOffset(2 * time.Minute)
		c := s.with(t, apponly.Certificate(chainOf(s), s.Certificate().Key, nil))
		mustToken(t, c, s.API().Scope())
		s.App().RemoveCertificate(s.Certificate().Leaf)
		before := s.requests()
		wantKind(t, tryForce(t, c, s.API().Scope()), apponly.ErrCertificateInvalid)
		if n := s.requests() - before; n != 1 {
			t.Errorf("%d requests with one certificate", n)
		}
	})
}

// An assertion made to order is another each time, which is no reason to repeat
// what is not its fault.
func TestWrongClientIDCostsOneAssertion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var calls atomic.Int64
		c, err := apponly.New(s.Tenant().ID(), "00000000-0000-4000-8000-000000000009", mintedFor(s, &calls), s.options())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrAppNotFound)
		if n := s.requests(); n != 1 || calls.Load() != 1 {
			t.Errorf("%d requests with %d assertions, want 1", n, calls.Load())
		}
	})
}

// What suddenly matches nothing is sent three times more, read anew each time:
// for who waits, and if nothing else can serve.
func TestPatienceIsBounded(t *testing.T) {
	for _, test := range []struct {
		name                  string
		behind, first, beside bool
		requests              int
		least                 time.Duration
	}{
		{"for who waits", false, false, false, 4, 1500 * time.Millisecond},
		{"behind a valid token", true, false, false, 1, 0},
		{"for a new key", false, true, false, 1, 0},
		{"with another credential", false, false, true, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(time.Hour)
				var reads atomic.Int64
				assertion := s.Issuer().Token(entratest.Claims{Subject: "system:serviceaccount:demo:worker", Audience: s.Cloud().ExchangeAudience(), ExpiresAt: time.Now().Add(24 * time.Hour)})
				cred := apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
					reads.Add(1)
					return assertion, nil
				}))
				if test.beside {
					cred = apponly.FirstOf(cred, apponly.Secret(s.Secret()))
				}
				c := s.with(t, cred)
				if !test.first {
					mustToken(t, c, s.API().Scope())
				}
				s.setFault(func(r *http.Request) (*http.Response, error) {
					if strings.Contains(bodyAgain(r), "client_secret") {
						return nil, nil
					}
					return status(401, `{"error":"invalid_client","error_codes":[700213]}`)(r)
				})
				time.Sleep(46 * time.Minute) // stale
				if !test.behind {
					time.Sleep(time.Hour)
				}
				reads.Store(0)
				before, start := s.requests(), time.Now()
				_, err := c.Token(t.Context(), s.API().Scope())
				took := time.Since(start)
				synctest.Wait()
				if (err == nil) != (test.behind || test.beside) {
					t.Errorf("%v", err)
				}
				if n := s.requests() - before; n != test.requests || took < test.least || took > 5*test.least {
					t.Errorf("%d requests in %v, want %d", n, took, test.requests)
				}
				if test.requests == 4 && reads.Load() < 4 {
					t.Errorf("read %d times", reads.Load())
				}
			})
		})
	}
}

// Until Entra has answered nobody knows whose clock is wrong: an assertion that has
// just ended is sent. After that it is not.
func TestGraceEndsWithTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		assertion := s.Issuer().Token(entratest.Claims{Subject: "system:serviceaccount:demo:worker", Audience: s.Cloud().ExchangeAudience(), ExpiresAt: time.Now().Add(time.Hour)})
		cred := apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return assertion, nil }))
		known, unknown := s.with(t, cred), s.with(t, cred)
		mustToken(t, known, s.API().Scope())
		time.Sleep(time.Hour + 2*time.Minute)
		before := s.requests()
		wantKind(t, tryForce(t, known, s.API().Scope()), apponly.ErrAssertionExpired)
		if n := s.requests() - before; n != 0 {
			t.Errorf("%d requests with an assertion that has ended", n)
		}
		tryForce(t, unknown, s.API().Scope())
		if n := s.requests() - before; n == 0 {
			t.Error("not sent, though the local clock may be the one that is wrong")
		}
	})
}

// A vault that hangs must not use up the time of the next credential.
func TestFirstOfPassesOverWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.with(t, apponly.FirstOf(apponly.SecretFunc(func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }), apponly.Secret(s.Secret())))
		var err error
		for range 20 {
			if _, err = c.Token(t.Context(), s.API().Scope()); err == nil {
				return
			}
			time.Sleep(time.Minute)
		}
		t.Errorf("%d requests, 20 tries: %v", s.requests(), err)
	})
}

// Nor that of the material that worked.
func TestKeptWhileTheSourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var bad atomic.Bool
		c := s.with(t, apponly.SecretFunc(func(ctx context.Context) (string, error) {
			if bad.Load() {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return s.Secret(), nil
		}))
		mustToken(t, c, s.API().Scope())
		bad.Store(true)
		var err error
		for range 200 {
			time.Sleep(time.Minute)
			_, err = c.Token(t.Context(), s.API().Scope())
		}
		if err != nil {
			t.Errorf("kept secret not used: %v", err)
		}
		time.Sleep(time.Minute) // the last call may have begun a refresh, which hangs for a while
	})
}

// countChanges returns a client that has got a token with a secret file, and how
// often its credential has changed since.
func (s *sts) countChanges(t *testing.T) (c *apponly.Client, path string, changed *atomic.Int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	write(t, path, s.Secret())
	opts := s.options()
	changed = counting(opts, apponly.EventCredentialChanged)
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.SecretFile(path), opts)
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
	return c, path, changed
}

// The old material was on its way when the new one was taken.
func TestLateAnswerRollsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c, path, changed := s.countChanges(t)
		second := s.Tenant().NewResource("https://second.example").Scope()
		third := s.Tenant().NewResource("https://third.example").Scope()
		s.setDelay(5 * time.Second)
		done := make(chan struct{})
		go func() { defer close(done); mustToken(t, c, second) }()
		time.Sleep(time.Second)
		s.setDelay(0)
		write(t, path, s.App().NewSecret(time.Now().AddDate(1, 0, 0)))
		time.Sleep(time.Second)
		if err := tryForce(t, c, s.API().Scope()); err != nil {
			t.Error(err)
		}
		<-done
		mustToken(t, c, third)
		if n := changed.Load(); n != 1 {
			t.Errorf("%d credential-changed events for one rotation", n)
		}
	})
}

// Entra learns of the new material long after the old one has had its time.
func TestChangeIsToldOfLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c, path, changed := s.countChanges(t)
		write(t, path, "later-known-secret")
		time.Sleep(time.Minute)
		tryForce(t, c, s.API().Scope())
		time.Sleep(16 * time.Minute)
		tryForce(t, c, s.API().Scope())
		s.App().AddSecret("later-known-secret", time.Now().AddDate(1, 0, 0))
		time.Sleep(6 * time.Minute)
		if err := tryForce(t, c, s.API().Scope()); err != nil {
			t.Error(err)
		}
		if n := changed.Load(); n != 1 {
			t.Errorf("%d credential-changed events", n)
		}
	})
}

// An assertion made to order is another each time, which is no change.
func TestFirstOfPassesOverMintedAssertions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var calls atomic.Int64
		opts := s.options()
		aside := counting(opts, apponly.EventCredentialSetAside)
		n := 0
		bad := apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			calls.Add(1)
			n++
			return s.Issuer().Token(entratest.Claims{Subject: "nobody", Audience: s.Cloud().ExchangeAudience(), ExpiresAt: time.Now().Add(time.Hour + time.Duration(n)*time.Second)}), nil
		}))
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.FirstOf(bad, apponly.Secret(s.Secret())), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if err := tryForce(t, c, s.API().Scope()); err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Second)
		}
		if aside.Load() != 1 || s.requests() > 8 {
			t.Errorf("6 exchanges in 2 minutes: %d requests, %d set-aside events, %d assertions minted", s.requests(), aside.Load(), calls.Load())
		}
	})
}

// Kept because its file is gone, then refused: once is enough.
func TestFirstOfPassesOverKeptMaterial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		first := s.App().NewSecret(time.Now().AddDate(1, 0, 0))
		write(t, path, first)
		var sent atomic.Int64
		s.setFault(func(r *http.Request) (*http.Response, error) {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			b, _ := io.ReadAll(body)
			if strings.Contains(string(b), first) {
				sent.Add(1)
			}
			return nil, nil
		})
		c := s.with(t, apponly.FirstOf(apponly.SecretFile(path), apponly.Secret(s.Secret())))
		mustToken(t, c, s.API().Scope())
		os.Remove(path)
		s.App().RemoveSecret(first)
		sent.Store(0)
		for range 6 {
			time.Sleep(20 * time.Second)
			if err := tryForce(t, c, s.API().Scope()); err != nil {
				t.Error(err)
			}
		}
		if sent.Load() != 1 {
			t.Errorf("refused secret was sent %d times in 2 minutes", sent.Load())
		}
	})
}

// What failed is passed over for five minutes, tried once, told of, and passed
// over again; at once if it has changed.
func TestFirstOfTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, "not-the-secret")
		opts := s.options()
		aside := counting(opts, apponly.EventCredentialSetAside)
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.FirstOf(apponly.SecretFile(path), apponly.Secret(s.Secret())), opts)
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, exchanges, tries int) {
			t.Helper()
			before := s.requests() + exchanges
			aside.Store(0)
			for range exchanges {
				if err := tryForce(t, c, s.API().Scope()); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Second)
			}
			if n := s.requests() - before; n != tries || int(aside.Load()) != tries {
				t.Errorf("%s: tried %d times and told of %d times, want %d", when, n, aside.Load(), tries)
			}
		}
		check("20 minutes", 60, 4) // after 0, 320, 640 and 960 seconds
		check("the fourth is not over", 3, 0)
		write(t, path, "nor-this-one")
		check("changed", 15, 1)
	})
}

// A credential that is another each time and the one beside it, both refused:
// each is told of once.
func TestFirstOfTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var calls atomic.Int64
		opts := s.options()
		aside := counting(opts, apponly.EventCredentialSetAside)
		minted := apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			calls.Add(1)
			return s.Issuer().Token(entratest.Claims{Subject: "nobody", Audience: s.Cloud().ExchangeAudience(), ExpiresAt: time.Now().Add(time.Hour)}), nil
		}))
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.FirstOf(minted, apponly.Secret("not-the-secret")), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			tryForce(t, c, s.API().Scope())
			time.Sleep(20 * time.Second)
		}
		if calls.Load() < 2 || aside.Load() != 2 {
			t.Errorf("%d assertions, %d set-aside events; want more than one and 2", calls.Load(), aside.Load())
		}
	})
}

// A clock that is off by more than a day is told of once and left to whom it
// belongs.
func TestClockBeyondBelief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetClockOffset(48 * time.Hour)
		var skews []time.Duration
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind == apponly.EventClockSkew {
				skews = append(skews, ev.Skew)
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(chainOf(s), s.Certificate().Key, nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			wantKind(t, tryForce(t, c, s.API().Scope()), apponly.ErrAssertionExpired)
			time.Sleep(time.Minute)
		}
		if len(skews) != 1 || (skews[0]-48*time.Hour).Abs() > time.Second {
			t.Errorf("told of %v, want 48 hours once", skews)
		}
	})
}

// The status tells of a clock that is wrong, whether that is corrected or not, and of
// none that was put right.
func TestStatusTellsOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.client(t)
		for _, tc := range []struct{ offset, want time.Duration }{
			{0, 0}, {2 * time.Second, 0}, {-3 * time.Minute, -3 * time.Minute}, {48 * time.Hour, 48 * time.Hour}, {0, 0},
		} {
			s.SetClockOffset(tc.offset)
			force(t, c, s.API().Scope())
			if got := c.Status()[0].ClockSkew; (got - tc.want).Abs() > time.Second {
				t.Errorf("off by %v: told of %v", tc.offset, got)
			}
			time.Sleep(time.Minute)
		}
	})
}

// When all are passed over, each gets its turn.
func TestFirstOfTakesTurns(t *testing.T) {
	for _, good := range []string{"first-one", "second-one", "third-one"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			c := s.with(t, apponly.FirstOf(apponly.Secret("first-one"), apponly.Secret("second-one"), apponly.Secret("third-one")))
			c.Token(t.Context(), s.API().Scope())
			s.App().AddSecret(good, time.Now().AddDate(1, 0, 0))
			begun := time.Now()
			n := s.requests()
			for {
				time.Sleep(10 * time.Second)
				if tryForce(t, c, s.API().Scope()) == nil {
					break
				}
			}
			if d := time.Since(begun); d > time.Minute {
				t.Errorf("%s works, got its turn after %v and %d requests", good, d, s.requests()-n)
			}
			// It is passed over no more.
			n = s.requests()
			for range 3 {
				time.Sleep(10 * time.Second)
				force(t, c, s.API().Scope())
			}
			if n = s.requests() - n; n != 3 {
				t.Errorf("%s: %d requests for 3 tokens once it was found", good, n)
			}
		})
	}
}

// What another tenant's flight has taught meanwhile counts when a source fails.
func TestKeptSinceTheFlightBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var calls atomic.Int64
		c, tenants := s.manyTenants(t, apponly.SecretFunc(func(context.Context) (string, error) {
			if calls.Add(1) == 1 {
				time.Sleep(5 * time.Second)
				return "", errors.New("the vault is sealed")
			}
			return s.Secret(), nil
		}), 2)
		slow := make(chan error, 1)
		go func() {
			_, err := c.Token(t.Context(), s.API().Scope())
			slow <- err
		}()
		time.Sleep(time.Second)
		other, err := c.Tenant(tenants[1])
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, other, s.API().Scope())
		if err := <-slow; err != nil {
			t.Errorf("while another tenant has a token with it: %v", err)
		}
	})
}
