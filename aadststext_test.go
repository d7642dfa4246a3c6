// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/apponly/apponly"
)

func TestLookupText(t *testing.T) {
	t.Parallel()
	type want struct {
		code int
		kind apponly.Kind
	}
	one := func(code int, kind apponly.Kind) []want { return []want{{code, kind}} }
	for name, tt := range map[string]struct {
		text string
		want []want
	}{
		"a number":              {"7000215", one(7000215, apponly.ErrSecretInvalid)},
		"with blanks":           {" 7000215\r\n", one(7000215, apponly.ErrSecretInvalid)},
		"AADSTS":                {"AADSTS7000215", one(7000215, apponly.ErrSecretInvalid)},
		"in small letters":      {"aadsts7000215:", one(7000215, apponly.ErrSecretInvalid)},
		"the prefix of another": {"AADSTS700021", one(700021, apponly.ErrAssertionInvalid)},
		"an unknown number":     {"AADSTS9999999", one(9999999, "")},
		"a log with two, one of them twice": {
			"attempt 1: AADSTS700016: no app\nattempt 2: AADSTS7000222: expired\nattempt 3: AADSTS700016",
			[]want{{700016, apponly.ErrAppNotFound}, {7000222, apponly.ErrSecretExpired}},
		},
		"an answer":            {`{"error":"invalid_client","error_description":"AADSTS7000222: …","error_codes":[7000222]}`, one(7000222, apponly.ErrSecretExpired)},
		"in a client's words":  {`POST …/token: 401 {"error":"invalid_client","error_codes":["7000222"]} (retrying)`, one(7000222, apponly.ErrSecretExpired)},
		"cut off":              {`{"error":"invalid_client","error_description":"AADSTS7000222: The prov`, one(7000222, apponly.ErrSecretExpired)},
		"nested":               {`{"error":"invalid_grant","error_codes":[50076,7000222]}`, []want{{7000222, apponly.ErrSecretExpired}, {50076, apponly.ErrOther}}},
		"of two meanings":      {`{"error":"invalid_scope","error_codes":[700023]}`, one(700023, apponly.ErrScopeInvalid)},
		"without a number":     {`{"error":"unauthorized_client"}`, one(0, apponly.ErrAppNotFound)},
		"an unknown one":       {`{"error":"invalid_scope","error_codes":[9999999]}`, one(9999999, apponly.ErrScopeInvalid)},
		"quoted in JSON":       {`{"level":"error","error":"token: AADSTS7000222: expired"}`, one(7000222, apponly.ErrSecretExpired)},
		"escaped in a string":  {`"{\"error\":\"invalid_client\",\"error_codes\":[7000222],\"error_description\":\"AADSTS7000222\"}"`, one(7000222, apponly.ErrSecretExpired)},
		"an error of RFC 6749": {"unauthorized_client", one(0, apponly.ErrAppNotFound)},
		"of the client":        {"invalid_client", one(0, apponly.ErrCredential)},
		"a kind":               {"secret_expired", one(0, apponly.ErrSecretExpired)},
		"an Error's text":      {(&apponly.Error{Kind: apponly.ErrUnreachable, Scope: "api://x/.default"}).Error(), one(0, apponly.ErrUnreachable)},
		"an Error's text with a number": {
			(&apponly.Error{Kind: apponly.ErrSecretExpired, Code: 7000222}).Error(), one(7000222, apponly.ErrSecretExpired),
		},
		"nothing":            {"", nil},
		"small talk":         {"it does not work", nil},
		"somebody's JSON":    {`{"error":"x"}`, nil},
		"a number of theirs": {"request 12345 failed", nil},
		"too small a number": {"404", nil},
	} {
		got := apponly.LookupText(tt.text)
		ok := len(got) == len(tt.want)
		for i := 0; ok && i < len(got); i++ {
			ok = got[i].Code == tt.want[i].code && got[i].Kind == tt.want[i].kind && got[i].Remedy == got[i].Kind.Remedy()
		}
		if !ok {
			t.Errorf("%s: %+v, want %v", name, got, tt.want)
		}
	}
}

// What was captured says the same as an answer and as a text.
func TestLookupTextOfCapturedAnswers(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/aadsts_samples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var sample struct {
			Body json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &sample); err != nil {
			t.Fatal(err)
		}
		if sample.Body[0] != '{' {
			continue // a throttled answer in plain words, which names no error
		}
		if got := apponly.LookupText(string(sample.Body)); len(got) == 0 || got[0].Kind == "" {
			t.Errorf("%s: %+v", sample.Body, got)
		}
	}
	if n < 20 {
		t.Errorf("only %d samples", n)
	}
}
