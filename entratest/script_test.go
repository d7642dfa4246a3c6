// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

func TestFaultJSON(t *testing.T) {
	const id = "11111111-2222-4333-8444-555555555555"
	for _, tt := range []struct {
		fault entratest.Fault
		json  string
	}{
		{entratest.Fault{}, `{}`},
		{entratest.Fault{
			Endpoint: "token", Tenant: "contoso.example", ClientID: id, Times: 2, Probability: 0.25,
			Delay: 90 * time.Second, Status: 503, RetryAfter: "30", Code: 90033, Connection: "hang",
		}, `{"endpoint":"token","tenant":"contoso.example","client_id":"` + id + `","times":2,"probability":0.25,` +
			`"delay":"1m30s","status":503,"retry_after":"30","code":90033,"connection":"hang"}`},
	} {
		data, err := json.Marshal(tt.fault)
		if err != nil || string(data) != tt.json {
			t.Errorf("%s, %v\nwant %s", data, err, tt.json)
		}
		var back entratest.Fault
		if err := json.Unmarshal([]byte(tt.json), &back); err != nil || back != tt.fault {
			t.Errorf("%+v, %v; want %+v", back, err, tt.fault)
		}
	}
}

func TestThrottleJSON(t *testing.T) {
	throttle := entratest.Throttle{Requests: 3, Per: time.Minute, RetryAfter: 30 * time.Second}
	const want = `{"requests":3,"per":"1m0s","retry_after":"30s"}`
	if data, err := json.Marshal(throttle); err != nil || string(data) != want {
		t.Errorf("%s, %v; want %s", data, err, want)
	}
	var back entratest.Throttle
	if err := json.Unmarshal([]byte(want), &back); err != nil || back != throttle {
		t.Errorf("%+v, %v; want %+v", back, err, throttle)
	}
	if err := json.Unmarshal([]byte(`{"rate":3}`), &back); err == nil || !strings.Contains(err.Error(), `"rate"`) {
		t.Errorf("%v, want an error that names the key", err)
	}
}

func TestFaultJSONErrors(t *testing.T) {
	for _, tt := range []struct{ json, names string }{
		{`{"Status":500}`, `"Status"`},
		{`{"status":500,"retryafter":"1"}`, `"retryafter"`},
		{`{"status":"500"}`, `"status" is not a whole number`},
		{`{"status":500.5}`, `"status" is not a whole number`},
		{`{"status":1e40}`, `"status" is not a whole number`},
		{`{"times":null}`, `"times" is not a whole number`},
		{`{"probability":"often"}`, `"probability" is not a number over 0`},
		{`{"delay":2}`, `"delay" is not a duration`},
		{`{"delay":"2"}`, `"delay" is not a duration`},
		{`{"delay":"2 s"}`, `"delay" is not a duration`},
		{`{"endpoint":["token"]}`, `"endpoint" is not a string`},
		{`{"retry_after":true}`, `"retry_after" is not a string or a number`},
		{`{"retry_after":[30]}`, `"retry_after" is not a string or a number`},
		{`{"probability":0}`, `"probability" is not a number over 0, up to 1`},
		{`{"probability":1.5}`, `"probability" is not a number over 0, up to 1`},
		{`[]`, "a JSON object"},
		{`"hang"`, "a JSON object"},
		{`null`, "a JSON object"},
	} {
		fault := entratest.Fault{Status: 418}
		err := json.Unmarshal([]byte(tt.json), &fault)
		if err == nil || !strings.HasPrefix(err.Error(), "entratest: fault: ") || !strings.Contains(err.Error(), tt.names) {
			t.Errorf("%s: %v, want an error that names %s", tt.json, err, tt.names)
		}
		if fault != (entratest.Fault{Status: 418}) {
			t.Errorf("%s: the fault has become %+v", tt.json, fault)
		}
	}
}

func FuzzFaultJSON(f *testing.F) {
	f.Add([]byte(`{"endpoint":"token","tenant":"contoso.example","times":2,"probability":0.25,"delay":"2s"}`))
	f.Add([]byte(`{"status":503,"retry_after":"30","code":90033,"connection":"hang"}`))
	f.Add([]byte(`{"delay":"-2540400h10m10.000000001s","probability":-0}`))
	f.Add([]byte(`{"client_id":"\ud800","STATUS":1}`))
	f.Add([]byte(`null`))
	s := entratest.NewServer()
	f.Fuzz(func(t *testing.T, data []byte) {
		var fault, back entratest.Fault
		if err := fault.UnmarshalJSON(data); err != nil {
			if fault != (entratest.Fault{}) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v, %q", fault, err)
			}
			return
		}
		again, err := fault.MarshalJSON()
		if err != nil {
			t.Fatalf("%+v: %v", fault, err)
		}
		if err := back.UnmarshalJSON(again); err != nil || back != fault {
			t.Errorf("%+v becomes %+v, %v", fault, back, err)
		}
		if remove, err := s.AddFault(fault); err == nil {
			remove()
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}

func TestFaultJSONRetryAfter(t *testing.T) {
	for script, want := range map[string]string{`30`: "30", `"30"`: "30", `1.5`: "1.5", `"soon"`: "soon", `-1`: "-1"} {
		var fault entratest.Fault
		if err := json.Unmarshal([]byte(`{"status":503,"retry_after":`+script+`}`), &fault); err != nil || fault.RetryAfter != want {
			t.Errorf("%s: %q, %v", script, fault.RetryAfter, err)
		}
	}
}
