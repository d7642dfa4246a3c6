// SPDX-License-Identifier: MIT

package verify_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/verify"
)

// long are claims that are good for more than a day.
func long(changes fields) fields {
	return claims(with(fields{"exp": time.Now().Add(30 * time.Hour).Unix()}, changes))
}

// Entra's documents were recorded for 143 days: they change every few hours, and keys
// are missing for up to a day and back. No token is refused for that, whether an API
// remembers tokens or not.
func TestFlappingDocument(t *testing.T) {
	for _, remember := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			const days = 2
			r := rand.New(rand.NewPCG(1, 2))
			type state struct {
				*signer
				token        string
				hidden, back time.Time // since and until when it is not in the document
			}
			var keys []*state
			for i := range 6 {
				keys = append(keys, &state{signer: newSigner(fmt.Sprint("flap", i))})
			}
			s := new(keyServer)
			v := open(t, s, byRole, verify.Options{Remember: remember})
			publish := func() (hidden int) {
				entries := []any{newSigner("always").entry()}
				for _, k := range keys {
					if now := time.Now(); now.Before(k.back) {
						hidden++
					} else {
						entries = append(entries, k.entry())
						if now.After(k.back.Add(2*time.Hour)) && r.IntN(60) == 0 {
							k.hidden, k.back = now, now.Add(rand.N(22*time.Hour+30*time.Minute))
						}
					}
				}
				r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
				s.set(entries...)
				return hidden
			}
			publish()
			missing := 0
			for step := range days * 24 * 12 {
				for i, k := range keys {
					if step%(20*12) == 0 {
						k.token = k.signer.token(long(nil))
					}
					if err := expect(t, v, k.token, nil); err != nil {
						t.Fatalf("after %v, key %d, missing since %v: %v", time.Duration(step)*5*time.Minute, i, time.Since(k.hidden), err)
					}
				}
				time.Sleep(5 * time.Minute)
				missing += publish()
			}
			if missing < days*24*12 {
				t.Errorf("keys were missing %d times: the document does not flap", missing)
			}
			if n := s.fetches.Load(); n > days*27 {
				t.Errorf("%d fetches", n)
			}
			synctest.Wait()
		})
	}
}

// A key is trusted for a day after it was in the document last, and an outage of the
// document does not count.
func TestVanishedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, stays := newSigner("k1"), newSigner("k2")
		s := new(keyServer)
		s.slow(time.Second, k.entry(), stays.entry())
		v := open(t, s, byRole, verify.Options{})
		var token string
		still := func(want error) {
			t.Helper()
			expect(t, v, token, want)
			expect(t, v, stays.token(long(nil)), nil)
			time.Sleep(time.Second) // what this has had fetched is there
			synctest.Wait()
		}
		token = k.token(long(nil))
		still(nil)
		s.slow(time.Second, stays.entry())
		for range 11 {
			time.Sleep(2 * time.Hour)
			still(nil)
		}
		time.Sleep(2 * time.Hour) // a day in all
		still(nil)                // and this has it fetched
		still(verify.ErrUnknownKey)
		if n := v.Status()[0].Keys; n != 1 {
			t.Errorf("%d keys", n)
		}

		// It is back, and then the document cannot be had for a week.
		s.slow(time.Second, k.entry(), stays.entry())
		time.Sleep(2 * time.Hour)
		token = k.token(long(nil))
		still(nil)
		s.fails()
		for range 7 * 12 {
			time.Sleep(2 * time.Hour)
			token = k.token(long(nil))
			still(nil)
		}
		// The first document after that decides.
		s.slow(time.Second, stays.entry())
		time.Sleep(time.Hour)
		still(nil)
		still(verify.ErrUnknownKey)
	})
}

// What a key's entry says of it counts at once; that it is in another place, or that
// another has come, changes nothing.
func TestChangedEntry(t *testing.T) {
	k, stays, twin := newSigner("k1"), newSigner("k2"), newSigner("k3").named("k1")
	us := fields{"cloud_instance_name": "microsoftonline.us"}
	for name, tc := range map[string]struct {
		entries []any
		want    error
	}{
		"as it is":           {[]any{k.entry(), stays.entry()}, nil},
		"moved":              {[]any{stays.entry(), newSigner("k4").entry(), k.entry()}, nil},
		"with a certificate": {[]any{with(k.entry(), fields{"x5c": []string{"MII"}}), stays.entry()}, nil},
		"vanished":           {[]any{stays.entry()}, nil},
		"beside its twin":    {[]any{twin.entry(), k.entry()}, nil},
		"became its twin":    {[]any{twin.entry()}, verify.ErrSignature},
		"another issuer":     {[]any{with(k.entry(), fields{"issuer": host + "/" + other + "/v2.0"})}, verify.ErrIssuer},
		"another exponent":   {[]any{with(k.entry(), fields{"e": b64([]byte{3})})}, verify.ErrSignature},
		"another cloud":      {[]any{with(k.entry(), us), stays.entry()}, verify.ErrUnknownKey},
		"for encryption":     {[]any{with(k.entry(), fields{"use": "enc"}), stays.entry()}, verify.ErrUnknownKey},
		"another algorithm":  {[]any{with(k.entry(), fields{"alg": "PS256"})}, verify.ErrSignature},
	} {
		for _, remember := range []int{0, -1} {
			synctest.Test(t, func(t *testing.T) {
				s := serveKeys(k.entry(), stays.entry())
				v := open(t, s, byRole, verify.Options{Remember: remember})
				token := k.token(long(nil))
				for range 3 { // it is the same key each time
					expect(t, v, token, nil)
					time.Sleep(67 * time.Minute)
				}
				s.slow(time.Second, tc.entries...)
				expect(t, v, token, nil) // it has the document fetched, and does not wait
				time.Sleep(time.Second)
				synctest.Wait()
				if err := expect(t, v, token, tc.want); t.Failed() {
					t.Fatalf("%s, remember %d: %v", name, remember, err)
				}
				s.fetched(t, 4)
				if got := v.Remembers(token); got != (remember == 0) {
					t.Errorf("%s: remembered: %v", name, got)
				}
			})
		}
	}
}
