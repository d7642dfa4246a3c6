// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

func sharedKeys(ns ...byte) apponly.SharedKeys {
	var keys [][]byte
	for _, n := range ns {
		keys = append(keys, sharedKey(n))
	}
	return apponly.SharedKey(keys...)
}

// New reports what is wrong with the keys, and shows nothing of them.
func TestSharedKeyFaults(t *testing.T) {
	t.Parallel()
	good, store := sharedKey(1), &memStore{}
	many := make([][]byte, 9)
	for i := range many {
		many[i] = sharedKey(byte(i))
	}
	for name, tc := range map[string]struct {
		store apponly.SharedStore
		keys  apponly.SharedKeys
		want  string // "": no fault
	}{
		"one":           {store, apponly.SharedKey(good), ""},
		"eight":         {store, apponly.SharedKey(many[1:]...), ""},
		"none":          {store, apponly.SharedKeys{}, "without SharedKeys"},
		"of no key":     {store, apponly.SharedKey(), "there is no key"},
		"nine":          {store, apponly.SharedKey(many...), "there are 9 keys"},
		"short":         {store, apponly.SharedKey(good, good[:16]), "key 2 has 16 bytes"},
		"unset":         {store, apponly.SharedKey(make([]byte, 32)), "key 1 is one byte repeated"},
		"nil store":     {(*memStore)(nil), apponly.SharedKey(good), "is a nil *apponly_test.memStore"},
		"keys alone":    {nil, apponly.SharedKey(good), ""},
		"file":          {store, apponly.SharedKeyFile("/no/such/file"), ""},
		"no path":       {store, apponly.SharedKeyFile(""), "SharedKeyFile"},
		"key as a path": {store, apponly.SharedKeyFile(base64.StdEncoding.EncodeToString(good)), "SharedKeyFile"},
	} {
		s := newSTS(t)
		opts := s.options()
		opts.Cache = apponly.NewCache(&apponly.CacheOptions{Shared: tc.store, SharedKeys: tc.keys})
		_, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), opts)
		if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, apponly.ErrConfiguration) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(good)) {
			t.Errorf("%s: the key is shown: %v", name, err)
		}
	}
}

// However keys are rotated, no call fails, and it costs a request more at most for each
// step.
func TestSharedKeyRotation(t *testing.T) {
	t.Parallel()
	const hours = 3
	for name, steps := range map[string][]apponly.SharedKeys{
		"none":        {sharedKeys(1), sharedKeys(1), sharedKeys(1), sharedKeys(1)},
		"right order": {sharedKeys(1), sharedKeys(1, 2), sharedKeys(2, 1), sharedKeys(2)},
		"wrong order": {sharedKeys(1), sharedKeys(2, 1), sharedKeys(2, 1), sharedKeys(2)},
		"at once":     {sharedKeys(1), sharedKeys(2), sharedKeys(2), sharedKeys(2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(stsTime)
				s.SetTokenLifetime(time.Hour)
				store := &memStore{latency: storeTime}
				var failed atomic.Int64
				var wg sync.WaitGroup
				began := time.Now()
				for range 100 {
					wg.Go(func() {
						for i, keys := range steps {
							c := s.pod(t, store, keys)
							// Pods are replaced in the last twenty minutes of each step.
							end := began.Add(time.Duration(i+1)*hours*time.Hour/4 - jitter(20*time.Minute))
							failed.Add(live(t, s, []*apponly.Client{c}, time.Until(end), 5*time.Minute))
						}
					})
				}
				wg.Wait()
				t.Logf("%d requests", s.requests())
				if most := map[string]int{"none": 6, "right order": 7, "wrong order": 7, "at once": 8}[name]; s.requests() > most || failed.Load() > 0 {
					t.Errorf("%d requests and %d failed calls, want at most %d and none", s.requests(), failed.Load(), most)
				}
			})
		})
	}
}

// A key file is read again when it changes. One that breaks stops nobody.
func TestSharedKeyFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		store := &memStore{}
		path := filepath.Join(t.TempDir(), "keys")
		var told []string
		pod := s.pod(t, store, apponly.SharedKeyFile(path), func(o *apponly.Options) {
			o.OnEvent = func(_ context.Context, ev apponly.Event) {
				if ev.Kind == apponly.EventSharedUnavailable {
					told = append(told, fmt.Sprint(ev.Err))
				}
			}
		})
		line := func(n byte) string { return base64.StdEncoding.EncodeToString(sharedKey(n)) + "\n" }
		lastKey := byte(0)
		step := func(content string, wantKey byte, wantTold string) {
			t.Helper()
			switch content {
			case "":
				os.Remove(path)
			default:
				writeFile(t, path, []byte(content))
			}
			told = nil
			time.Sleep(11 * time.Second) // the pace of Force
			force(t, pod, s.API().Scope())
			if got := strings.Join(told, "\n"); (wantTold == "") != (got == "") || !strings.Contains(got, wantTold) || strings.Contains(got, strings.TrimSpace(line(1))) {
				t.Errorf("told of %q, want %q", got, wantTold)
			}
			if wantKey == 0 {
				return
			}
			lastKey = wantKey
			before := s.requests()
			mustToken(t, s.pod(t, store, sharedKeys(wantKey)), s.API().Scope())
			if s.requests() != before {
				t.Errorf("key %d does not open what was stored with %q", wantKey, content)
			}
		}
		step("", 0, "no such file")
		step(line(1), 1, "<nil>")
		step("\r\n"+line(2)+"\n"+line(1), 2, "")
		step("not a key", 2, "line 1 is not base64")
		step("", 2, "") // was told of already
		step(line(3)+strings.Repeat(line(1), 8), 2, "")
		step(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(line(0xf0)), 0xf0, "<nil>")
		if lastKey != 0xf0 {
			t.Error("not all steps were made")
		}
	})
}

// Nothing that is secret, or tells whose it is, gets to the store, into an event, or out
// of what holds the keys.
func TestSharedCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		store := &memStore{}
		keys := sharedKeys(7, 8)
		var log bytes.Buffer
		var c *apponly.Client
		cacheOpts := &apponly.CacheOptions{Shared: store, SharedKeys: keys}
		cache := apponly.NewCache(cacheOpts)
		c = s.pod(t, store, keys, func(o *apponly.Options) {
			o.Cache = cache
			o.OnEvent = func(_ context.Context, ev apponly.Event) { fmt.Fprintf(&log, "%+v %#v\n", ev.Err, ev.Err) }
		})
		tok := mustToken(t, c, s.API().Scope())
		time.Sleep(time.Minute)
		_, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: `{"access_token":{"nbf":{"value":"1790000000"}}}`})
		if err != nil {
			t.Fatal(err)
		}
		s.setFault(status(400, `{"error":"invalid_resource","error_codes":[500011],"error_description":"AADSTS500011"}`))
		time.Sleep(time.Minute)
		tryForce(t, c, s.API().Scope())
		if _, err := c.Token(t.Context(), "api://nowhere/.default"); err == nil {
			t.Fatal("no refusal was stored")
		}
		secrets := canaries{
			tok.Value(), s.Secret(), s.Tenant().ID(), s.App().ClientID(), s.API().Scope(), "api://nowhere", "1790000000",
			string(sharedKey(7)), string(sharedKey(8)), "Bearer", "resource_not_found", "500011", s.Cloud().Authority(),
		}
		if form := secrets.find(store.seen.String()); form != "" || store.seen.Len() < 3000 {
			t.Errorf("%q was handed to the store, in %d bytes", form, store.seen.Len())
		}
		material := canaries{tok.Value(), string(sharedKey(7)), string(sharedKey(8)), s.Secret()}
		if form := material.find(log.String()); form != "" {
			t.Errorf("%q in an event", form)
		}
		store.kept, store.seen = nil, bytes.Buffer{}
		for name, v := range map[string]any{"keys": keys, "&keys": &keys, "cache": cache, "options": cacheOpts, "client": c} {
			material.checkPrinted(t, name, v)
		}
	})
}
