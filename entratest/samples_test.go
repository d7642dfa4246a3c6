// SPDX-License-Identifier: MIT

package entratest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/apponly/apponly/entratest"
)

// TestSampledMembers has refusals hold what the captured ones of the same number hold. The
// samples that lost their trace_id on the way lost others, too.
func TestSampledMembers(t *testing.T) {
	data, err := os.ReadFile("../testdata/aadsts_samples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for line := range bytes.Lines(data) {
		var sample struct{ Body json.RawMessage }
		var want map[string]any
		if err := json.Unmarshal(line, &sample); err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(sample.Body, &want) != nil || want["trace_id"] == nil {
			continue
		}
		codes, _ := want["error_codes"].([]any)
		if len(codes) != 1 {
			continue
		}
		s := entratest.New(t)
		if _, err := s.AddFault(entratest.Fault{Code: int(codes[0].(float64))}); err != nil {
			continue // not one of the emulator's
		}
		resp, err := s.HTTPClient().PostForm(s.Cloud().TokenEndpoint(s.Tenant().ID()), secretForm(s))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil || resp.StatusCode == http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		for name := range want {
			if got[name] == nil {
				t.Errorf("%v: there is no %s", codes[0], name)
			}
		}
		for name := range got {
			if want[name] == nil {
				t.Errorf("%v: there is a %s", codes[0], name)
			}
		}
		compared++
	}
	if compared < 10 {
		t.Errorf("%d samples are of refusals that the emulator knows", compared)
	}
}
