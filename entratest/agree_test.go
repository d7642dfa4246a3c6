// SPDX-License-Identifier: MIT

package entratest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// TestTransportsAgree sends the same over memory and sockets: what a client sees
// must not depend on how it got there.
func TestTransportsAgree(t *testing.T) {
	type probe struct {
		name, method, path, body string
		fault                    *entratest.Fault
		edit                     func(*http.Request)
	}
	probes := []probe{
		{name: "404", method: "GET", path: "/nowhere"},
		{name: "404 HEAD", method: "HEAD", path: "/nowhere"},
		{name: "405", method: "POST", path: "/common/discovery/keys"},
		{name: "OPTIONS", method: "OPTIONS", path: "/common/discovery/keys"},
		{name: "HEAD keys", method: "HEAD", path: "/common/discovery/keys"},
		{name: "204", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 204}},
		{name: "304", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 304}},
		{name: "205", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 205}},
		{name: "599", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 599}},
		{name: "302", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 302}},
		{name: "status HEAD", method: "HEAD", path: "/nowhere", fault: &entratest.Fault{Status: 503}},
		{name: "garble HEAD", method: "HEAD", path: "/nowhere", fault: &entratest.Fault{Connection: "garble"}},
		{name: "retry umlaut", method: "GET", path: "/nowhere", fault: &entratest.Fault{Status: 503, RetryAfter: "bälde"}},
		{name: "dots", method: "GET", path: "/a/../common/discovery/keys"},
		{name: "slashes", method: "GET", path: "//common/discovery/keys"},
		{name: "escaped", method: "GET", path: "/common%2fdiscovery/keys"},
		{name: "admin dots", method: "GET", path: "/x/../_emulator/counters"},
		{name: "admin HEAD", method: "HEAD", path: "/_emulator/faults"},
		{name: "return id", method: "GET", path: "/common/discovery/keys", edit: func(r *http.Request) {
			r.Header["return-client-request-id"] = []string{"true"}
			r.Header["client-request-id"] = []string{"6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"}
		}},
		{name: "expect", method: "POST", path: "/common/oauth2/v2.0/token", body: "a=b", edit: func(r *http.Request) { r.Header.Set("Expect", "100-continue") }},
		{name: "bad type", method: "POST", path: "/common/oauth2/v2.0/token", body: "a=b", edit: func(r *http.Request) { r.Header.Del("Content-Type") }},
	}
	seen := map[string]map[string]string{}
	for name, tr := range transports {
		s := entratest.New(t)
		client := tr.client(t, s)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, p := range probes {
			var remove func()
			if p.fault != nil {
				remove = addFault(t, s, *p.fault)
			}
			req, err := http.NewRequest(p.method, s.Cloud().Authority()+p.path, strings.NewReader(p.body))
			if err != nil {
				t.Fatal(err)
			}
			if p.body != "" {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if p.edit != nil {
				p.edit(req)
			}
			out := ""
			if resp, err := client.Do(req); err != nil {
				out = "error"
			} else {
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				out = fmt.Sprintf("%d len=%d body=%t err=%v ct=%q ra=%q allow=%q crid=%q date=%t", resp.StatusCode, min(resp.ContentLength, 1+resp.ContentLength/50), len(b) > 0, err,
					resp.Header.Get("Content-Type"), resp.Header.Get("Retry-After"), resp.Header.Get("Allow"), resp.Header.Get("client-request-id"), resp.Header.Get("Date") != "")
			}
			if remove != nil {
				remove()
			}
			if seen[p.name] == nil {
				seen[p.name] = map[string]string{}
			}
			seen[p.name][name] = out
		}
	}
	for _, p := range probes {
		m := seen[p.name]
		if m["memory"] != m["HTTP/1.1"] || m["memory"] != m["HTTP/2"] {
			t.Errorf("%s:\n  memory %s\n  h1     %s\n  h2     %s", p.name, m["memory"], m["HTTP/1.1"], m["HTTP/2"])
		}
	}
}

// A request is the caller's again once RoundTrip has returned, whatever the
// handler still does; the race detector looks on.
func TestMemoryLeavesTheRequest(t *testing.T) {
	s := entratest.New(t)
	rt := s.HTTPClient().Transport
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", s.Cloud().Authority()+"/nowhere", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("A", "b")
		go cancel()
		resp, err := rt.RoundTrip(req)
		if err != nil {
			req.Header.Set("X-Try", "2")
			continue
		}
		resp.Body.Close()
	}
}
