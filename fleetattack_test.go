// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A heist is somebody who can do with a store what he likes and has no key.
type heist struct {
	*memStore
	token, lease string // names of the app's entries
	captured     map[string]kept
	foreign      []byte // another identity's entry
	stolen       string // and the token in it
}

// always makes every Get of a name return a value, for so long.
func (h *heist) always(name string, value []byte, left time.Duration) {
	last := h.lies
	h.lies = func(key string, v []byte, l time.Duration) ([]byte, time.Duration) {
		if key == name {
			return value, left
		}
		if last != nil {
			return last(key, v, l)
		}
		return v, l
	}
}

func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

// Whoever can write the store can cost time, which is bounded, and requests; he gets
// nobody a foreign token, or an error.
func TestFleetAttacks(t *testing.T) {
	t.Parallel()
	const short, long = 4 * (stsTime + 250*time.Millisecond), 15*time.Second + 4*stsTime
	huge := make([]byte, 1<<30) // untouched, so that it takes no memory
	for name, tc := range map[string]struct {
		attack func(h *heist)
		most   time.Duration
		wait   time.Duration // before the fleet starts
	}{
		"flipped first":           {attack: func(h *heist) { h.always(h.token, flipped(h.captured[h.token].value, 0), time.Hour) }, most: short},
		"flipped last":            {attack: func(h *heist) { h.always(h.token, flipped(h.captured[h.token].value, 1000), time.Hour) }, most: short},
		"truncated":               {attack: func(h *heist) { h.always(h.token, h.captured[h.token].value[:20], time.Hour) }, most: short},
		"one byte":                {attack: func(h *heist) { h.always(h.token, []byte{1}, time.Hour) }, most: short},
		"empty":                   {attack: func(h *heist) { h.always(h.token, []byte{}, time.Hour) }, most: short},
		"huge":                    {attack: func(h *heist) { h.always(h.token, huge, time.Hour) }, most: short},
		"old version":             {attack: func(h *heist) { h.always(h.token, append([]byte{0}, h.captured[h.token].value[1:]...), time.Hour) }, most: short},
		"swapped with another's":  {attack: func(h *heist) { h.always(h.token, h.foreign, time.Hour) }, most: short},
		"token as the lease":      {attack: func(h *heist) { h.always(h.lease, h.captured[h.token].value, time.Hour) }, most: short},
		"lease as the token":      {attack: func(h *heist) { h.always(h.token, h.captured[h.lease].value, time.Hour) }, most: short},
		"everything is a token":   {attack: func(h *heist) { h.always(h.token, h.foreign, 0); h.always(h.lease, h.foreign, 0) }, most: short},
		"negative time left":      {attack: func(h *heist) { h.always(h.token, h.captured[h.token].value, -time.Hour) }, most: short},
		"kept for ever":           {attack: func(h *heist) { h.always(h.token, h.captured[h.token].value, 1<<62) }, wait: time.Hour, most: short},
		"kept, time left unknown": {attack: func(h *heist) { h.always(h.token, h.captured[h.token].value, 0) }, wait: time.Hour, most: short},
		"forged lease for ever":   {attack: func(h *heist) { h.always(h.lease, []byte("mine"), time.Hour) }, most: short},
		"old lease for ever":      {attack: func(h *heist) { h.always(h.lease, h.captured[h.lease].value, time.Hour) }, wait: time.Minute, most: short},
		"fresh lease for ever": {attack: func(h *heist) {
			h.always(h.token, nil, 0)
			h.always(h.lease, h.captured[h.lease].value, time.Hour)
		}, most: long},
		"nothing is ever there, nor can be added": {attack: func(h *heist) { h.always(h.token, nil, 0); h.always(h.lease, nil, 0) }, most: short},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(stsTime)
				s.SetTokenLifetime(time.Hour)
				h := s.capture(t)
				time.Sleep(tc.wait)
				tc.attack(h)
				before := s.requests()
				o := atOnce(s.pods(t, 20, h.memStore), s.ask(t))
				t.Logf("%d requests, the slowest took %v", s.requests()-before, o.slowest)
				if o.failed > 0 || o.slowest > tc.most || o.values[h.stolen] > 0 {
					t.Errorf("%d failed (%v), the slowest took %v, %d got a foreign token", o.failed, o.err, o.slowest, o.values[h.stolen])
				}
				for value := range o.values {
					if left := time.Until(endOf(t, value)); left <= 0 {
						t.Errorf("a token was served %v after its end", -left)
					}
				}
			})
		})
	}
}

// A process that dies while it leads holds the others up for ten seconds, and one of them
// asks then.
func TestFleetLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(stsTime)
		h := s.capture(t)
		h.Set(t.Context(), h.lease, h.captured[h.lease].value, 10*time.Second)
		before := s.requests()
		o := atOnce(s.pods(t, 100, h.memStore), s.ask(t))
		if n := s.requests() - before; n != 1 || o.failed > 0 || o.slowest > 10*time.Second+stsTime+500*time.Millisecond {
			t.Errorf("%d requests, %d failed (%v), the slowest took %v", n, o.failed, o.err, o.slowest)
		}
	})
}

// A token that was refused and is played back for ever is taken by nobody who has had it.
func TestFleetReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(stsTime)
		h := s.capture(t)
		h.always(h.token, h.captured[h.token].value, time.Hour)
		pods := s.pods(t, 20, h.memStore)
		old := atOnce(pods, s.ask(t)).values
		time.Sleep(time.Minute)
		o := atOnce(pods, func(c *apponly.Client) (apponly.Token, error) {
			return c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Rejected: mustToken(t, c, s.API().Scope())})
		})
		for value := range old {
			if len(old) != 1 || o.values[value] > 0 || o.failed > 0 || o.slowest > 4*(stsTime+250*time.Millisecond) {
				t.Errorf("%d of 20 got the token again that was refused, %d failed, after %v", o.values[value], o.failed, o.slowest)
			}
		}
	})
}

// endOf returns when a token ends, by its own word.
func endOf(t *testing.T, token string) time.Time {
	var claims struct {
		Exp int64 `json:"exp"`
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(b, &claims) != nil {
		t.Fatalf("not a token: %v", err)
	}
	return time.Unix(claims.Exp, 0)
}

// capture runs a process of the app, and one with another capability, which is another
// identity, and keeps what they store.
func (s *sts) capture(t *testing.T) *heist {
	h := &heist{memStore: &memStore{latency: storeTime}}
	stored := func(pod *apponly.Client) (all map[string]kept, value string) {
		all = map[string]kept{}
		h.onSet = func(key string, k kept) {
			if _, ok := all[key]; !ok { // the lease as it was claimed, not as it was let go
				all[key] = k
			}
		}
		value = mustToken(t, pod, s.API().Scope()).Value()
		h.onSet, h.kept = nil, nil
		return all, value
	}
	others, stolen := stored(s.pod(t, h.memStore, apponly.SharedKey(sharedKey(1)), func(o *apponly.Options) { o.CAE = true }))
	h.stolen = stolen
	h.captured, _ = stored(s.pod(t, h.memStore, apponly.SharedKey(sharedKey(1))))
	const longest = 500 // of a lease
	for _, k := range others {
		if len(k.value) > longest {
			h.foreign = k.value
		}
	}
	for name, k := range h.captured {
		if len(k.value) > longest {
			h.token = name
		} else {
			h.lease = name
		}
	}
	if h.token == "" || h.lease == "" || h.foreign == nil || len(h.captured) != 2 {
		t.Fatalf("captured %d entries", len(h.captured))
	}
	return h
}
