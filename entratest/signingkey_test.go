// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

// document fetches a key document: its entries in the order they have there.
func document(t *testing.T, s *entratest.Server, path string) []json.RawMessage {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	getJSON(t, s.HTTPClient(), s.Cloud().Authority()+path, &set)
	return set.Keys
}

// entries are the objects of a key document by their kid.
func entries(t *testing.T, s *entratest.Server, path string) map[string]map[string]any {
	t.Helper()
	byID := make(map[string]map[string]any)
	for _, raw := range document(t, s, path) {
		var entry map[string]any
		if err := json.Unmarshal(raw, &entry); err != nil {
			t.Fatalf("%s: entry %s: %v", path, raw, err)
		}
		byID[entry["kid"].(string)] = entry
	}
	return byID
}

// The members are those of all entries in the documents that Entra was seen to publish.
func TestKeyEntries(t *testing.T) {
	s := entratest.New(t)
	added := s.AddKey(entratest.KeyOptions{})
	id := s.Tenant().ID()
	for _, name := range []string{"common", "organizations", id} {
		for path, want := range map[string]string{
			"/" + name + "/discovery/keys":      "e kid kty n use x5c x5t",
			"/" + name + "/discovery/v2.0/keys": "cloud_instance_name e issuer kid kty n use x5c x5t",
		} {
			got := entries(t, s, path)
			if len(got) != 2 || got[added.ID()] == nil || got[s.SigningKey().ID()] == nil {
				t.Errorf("%s: %v, want the signing key and the added one", path, slices.Collect(maps.Keys(got)))
			}
			for kid, entry := range got {
				if names := strings.Join(slices.Sorted(maps.Keys(entry)), " "); names != want {
					t.Errorf("%s: members %s, want %s", path, names, want)
				}
				if entry["kty"] != "RSA" || entry["use"] != "sig" || entry["x5t"] != kid {
					t.Errorf("%s: %v", path, entry)
				}
			}
		}
		tenant := "{tenantid}"
		if name == id {
			tenant = id
		}
		for _, entry := range entries(t, s, "/"+name+"/discovery/v2.0/keys") {
			if want := s.Cloud().Authority() + "/" + tenant + "/v2.0"; entry["issuer"] != want || entry["cloud_instance_name"] != "entra.test" {
				t.Errorf("%s: issuer %v of %v, want %s of entra.test", name, entry["issuer"], entry["cloud_instance_name"], want)
			}
		}
	}
}

func TestAddKey(t *testing.T) {
	s := entratest.New(t)
	id, app := s.Tenant().ID(), s.API().AppID()
	us := "https://login.microsoftonline.us/"
	consumers, _ := cloud.Public.Issuer(2, entratest.ConsumerTenant)
	common, orgs, own := "/common/discovery/v2.0/keys", "/organizations/discovery/v2.0/keys", "/"+id+"/discovery/v2.0/keys"
	v1 := "/" + id + "/discovery/keys"
	type is = map[string]any // nil: there is no such member; a nil map: there is no such entry
	for name, tt := range map[string]struct {
		options entratest.KeyOptions
		want    map[string]is
	}{
		"another cloud": {
			entratest.KeyOptions{Issuer: us + "{tenantid}/v2.0", CloudInstance: "microsoftonline.us"},
			map[string]is{
				common: {"issuer": us + "{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.us"},
				orgs:   {"issuer": us + "{tenantid}/v2.0"},
				own:    {"issuer": us + id + "/v2.0", "cloud_instance_name": "microsoftonline.us"},
				v1:     {"issuer": nil, "cloud_instance_name": nil},
			},
		},
		"personal accounts": {
			entratest.KeyOptions{Issuer: consumers},
			map[string]is{common: {"issuer": consumers}, own: {"issuer": consumers}, orgs: nil},
		},
		"use, alg, ID": {
			entratest.KeyOptions{ID: "mine", Use: "enc", Alg: "RS512"},
			map[string]is{own: {"use": "enc", "alg": "RS512", "kid": "mine", "x5t": "mine"}, v1: {"use": "enc", "alg": "RS512"}},
		},
		"hidden": {
			entratest.KeyOptions{Hidden: true},
			map[string]is{common: nil, orgs: nil, own: nil, v1: nil},
		},
		"of an app": {
			entratest.KeyOptions{AppID: strings.ToUpper(app)},
			map[string]is{
				common: nil, own: nil, v1: nil, common + "?appid=" + app: nil, own + "?appid=" + s.App().ClientID(): nil, own + "?appid=x": nil,
				own + "?appid=" + app: {"use": "sig"}, v1 + "?appid=" + strings.ToUpper(app): {"use": "sig"},
			},
		},
		"members": {
			entratest.KeyOptions{Issuer: "x", Members: is{"issuer": nil, "use": nil, "key_ops": []string{"verify"}, "e": 65537, "y": json.RawMessage("null")}},
			map[string]is{own: {"issuer": nil, "use": nil, "key_ops": []string{"verify"}, "e": 65537, "y": json.RawMessage("null"), "kty": "RSA"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			key := s.AddKey(tt.options)
			defer key.SetHidden(true)
			for path, want := range tt.want {
				got := entries(t, s, path)[key.ID()]
				if (got == nil) != (want == nil) {
					t.Errorf("%s: entry %v, want %v", path, got, want)
				}
				for member, value := range want {
					v, there := got[member]
					if there != (value != nil) || there && text(v) != text(value) {
						t.Errorf("%s: %s is %s, there %t; want %s", path, member, text(v), there, text(value))
					}
				}
			}
		})
	}
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// What is no key at all is in the documents as it is.
func TestRawEntries(t *testing.T) {
	s := entratest.New(t)
	raws := []string{`42`, `null`, `[]`, `"x"`, `{"kty":"EC","crv":"P-256","kid":"ec","x":"AA","y":"AA"}`, `{"kid":1,"kid":"twice"}`}
	var last *entratest.Key
	for _, raw := range raws {
		last = s.AddKey(entratest.KeyOptions{Raw: json.RawMessage(raw)})
	}
	for _, path := range []string{"/common/discovery/v2.0/keys", "/" + s.Tenant().ID() + "/discovery/keys"} {
		got := document(t, s, path)[1:]
		if !slices.EqualFunc(got, raws, func(g json.RawMessage, w string) bool { return string(g) == w }) {
			t.Errorf("%s: %s, want %s", path, got, raws)
		}
	}
	last.SetHidden(true)
	if got := document(t, s, "/common/discovery/keys"); len(got) != len(raws) {
		t.Errorf("%d entries after one was hidden, want %d", len(got), len(raws))
	}
}

// Options are the caller's again once AddKey has returned.
func TestKeyOptionsAreCopied(t *testing.T) {
	s := entratest.New(t)
	ops := []string{"verify"}
	members := map[string]any{"key_ops": ops}
	raw := json.RawMessage(`11`)
	key := s.AddKey(entratest.KeyOptions{Members: members})
	s.AddKey(entratest.KeyOptions{Raw: raw})
	ops[0], members["kty"], raw[0] = "sign", "x", 'x'
	got := document(t, s, "/common/discovery/keys")
	if !strings.Contains(string(got[1]), `"key_ops":["verify"]`) || !strings.Contains(string(got[1]), `"kty":"RSA"`) || string(got[2]) != "11" {
		t.Errorf("the entries follow what the caller has changed: %s, key %s", got[1:], key.ID())
	}
}

// Forged tokens have to be forged: their keys are not those that the emulator signs
// with, nor each other's.
func TestAddedKeysDiffer(t *testing.T) {
	s := entratest.New(t)
	seen := map[string]bool{s.SigningKey().Private().N.String(): true}
	for i := range 4 {
		key := s.AddKey(entratest.KeyOptions{ID: "same", Bits: 1024})
		seen[key.Private().N.String()] = true
		if len(seen) != i+2 || key.Private().N.BitLen() != 1024 || key.ID() != "same" {
			t.Errorf("key %d: %d bits, %d different keys so far", i, key.Private().N.BitLen(), len(seen))
		}
	}
	if got := document(t, s, "/common/discovery/keys"); len(got) != 5 {
		t.Errorf("%d entries, want all of one kid", len(got))
	}
}

// Keys go missing and come back, those too that sign, and everything else goes on.
func TestKeysFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		api := s.API().Protect(served, role)
		path := "/" + s.Tenant().ID() + "/discovery/v2.0/keys"
		key := s.SigningKey()
		for _, hidden := range []bool{true, true, false, false} {
			key.SetHidden(hidden)
			time.Sleep(time.Hour)
			got := document(t, s, path)
			if (len(got) == 0) != hidden || got == nil {
				t.Errorf("hidden %t: %d keys in the document", hidden, len(got))
			}
			token := tokenOf(s)
			if code := callAPI(api, token).StatusCode; code != http.StatusOK {
				t.Errorf("hidden %t: the API answers %d", hidden, code)
			}
		}
		s.Rollover()
		if s.SigningKey() == key {
			t.Error("the signing key is the same after a rollover")
		}
		s.Rollover()
		key.SetHidden(false)
		if got := entries(t, s, path); len(got) != 2 || got[key.ID()] != nil {
			t.Errorf("%d keys, want two without the retired one", len(got))
		}
		if got := s.Counters().Endpoints["keys"]; got != 5 {
			t.Errorf("%d fetches counted, want 5", got)
		}
	})
}

// A token of a hidden key verifies as soon as the key is back, with a library that
// knows nothing of this.
func TestAddedKeyVerifies(t *testing.T) {
	s := entratest.New(t)
	key := s.AddKey(entratest.KeyOptions{Hidden: true})
	token := s.Sign(nil, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}, key)
	uri := s.Cloud().Authority() + "/common/discovery/v2.0/keys"
	parse := func() error {
		_, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) {
			if k := fetchKeys(t, s.HTTPClient(), uri)[tok.Header["kid"].(string)]; k != nil {
				return k, nil
			}
			return nil, jwt.ErrTokenUnverifiable
		}, jwt.WithValidMethods([]string{"RS256"}))
		return err
	}
	if err := parse(); err == nil {
		t.Error("verifies with a key that is not published")
	}
	key.SetHidden(false)
	if err := parse(); err != nil {
		t.Error(err)
	}
}

// TestKeysWhileServing is for the race detector.
func TestKeysWhileServing(t *testing.T) {
	s := entratest.New(t)
	key := s.AddKey(entratest.KeyOptions{Members: map[string]any{"x": 1}})
	path := "/" + s.Tenant().ID() + "/discovery/v2.0/keys"
	var wg sync.WaitGroup
	for i, change := range []func(i int){
		func(i int) { key.SetHidden(i%2 == 0) },
		func(i int) { s.SigningKey().SetHidden(i%2 == 0) },
		func(int) { s.AddKey(entratest.KeyOptions{}) },
		func(int) { s.Rollover() },
		func(int) { s.SetKeyDocument(func(_ *http.Request, d []byte) []byte { return d }) },
		func(int) { s.Sign(nil, map[string]any{}, key) },
	} {
		wg.Go(func() {
			for n := range 10 {
				change(n + i)
				document(t, s, path)
			}
		})
	}
	wg.Wait()
}
