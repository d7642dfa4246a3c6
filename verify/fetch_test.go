// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// Nothing is fetched before a token needs a key, and what is wrong with a token in
// itself is said while Entra is down.
func TestFetchIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		s := serveKeys(k.entry())
		s.fails()
		v := open(t, s, byRole, verify.Options{})
		time.Sleep(24 * time.Hour)
		for token, want := range map[string]error{
			"":                          verify.ErrNoToken,
			"x":                         verify.ErrMalformed,
			k.token(claims(of(other))):  verify.ErrTenant,
			"a." + k.token(claims(nil)): verify.ErrMalformed,
			k.sign(fields{"alg": "none", "kid": "k1"}, claims(nil)): verify.ErrAlgorithm,
		} {
			expect(t, v, token, want)
		}
		s.fetched(t, 0)
		err := expect(t, v, k.token(claims(nil)), verify.ErrKeysUnavailable)
		if e, ok := errors.AsType[*verify.Error](err); !ok || !errors.Is(err, verify.ErrUnavailable) || time.Until(e.RetryAt) <= 0 || time.Until(e.RetryAt) > time.Second {
			t.Errorf("%v, to be asked again in %v", err, time.Until(e.RetryAt))
		}
		s.fetched(t, 1)
		s.set(k.entry())
		time.Sleep(time.Second)
		expect(t, v, k.token(claims(nil)), nil)
		s.fetched(t, 2)
	})
}

// However many wait, there is one fetch.
func TestOneFetch(t *testing.T) {
	k := newSigner("k1")
	synctest.Test(t, func(t *testing.T) {
		s := serveKeys()
		s.slow(3*time.Second, k.entry())
		v := open(t, s, byRole, verify.Options{})
		good, forged := k.token(claims(nil)), unknown("invented")
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				if i%2 == 0 {
					expect(t, v, good, nil)
				} else {
					expect(t, v, forged, verify.ErrUnknownKey)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("it took %v", d)
		}
		s.fetched(t, 1)
	})
}

// Whoever looks just as a fetch ends sees what it brought. This is in real time: the
// moment between two looks is what is tested.
func TestFetchEndsMeanwhile(t *testing.T) {
	k := newSigner("k1")
	s := serveKeys(k.entry())
	for range 300 {
		v := open(t, s, byRole, verify.Options{})
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				<-start
				if err := v.Find(t.Context(), "k1"); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
	}
}

// Who waits leaves by its own context, and after five seconds at most; the fetch goes
// on for the others, whoever began it.
func TestWaitersLeave(t *testing.T) {
	k := newSigner("k1")
	why := errors.New("the client hung up")
	synctest.Test(t, func(t *testing.T) {
		token := k.token(claims(nil))
		s := serveKeys()
		s.slow(8*time.Second, k.entry())
		v := open(t, s, byRole, verify.Options{})
		began := time.Now()
		var wg sync.WaitGroup
		wait := func(ctx context.Context, after time.Duration, want ...error) {
			synctest.Wait() // the first one begins the fetch
			wg.Go(func() {
				_, err := v.Verify(ctx, token)
				for _, target := range append(want, verify.ErrKeysUnavailable) {
					if len(want) > 0 && !errors.Is(err, target) {
						t.Errorf("%v, want %v", err, target)
					}
				}
				if len(want) == 0 && err != nil || time.Since(began) != after {
					t.Errorf("%v after %v, want %v", err, time.Since(began), after)
				}
				if e, ok := errors.AsType[*verify.Error](err); ok && !e.RetryAt.Equal(time.Now()) {
					t.Errorf("to be asked again in %v, and it is under way", time.Until(e.RetryAt))
				}
			})
		}
		first, leave := context.WithCancelCause(t.Context())
		wait(first, time.Second, context.Canceled, why)
		timed, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		wait(timed, 2*time.Second, context.DeadlineExceeded, why)
		ended, end := context.WithCancel(t.Context())
		end()
		wait(ended, 0, context.Canceled)
		wait(t.Context(), 5*time.Second, context.DeadlineExceeded)
		time.Sleep(time.Second)
		leave(why)
		time.Sleep(6 * time.Second)
		wait(t.Context(), 8*time.Second)
		wg.Wait()
		expectCtx(t, ended, v, token, nil) // nobody waits any more
		s.fetched(t, 1)
	})
}

// Names that are not known are fetched for once in half a minute, whoever asks; a
// bad signature by a known key never is.
func TestUnknownKeys(t *testing.T) {
	k, next := newSigner("k1"), newSigner("k2")
	synctest.Test(t, func(t *testing.T) {
		s := serveKeys(k.entry())
		v := open(t, s, byRole, verify.Options{})
		good := k.token(claims(nil))
		expect(t, v, good, nil)
		for i := range 100 {
			expect(t, v, damaged(good), verify.ErrSignature)
			expect(t, v, unknown(fmt.Sprint(i)), verify.ErrUnknownKey)
		}
		s.fetched(t, 1)
		time.Sleep(30*time.Second - time.Nanosecond)
		expect(t, v, damaged(good), verify.ErrSignature)
		s.set(k.entry(), next.entry())
		expect(t, v, next.token(claims(nil)), verify.ErrUnknownKey)
		s.fetched(t, 1)
		time.Sleep(time.Nanosecond)
		expect(t, v, damaged(good), verify.ErrSignature)
		s.fetched(t, 1)
		expect(t, v, next.token(claims(nil)), nil) // it has rotated
		s.fetched(t, 2)

		// That a fetch has failed is another answer, and how long it is one.
		time.Sleep(30 * time.Second)
		s.fails()
		for range 3 {
			err := expect(t, v, unknown("x"), verify.ErrKeysUnavailable)
			if e, ok := errors.AsType[*verify.Error](err); !ok || time.Until(e.RetryAt) <= 0 || time.Until(e.RetryAt) > time.Second {
				t.Errorf("to be asked again in %v", time.Until(e.RetryAt))
			}
			expect(t, v, good, nil)
		}
		s.fetched(t, 3)
	})
}

// While Entra cannot be reached it is asked ever more rarely, but no later than a
// token needs.
func TestFetchFails(t *testing.T) {
	k := newSigner("k1")
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		s := serveKeys(k.entry())
		v := open(t, s, byRole, verify.Options{})
		expect(t, v, k.token(claims(nil)), nil)
		s.answers(func(*http.Request) (int, []byte) {
			at = append(at, time.Now())
			return 500, nil
		})
		good := k.token(claims(fields{"exp": time.Now().Add(27 * time.Hour).Unix()}))
		for began := time.Now(); time.Since(began) < 2*time.Hour; time.Sleep(min(50*time.Millisecond+time.Since(began)/50, time.Second)) {
			if _, err := v.Verify(t.Context(), good); err != nil {
				t.Fatal(err)
			}
		}
		if len(at) < 12 || len(at) > 40 {
			t.Fatalf("%d fetches in 2 hours", len(at))
		}
		for i := 1; i < len(at); i++ {
			longest := min(time.Second<<(i-1), 5*time.Minute)
			if d := at[i].Sub(at[i-1]); d < longest/2 || d > longest+2*time.Second {
				t.Errorf("%v between failures %d and %d, want up to %v", d, i, i+1, longest)
			}
		}
		// Where a key is missing half a minute is the longest.
		began := len(at)
		for range 20 {
			time.Sleep(31 * time.Second)
			err := expect(t, v, unknown("x"), verify.ErrKeysUnavailable)
			if e, ok := errors.AsType[*verify.Error](err); !ok || time.Until(e.RetryAt) > 30*time.Second {
				t.Errorf("to be asked again in %v", time.Until(e.RetryAt))
			}
		}
		if n := len(at) - began; n != 20 {
			t.Errorf("%d fetches for 20 unknown keys, half a minute apart", n)
		}
		s.set(k.entry())
		time.Sleep(30 * time.Second)
		expect(t, v, unknown("x"), verify.ErrUnknownKey)
	})
}

// Known keys are fetched anew behind their users' backs, once an hour, whether the
// tokens are remembered or not.
func TestRefreshBehind(t *testing.T) {
	k := newSigner("k1")
	for _, remember := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			s := serveKeys(k.entry())
			v := open(t, s, byRole, verify.Options{Remember: remember})
			token := k.token(claims(fields{"exp": time.Now().Add(40 * time.Hour).Unix()}))
			expect(t, v, token, nil)
			s.slow(4*time.Second, k.entry())
			var gaps []time.Duration
			n, last := int64(1), time.Now()
			for len(gaps) < 24 {
				time.Sleep(30 * time.Second)
				asked := time.Now()
				expect(t, v, token, nil)
				if time.Since(asked) != 0 {
					t.Fatalf("a caller has waited for %v", time.Since(asked))
				}
				synctest.Wait()
				if now := s.fetches.Load(); now != n {
					gaps = append(gaps, time.Since(last))
					n, last = now, time.Now()
				}
			}
			least, most := gaps[0], gaps[0]
			for _, g := range gaps {
				least, most = min(least, g), max(most, g)
			}
			if least < 54*time.Minute || most > 66*time.Minute+40*time.Second || most-least < 3*time.Minute {
				t.Errorf("fetched after %v to %v", least, most)
			}
			time.Sleep(4 * time.Second) // the last one ends
		})
	}
}

// Whoever has asked for nothing in a day looks first, once, and goes on with what it
// has if that does not help.
func TestIdleForADay(t *testing.T) {
	k, next := newSigner("k1"), newSigner("k2")
	for name, tc := range map[string]struct {
		answer func(s *keyServer)
		want   error
		waits  time.Duration
	}{
		"as before":       {func(s *keyServer) { s.slow(2*time.Second, k.entry()) }, nil, 2 * time.Second},
		"the key is gone": {func(s *keyServer) { s.slow(2*time.Second, next.entry()) }, verify.ErrUnknownKey, 2 * time.Second},
		"another's now":   {func(s *keyServer) { s.slow(2*time.Second, with(k.entry(), of("x")), next.entry()) }, nil, 2 * time.Second},
		"another issuer's": {func(s *keyServer) {
			s.slow(2*time.Second, with(k.entry(), fields{"issuer": host + "/" + other + "/v2.0"}))
		}, verify.ErrIssuer, 2 * time.Second},
		"down":      {func(s *keyServer) { s.fails() }, nil, 0},
		"no answer": {func(s *keyServer) { s.slow(time.Hour) }, nil, 5 * time.Second},
	} {
		for _, remember := range []int{0, -1} {
			synctest.Test(t, func(t *testing.T) {
				s := serveKeys(k.entry())
				v := open(t, s, byRole, verify.Options{Remember: remember})
				token := k.token(claims(fields{"exp": time.Now().Add(40 * time.Hour).Unix()}))
				expect(t, v, token, nil)
				time.Sleep(24*time.Hour + time.Minute)
				defer time.Sleep(15 * time.Second) // the last fetch ends
				tc.answer(s)
				began := time.Now()
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if err := expect(t, v, token, tc.want); t.Failed() {
							t.Errorf("%s, remember %d: %v", name, remember, err)
						}
					})
				}
				wg.Wait()
				if d := time.Since(began); d != tc.waits {
					t.Errorf("%s: it took %v, want %v", name, d, tc.waits)
				}
				s.fetched(t, 2)
				time.Sleep(20 * time.Second)
				began = time.Now()
				expect(t, v, token, tc.want)
				if d := time.Since(began); d != 0 {
					t.Errorf("%s: again it took %v", name, d)
				}
			})
		}
	}
}

// The text of an error is the same each time, and names the document.
func TestUnavailableText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveKeys()
		s.fails()
		v := open(t, s, byRole, verify.Options{})
		const want = "verify: Entra's keys could not be fetched: " + host + "/" + tenant + "/discovery/v2.0/keys: the answer has status 503"
		for range 3 {
			err := expect(t, v, unknown("x"), verify.ErrKeysUnavailable)
			if err.Error() != want {
				t.Errorf("%q, want %q", err, want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Error("more than one line")
			}
			time.Sleep(time.Minute)
		}
	})
}
