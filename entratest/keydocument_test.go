// SPDX-License-Identifier: MIT

package entratest_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

func fetchDocument(t *testing.T, s *entratest.Server, path string) rawResponse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := send(s.HTTPClient(), req)
	if err != nil {
		return rawResponse{err: err}
	}
	return got
}

func TestSetKeyDocument(t *testing.T) {
	s := entratest.New(t)
	path := "/" + s.Tenant().ID() + "/discovery/v2.0/keys"
	right := fetchDocument(t, s, path)
	var fetches atomic.Int32
	s.SetKeyDocument(func(r *http.Request, document []byte) []byte {
		switch {
		case r.URL.Path != path || string(document) != right.body:
			t.Errorf("%s: %s", r.URL, document)
		case fetches.Add(1) == 2:
			return document
		}
		return []byte("\xff no JSON")
	})
	for _, want := range []string{"\xff no JSON", right.body, "\xff no JSON"} {
		got := fetchDocument(t, s, path)
		if got.body != want || got.status != http.StatusOK || got.header.Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	s.SetKeyDocument(nil)
	if got := fetchDocument(t, s, path); got.body != right.body {
		t.Errorf("afterwards: %s", got.body)
	}
	s.SetKeyDocument(func(*http.Request, []byte) []byte { return nil })
	if got := fetchDocument(t, s, path); got.body != "" || got.status != http.StatusOK || got.err != nil {
		t.Errorf("empty: %+v", got)
	}
}

// The document is what a verifier loses in an outage. How often it was asked for, and
// for which tenant and app, is in the record all the same.
func TestKeyDocumentFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		s.AddKey(entratest.KeyOptions{AppID: s.API().AppID()})
		path := "/" + s.Tenant().ID() + "/discovery/v2.0/keys"
		for _, f := range []entratest.Fault{
			{Status: 503, RetryAfter: "7"}, {Connection: "reset"}, {Connection: "truncate"}, {Connection: "garble"}, {Delay: time.Minute},
		} {
			f.Endpoint, f.Times = "keys", 1
			addFault(t, s, f)
		}
		start := time.Now()
		if got := fetchDocument(t, s, path); got.status != 503 || got.header.Get("Retry-After") != "7" {
			t.Errorf("503: %+v", got)
		}
		if got := fetchDocument(t, s, path); got.err == nil {
			t.Errorf("reset: %+v", got)
		}
		if got := fetchDocument(t, s, path); got.err == nil || got.status != http.StatusOK || got.body == "" {
			t.Errorf("truncated: %+v", got)
		}
		if got := fetchDocument(t, s, path); got.err != nil || got.body == "" || got.body[0] == '{' {
			t.Errorf("garbled: %+v", got)
		}
		if got := fetchDocument(t, s, path); got.status != http.StatusOK || time.Since(start) != time.Minute {
			t.Errorf("late: %+v after %v", got, time.Since(start))
		}
		fetchDocument(t, s, path+"?appid="+s.API().AppID())

		log := s.Requests()
		if got := s.Counters(); len(log) != 6 || got.Endpoints["keys"] != 6 || got.Faults != 5 {
			t.Fatalf("%d requests recorded, %+v", len(log), got)
		}
		for i, r := range log {
			app := ""
			if i == 5 {
				app = s.API().AppID()
			}
			if i != 1 && r.Tenant != s.Tenant().ID() || r.Path != path || r.ClientID != app {
				t.Errorf("request %d: %+v", i, r)
			}
		}
	})
}

// Discovery leads an app to its custom signing keys.
func TestConfigurationOfAnApp(t *testing.T) {
	s := entratest.New(t)
	for _, version := range []string{"", "v2.0/"} {
		base := s.Cloud().Authority() + "/" + s.Tenant().ID()
		for query, want := range map[string]string{
			"": "", "?appid=x": "", "?appid=" + s.API().AppID(): "?appid=" + s.API().AppID(),
		} {
			var config struct {
				URI string `json:"jwks_uri"`
			}
			getJSON(t, s.HTTPClient(), base+"/"+version+".well-known/openid-configuration"+query, &config)
			if want := base + "/discovery/" + version + "keys" + want; config.URI != want {
				t.Errorf("%s%s: %s, want %s", version, query, config.URI, want)
			}
		}
	}
}
