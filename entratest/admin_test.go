// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// admin asks an admin path of s and reads the answer into v, unless that is nil.
func admin(t *testing.T, s *entratest.Server, method, path, body string, v any) rawResponse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Cloud().Authority()+"/_emulator/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := send(s.HTTPClient(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusNoContent && !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		t.Errorf("%s %s: content type %q", method, path, got.header.Get("Content-Type"))
	}
	if v != nil {
		if err := json.Unmarshal([]byte(got.body), v); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, got.body)
		}
	}
	return got
}

func TestAdminFaults(t *testing.T) {
	s := entratest.New(t)
	var added struct{ ID int }
	admin(t, s, "POST", "faults", `{"endpoint":"token","status":503,"retry_after":"7","times":2}`, &added)
	first := added.ID
	admin(t, s, "POST", "faults", `{"code":90033}`, &added)
	if first == 0 || added.ID == 0 || first == added.ID {
		t.Fatalf("ids %d, %d; want two", first, added.ID)
	}
	if got := askToken(t, s, s.Tenant().ID()); got.status != 503 || got.header.Get("Retry-After") != "7" {
		t.Errorf("got %+v, want the first fault", got)
	}
	list := admin(t, s, "GET", "faults", "", nil).body
	want := fmt.Sprintf(`[{"id":%d,"hits":1,"fault":{"endpoint":"token","times":2,"status":503,"retry_after":"7"}},`+
		`{"id":%d,"hits":0,"fault":{"code":90033}}]`, first, added.ID)
	if list != want {
		t.Errorf("faults\n got %s\nwant %s", list, want)
	}
	if got := admin(t, s, "DELETE", fmt.Sprintf("faults/%d", first), "", nil); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("removing one: %+v", got)
	}
	if got := postForm(t, s, s.Tenant().ID(), secretForm(s)); len(got.Codes) != 1 || got.Codes[0] != 90033 {
		t.Errorf("got %v, want the second fault", got.Codes)
	}
	if got := admin(t, s, "DELETE", "faults", "", nil); got.status != http.StatusNoContent {
		t.Errorf("removing all: %+v", got)
	}
	if got := askToken(t, s, s.Tenant().ID()); !got.token() {
		t.Errorf("afterwards: %+v", got)
	}
	if list := admin(t, s, "GET", "faults", "", nil).body; list != "[]" {
		t.Errorf("faults = %s, want none", list)
	}
}

func TestAdminRecord(t *testing.T) {
	s := entratest.New(t)
	if list := admin(t, s, "GET", "requests", "", nil).body; list != "[]" {
		t.Errorf("requests = %s, want none", list)
	}
	// No fault, and no throttle either, keeps one from looking.
	addFault(t, s, entratest.Fault{Connection: "reset", Times: 1})
	var log []entratest.Request
	admin(t, s, "GET", "requests", "", &log)
	if _, err := send(s.HTTPClient(), tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))); err == nil {
		t.Error("the fault does nothing")
	}
	askToken(t, s, s.Tenant().ID())
	postForm(t, s, "nobody.example", secretForm(s))

	got := admin(t, s, "GET", "requests", "", &log)
	if len(log) != 3 || log[0].Fault != "reset" || log[1].ClientID != s.App().ClientID() || log[2].Code != 90002 {
		t.Errorf("record %+v", log)
	}
	if !strings.Contains(got.body, `"auth_method":"secret"`) || strings.Contains(got.body, s.Secret()) {
		t.Errorf("record %s", got.body)
	}
	admin(t, s, "GET", "requests?limit=1", "", &log)
	if len(log) != 1 || log[0].Code != 90002 {
		t.Errorf("the newest of the record: %+v", log)
	}
	const want = `{"requests":3,"endpoints":{"token":3},"statuses":{"0":1,"200":1,"400":1},"codes":{"90002":1},"faults":1,"throttled":0,"early_returns":0}`
	if got := admin(t, s, "GET", "counters", "", nil).body; got != want {
		t.Errorf("counters\n got %s\nwant %s", got, want)
	}
}

func TestAdminThrottle(t *testing.T) {
	s := entratest.New(t)
	const throttle = `{"requests":1,"per":"1h0m0s","retry_after":"9s"}`
	if got := admin(t, s, "PUT", "throttle", throttle, nil); got.status != http.StatusOK || got.body != throttle {
		t.Errorf("PUT: %+v", got)
	}
	if got := admin(t, s, "GET", "throttle", "", nil); got.body != throttle {
		t.Errorf("GET: %+v", got)
	}
	askToken(t, s, s.Tenant().ID())
	if got := retryAfter(t, askToken(t, s, s.Tenant().ID())); got != 9*time.Second {
		t.Errorf("Retry-After %v, want 9s", got)
	}
	if got := admin(t, s, "DELETE", "throttle", "", nil); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %+v", got)
	}
	if got := retryAfter(t, askToken(t, s, s.Tenant().ID())); got != 0 {
		t.Errorf("Retry-After %v after DELETE", got)
	}
}

func TestAdminClock(t *testing.T) {
	s := entratest.New(t)
	var clock struct {
		Now    time.Time
		Offset string
	}
	near := func(want time.Time) {
		t.Helper()
		if clock.Now.Sub(want).Abs() > time.Minute {
			t.Errorf("now = %v, want about %v", clock.Now, want)
		}
		date, err := http.ParseTime(askToken(t, s, s.Tenant().ID()).header.Get("Date"))
		if err != nil || date.Sub(want).Abs() > time.Minute {
			t.Errorf("Date = %v, %v; want about %v", date, err, want)
		}
	}
	admin(t, s, "GET", "clock", "", &clock)
	near(time.Now())
	if clock.Offset != "0s" {
		t.Errorf("offset = %s, want 0s", clock.Offset)
	}
	admin(t, s, "PUT", "clock", `{"offset":"-48h"}`, &clock)
	near(time.Now().Add(-48 * time.Hour))
	if clock.Offset != "-48h0m0s" {
		t.Errorf("offset = %s, want -48h0m0s", clock.Offset)
	}
	admin(t, s, "PUT", "clock", `{"now":"2030-01-31T12:00:00+01:00"}`, &clock)
	near(time.Date(2030, 1, 31, 11, 0, 0, 0, time.UTC))
	admin(t, s, "PUT", "clock", `{"offset":"0s"}`, &clock)
	near(time.Now())
}

func TestAdminErrors(t *testing.T) {
	s := entratest.New(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
		names              string
	}{
		{"PUT", "", "", 405, "GET, POST"},
		{"GET", "nothing", "", 404, "requests"},
		{"GET", "counters/x", "", 404, "requests"},
		{"GET", "faults/1", "", 405, "DELETE"},
		{"DELETE", "faults/1", "", 404, `"1"`},
		{"DELETE", "faults/x", "", 404, `"x"`},
		{"DELETE", "faults/", "", 404, `""`},
		{"PATCH", "faults", "", 405, "DELETE, GET, POST"},
		{"POST", "counters", "", 405, "GET"},
		{"POST", "faults", "", 400, "JSON object"},
		{"POST", "faults", `{"status":503} {}`, 400, "JSON object"},
		{"POST", "faults", `{"state":503}`, 400, `"state"`},
		{"POST", "faults", `{"status":99}`, 400, "status is 99"},
		{"POST", "faults", `{"retry_after":"` + strings.Repeat("x", 2<<20) + `"}`, 400, "too large"},
		{"GET", "requests?limit=many", "", 400, `"many"`},
		{"GET", "requests?limit=-1", "", 400, `"-1"`},
		{"PUT", "throttle", `{"requests":1}`, 400, "per is 0s"},
		{"PUT", "throttle", `{"per":1}`, 400, `"per"`},
		{"PUT", "clock", `{}`, 400, "either now or offset"},
		{"PUT", "clock", `{"offset":"1h","now":"2030-01-31T12:00:00Z"}`, 400, "either now or offset"},
		{"PUT", "clock", `{"now":"tomorrow"}`, 400, `"now" is not a time`},
		{"PUT", "clock", `{"offset":7}`, 400, `"offset" is not a duration`},
		{"PUT", "clock", `{"now":"9999-01-01T00:00:00Z"}`, 400, "centuries"},
	} {
		var body map[string]string
		got := admin(t, s, tt.method, tt.path, tt.body, &body)
		if got.status != tt.status || len(body) != 1 || !strings.Contains(body["error"], tt.names) || strings.Contains(body["error"], "\n") {
			t.Errorf("%s %s: %d %s, want %d and an error that names %s", tt.method, tt.path, got.status, got.body, tt.status, tt.names)
		}
		if tt.status == http.StatusMethodNotAllowed && got.header.Get("Allow") != tt.names {
			t.Errorf("%s %s: Allow is %q, want %q", tt.method, tt.path, got.header.Get("Allow"), tt.names)
		}
	}
	if c := s.Counters(); c.Requests != 0 || len(s.Requests()) != 0 {
		t.Errorf("admin requests are counted: %+v", c)
	}
}

func TestAdminIsNotForPages(t *testing.T) {
	s := entratest.New(t)
	for _, tt := range []struct {
		host, origin string
		status       int
	}{
		{"login.entra.test", "", 200},
		{"LOGIN.entra.test:443", "", 200},
		{"127.0.0.1:8443", "", 200},
		{"[::1]:8443", "", 200},
		{"[::1]", "", 200},
		{"localhost:8443", "", 200},
		{"login.entra.test", "https://evil.test", 403},
		{"login.entra.test", "null", 403},
		{"login.entra.test", "https://login.entra.test", 403},
		{"evil.test:8443", "", 403},
		{"127.0.0.1.evil.test", "", 403},
		{"localhost.evil.test", "", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+"/_emulator/counters", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		if tt.origin != "" {
			req.Header.Set("Origin", tt.origin)
		}
		if got, err := send(s.HTTPClient(), req); err != nil || got.status != tt.status || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("host %q, origin %q: %+v, %v; want %d", tt.host, tt.origin, got, err, tt.status)
		}
	}
}

func TestSetAdmin(t *testing.T) {
	s := entratest.New(t)
	s.SetAdmin(false)
	resp, err := s.HTTPClient().Post(s.Cloud().Authority()+"/_emulator/faults", "application/json", strings.NewReader(`{"status":503}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound || resp.ContentLength > 0 {
		t.Errorf("closed: %s, want 404 like any other path", resp.Status)
	}
	if got := askToken(t, s, s.Tenant().ID()); !got.token() {
		t.Errorf("the fault was added all the same: %+v", got)
	}
	s.SetAdmin(true)
	admin(t, s, "GET", "counters", "", &entratest.Counters{})
}
