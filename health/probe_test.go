// SPDX-License-Identifier: MIT

package health_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/health"
)

// Whoever asks, however often, nobody else is asked.
func TestProbesAskNobody(t *testing.T) {
	for name, state := range map[string]func(w *world){
		"not asked for": func(*world) {},
		"fresh":         func(w *world) { w.mustToken() },
		"stale":         func(w *world) { until(w.mustToken().RefreshOn()) },
		"expired":       func(w *world) { until(w.mustToken().ExpiresOn()) },
		"refused":       func(w *world) { w.App().RemoveSecret(w.Secret()); w.token() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				state(w)
				probe, page := w.check().Handler(), health.Page("busy", w.check())
				before, began := w.TokenRequests(), time.Now()
				for range 1000 {
					get(probe)
					get(probe, "Accept", "application/json")
					get(page)
				}
				synctest.Wait()
				if n := w.TokenRequests() - before; n != 0 || time.Since(began) != 0 {
					t.Errorf("%d requests, after %v", n, time.Since(began))
				}
			})
		})
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t, nil)
	w.mustToken()
	for name, h := range map[string]http.Handler{"probe": w.check().Handler(), "page": health.Page("x", w.check())} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method = method
			h.ServeHTTP(rec, r)
			allowed := method == "GET" || method == "HEAD"
			if allowed && rec.Code != 200 || !allowed && (rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD") {
				t.Errorf("%s %s: %d, Allow %q", method, name, rec.Code, rec.Header().Get("Allow"))
			}
			if got := rec.Body.Len(); method == "HEAD" && (got != 0 || rec.Header().Get("Content-Length") == "0") {
				t.Errorf("HEAD %s: %d bytes, Content-Length %s", name, got, rec.Header().Get("Content-Length"))
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t, nil)
	for name, tc := range map[string]struct {
		h    http.Handler
		want map[string]string
	}{
		"probe": {w.check().Handler(), map[string]string{"Content-Type": "text/plain; charset=utf-8", "Vary": "Accept"}},
		"page": {health.Page("x", w.check()), map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		}},
	} {
		maps.Copy(tc.want, map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
		got := get(tc.h).Header()
		for header, want := range tc.want {
			if got.Get(header) != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got.Get(header), want)
			}
		}
		if policy := got.Get("Content-Security-Policy"); name == "page" && !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
			t.Errorf("policy %q", policy)
		}
	}
}

func TestAccept(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct {
		accept []string
		json   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"*/*"}, false}, // curl and kubelet
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, false},
		{[]string{"application/json"}, true},
		{[]string{"text/plain;q=0.5 , Application/JSON;v=1"}, true},
		{[]string{"text/plain", "application/json"}, true},
		{[]string{"application/jsonp, application/json-seq"}, false},
		{[]string{",,;,"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept"] = tc.accept
		rec := httptest.NewRecorder()
		w.check().Handler().ServeHTTP(rec, r)
		if got := rec.Header().Get("Content-Type") == "application/json"; got != tc.json || json.Valid(rec.Body.Bytes()) != tc.json {
			t.Errorf("Accept %q: %s", tc.accept, rec.Body)
		}
	}
}

// The names of the members are an interface.
func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		tok := w.mustToken()
		until(tok.RefreshOn())
		w.fail()
		w.mustToken()
		synctest.Wait()
		var got struct {
			Verdict string
			Until   time.Time
			Reasons []map[string]any
		}
		body := get(w.check().Handler(), "Accept", "application/json").Body.Bytes()
		if err := json.Unmarshal(body, &got); err != nil || got.Verdict != "degraded" || !got.Until.Equal(tok.ExpiresOn().Add(-2*time.Minute)) || len(got.Reasons) != 1 {
			t.Fatalf("%s: %v", body, err)
		}
		names := slices.Sorted(maps.Keys(got.Reasons[0]))
		if want := []string{"expires_on", "failures", "kind", "next_try", "remedy", "scope", "state", "text", "verdict"}; !slices.Equal(names, want) {
			t.Errorf("%v, want %v", names, want)
		}
		if r := got.Reasons[0]; r["scope"] != w.scope || r["verdict"] != "degraded" || r["state"] != "stale" || r["failures"] != 1. || r["kind"] != "transient_service" {
			t.Errorf("%v", r)
		}
		var back health.Result
		if err := json.Unmarshal(body, &back); err != nil || back.Reasons[0].Kind != apponly.ErrService || !back.Reasons[0].ExpiresOn.Equal(tok.ExpiresOn()) {
			t.Errorf("read back: %+v, %v", back, err)
		}
	})
}
