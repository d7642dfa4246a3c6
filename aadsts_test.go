// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A tableRow is a line of aadsts.csv.
type tableRow struct {
	code    int
	kind    apponly.Kind // as exported
	applies string
}

// folded are the kinds of the table that no app-only caller can act on.
var folded = []apponly.Kind{"mtls_rejected", "user_flow", "region_unsupported", "policy_tls", "other"}

func readTable(t testing.TB) []tableRow {
	t.Helper()
	b, err := os.ReadFile("aadsts.csv")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []tableRow
	for _, f := range lines[1:] {
		code, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatalf("line %q: %v", f, err)
		}
		kind := apponly.Kind(f[2])
		if slices.Contains(folded, kind) {
			kind = apponly.ErrOther
		}
		rows = append(rows, tableRow{code, kind, f[3]})
	}
	return rows
}

// The table is read by a parser that skips what it does not understand, so that
// a mistake in it would go unnoticed.
func TestTableIsWellFormed(t *testing.T) {
	b, err := os.ReadFile("aadsts.csv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if lines[0] != "code,symbol,kind,applies" {
		t.Errorf("heading = %q", lines[0])
	}
	form := regexp.MustCompile(`^[1-9][0-9]{4,8},[A-Za-z0-9_]*,[a-z_]+,(yes|maybe|no)$`)
	for _, line := range lines[1:] {
		if !form.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	last := 0
	rows := readTable(t)
	for _, r := range rows {
		if r.code <= last {
			t.Errorf("%d after %d: not sorted, or twice", r.code, last)
		}
		last = r.code
		if r.kind.Remedy() == "" || r.kind.Group() == r.kind && r.kind != apponly.ErrOther {
			t.Errorf("%d has the kind %q, which is none", r.code, string(r.kind))
		}
		if r.kind == apponly.ErrOther && r.applies == "yes" {
			t.Logf("%d applies and has no better kind", r.code)
		}
	}
	if len(rows) < 400 {
		t.Errorf("%d rows, want the whole table", len(rows))
	}
}

// Every number of the table, as the only thing that is known about an answer.
func TestTableDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for _, r := range readTable(t) {
			if r.code == 700023 {
				continue // two meanings, below
			}
			e := refusal(t, s, status(400, fmt.Sprintf(`{"error":"x","error_codes":[%d]}`, r.code)))
			if e.Kind != r.kind || e.Code != r.code {
				t.Errorf("AADSTS%d is %q (code %d), want %q", r.code, string(e.Kind), e.Code, string(r.kind))
			}
		}
	})
}

// refusal asks once with a fault in Entra's place.
func refusal(t testing.TB, s *sts, fault func(*http.Request) (*http.Response, error)) *apponly.Error {
	t.Helper()
	s.setFault(fault)
	_, err := s.client(t).Token(t.Context(), s.API().Scope())
	return asError(t, err)
}

// Bodies that Entra was seen to send.
func TestSamples(t *testing.T) {
	b, err := os.ReadFile("testdata/aadsts_samples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]apponly.Kind{}
	for _, r := range readTable(t) {
		known[r.code] = r.kind
	}
	number := regexp.MustCompile(`^AADSTS(\d+)`)
	n := 0
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for line := range bytes.Lines(b) {
			n++
			var sample struct {
				Status *int `json:"http_status"`
				Body   json.RawMessage
			}
			if err := json.Unmarshal(line, &sample); err != nil {
				t.Fatal(err)
			}
			code := http.StatusBadRequest
			if sample.Status != nil {
				code = *sample.Status
			}
			body := string(sample.Body)
			var text string
			if json.Unmarshal(sample.Body, &text) == nil {
				body = text // a plain text
			}
			var answer struct {
				Error       string
				Description string `json:"error_description"`
				Codes       []int  `json:"error_codes"`
				TraceID     string `json:"trace_id"`
				Suberror    string
			}
			_ = json.Unmarshal(sample.Body, &answer)
			if m := number.FindStringSubmatch(answer.Description); len(answer.Codes) == 0 && m != nil {
				c, _ := strconv.Atoi(m[1])
				answer.Codes = []int{c}
			}
			want, wantCode := apponly.ErrThrottled, 0
			if code != http.StatusTooManyRequests {
				if len(answer.Codes) == 0 {
					t.Fatalf("sample %d has no number", n)
				}
				wantCode = answer.Codes[len(answer.Codes)-1]
				want = known[wantCode]
			}
			e := refusal(t, s, status(code, body))
			if e.Kind != want || e.Code != wantCode || e.HTTPStatus != code {
				t.Errorf("sample %d: %q, AADSTS%d, HTTP %d; want %q, AADSTS%d, HTTP %d", n, string(e.Kind), e.Code, e.HTTPStatus, string(want), wantCode, code)
			}
			if e.OAuthError != answer.Error || e.TraceID != answer.TraceID || e.Suberror != answer.Suberror {
				t.Errorf("sample %d: members are lost: %+v", n, e)
			}
			if strings.Contains(e.Description, "Trace ID") || strings.ContainsAny(e.Description, "\r\n") {
				t.Errorf("sample %d: description = %q, want it without its IDs", n, e.Description)
			}
			checkLine(t, e)
		}
	})
	if n < 20 {
		t.Errorf("%d samples", n)
	}
}

// 700023 is the audience of an assertion, and on Microsoft's page a scope.
func TestAmbiguousNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for oauth, want := range map[string]apponly.Kind{"invalid_client": apponly.ErrAssertionInvalid, "invalid_scope": apponly.ErrScopeInvalid} {
			if e := refusal(t, s, status(401, fmt.Sprintf(`{"error":%q,"error_codes":[700023]}`, oauth))); e.Kind != want {
				t.Errorf("700023 with %s is %q, want %q", oauth, string(e.Kind), string(want))
			}
		}
	})
}

// Microsoft adds numbers all the time: one that is not known lands where the
// error member and the status say.
func TestUnknownNumbers(t *testing.T) {
	const n = `"error_codes":[987654321]`
	for _, test := range []struct {
		status int
		body   string
		kind   apponly.Kind
	}{
		{400, `{"error":"invalid_client",` + n + `}`, apponly.ErrSecretInvalid},
		{401, `{"error":"invalid_client"}`, apponly.ErrSecretInvalid},
		{400, `{"error":"unauthorized_client",` + n + `}`, apponly.ErrAppNotFound},
		{400, `{"error":"invalid_scope",` + n + `}`, apponly.ErrScopeInvalid},
		{400, `{"error":"invalid_resource",` + n + `}`, apponly.ErrResourceNotFound},
		{400, `{"error":"invalid_tenant",` + n + `}`, apponly.ErrTenantNotFound},
		{400, `{"error":"invalid_instance",` + n + `}`, apponly.ErrAuthorityInvalid},
		{400, `{"error":"unsupported_grant_type",` + n + `}`, apponly.ErrGrantNotAllowed},
		{400, `{"error":"invalid_request",` + n + `}`, apponly.ErrRequestMalformed},
		{400, `{"error":"server_error",` + n + `}`, apponly.ErrService},
		{400, `{"error":"temporarily_unavailable",` + n + `}`, apponly.ErrService},
		{400, `{"error":"invalid_grant",` + n + `}`, apponly.ErrOther},
		{400, `{"error":"invalid_grant","suberror":"message_only",` + n + `}`, apponly.ErrConditionalAccess},
		{400, `{"error":"interaction_required","claims":"{\"access_token\":{\"capolids\":{}}}",` + n + `}`, apponly.ErrConditionalAccess},
		{400, `{"error":"invalid_grant","suberror":"consent_required",` + n + `}`, apponly.ErrConsentRequired},
		{400, `{"error":"tomorrows_error",` + n + `}`, apponly.ErrOther},
		{403, `{"error":"access_denied",` + n + `}`, apponly.ErrOther},
		{429, `{"error":"invalid_client",` + n + `}`, apponly.ErrThrottled},
		{408, `{"error":"invalid_client",` + n + `}`, apponly.ErrService},
		{500, `{"error":"invalid_client",` + n + `}`, apponly.ErrService},
		{503, `{` + n + `}`, apponly.ErrService},
		{503, `{"error":"x","error_codes":[700016]}`, apponly.ErrAppNotFound}, // a known one refines
		{400, `{` + n + `}`, apponly.ErrOther},
		{400, `{}`, apponly.ErrService},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := refusal(t, newSTS(t), status(test.status, test.body))
			if e.Kind != test.kind {
				t.Errorf("%d %s is %q, want %q", test.status, test.body, string(e.Kind), string(test.kind))
			}
			if strings.Contains(test.body, n) && e.Code != 987654321 && e.Kind != apponly.ErrAppNotFound {
				t.Errorf("%d %s: Code = %d, want the unknown number", test.status, test.body, e.Code)
			}
			checkLine(t, e)
		})
	}
}

// What answers have looked like, and what proxies and hostile servers may make
// of them.
func TestAnswerShapes(t *testing.T) {
	const redirected = "https://elsewhere.test/"
	for _, test := range []struct {
		name   string
		status int
		body   string
		header []string
		kind   apponly.Kind
		code   int
		text   string
	}{
		// Old answers nest; the inner number comes last.
		{"two codes", 401, `{"error":"invalid_client","error_codes":[70002,50012]}`, nil, apponly.ErrCertificateInvalid, 50012, ""},
		{"unknown after known", 401, `{"error":"invalid_client","error_codes":[7000222,987654321]}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"codes as strings", 401, `{"error":"invalid_client","error_codes":["7000222"]}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"codes in one string", 401, `{"error":"invalid_client","error_codes":"[7000222]"}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"code alone", 401, `{"error":"invalid_client","error_codes":7000222}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"number in the description", 401, `{"error":"invalid_client","error_description":"AADSTS7000222: expired"}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		// AADSTS700021 is a prefix of AADSTS7000215: libraries that search for
		// the text take one for the other.
		{"prefix", 401, `{"error":"invalid_client","error_description":"AADSTS7000215: x"}`, nil, apponly.ErrSecretInvalid, 7000215, ""},
		{"prefix, shorter", 401, `{"error":"invalid_client","error_description":"AADSTS700021: x"}`, nil, apponly.ErrAssertionInvalid, 700021, ""},
		{"number inside the description", 401, `{"error":"invalid_client","error_description":"see AADSTS7000222"}`, nil, apponly.ErrSecretInvalid, 0, "invalid_client"},
		{"no codes", 401, `{"error":"invalid_client"}`, nil, apponly.ErrSecretInvalid, 0, "(invalid_client)"},
		{"null codes", 401, `{"error":"invalid_client","error_codes":null}`, nil, apponly.ErrSecretInvalid, 0, ""},
		{"absurd codes", 401, `{"error":"invalid_client","error_codes":[99999999999999999999999,-1,1.5,{},[]]}`, nil, apponly.ErrSecretInvalid, 0, ""},
		{"members of wrong types", 400, `{"error":["invalid_scope"],"error_description":{},"trace_id":1,"timestamp":[]}`, nil, apponly.ErrService, 0, "not one of the token endpoint"},
		{"duplicate keys", 400, `{"error":"invalid_scope","error":"invalid_tenant"}`, nil, apponly.ErrTenantNotFound, 0, "(invalid_tenant)"},
		{"CRLF", 400, "{\"error\":\"invalid_scope\",\r\n\"error_description\":\"AADSTS70011: a\\r\\nb\\r\\nTrace ID: x\"}\r\n", nil, apponly.ErrScopeInvalid, 70011, ""},
		{"BOM", 400, "\ufeff{\"error\":\"invalid_scope\"}", nil, apponly.ErrScopeInvalid, 0, ""},
		{"control characters", 400, `{"error":"\u001b[31mred\u0007\u202e"}`, nil, apponly.ErrOther, 0, "?[31mred"},
		{"invalid UTF-8", 400, "{\"error\":\"invalid\xff\xfe\",\"error_description\":\"\xc3\"}", nil, apponly.ErrOther, 0, "invalid"},
		{"long error", 400, `{"error":"` + strings.Repeat("x", 100_000) + `"}`, nil, apponly.ErrOther, 0, "xxx…"},
		{"deep", 400, strings.Repeat("[", 100_000), nil, apponly.ErrService, 0, ""},
		{"empty", 400, "", nil, apponly.ErrService, 0, "not one of the token endpoint"},
		{"null", 400, "null", nil, apponly.ErrService, 0, ""},
		{"array", 400, "[]", nil, apponly.ErrService, 0, ""},
		{"HTML", 403, "<html>blocked</html>", []string{"Content-Type", "text/html; charset=utf-8"}, apponly.ErrService, 0, "web page"},
		{"truncated", 400, `{"error":"invalid_sc`, nil, apponly.ErrService, 0, ""},
		{"10 MB", 400, strings.Repeat("garbage!", 10<<17), nil, apponly.ErrService, 0, ""},
		{"429 in plain text", 429, "Too Many Requests", []string{"Content-Type", "text/plain", "Retry-After", "60"}, apponly.ErrThrottled, 0, "(HTTP 429)"},
		{"200 with an error", 200, `{"error":"invalid_client","error_codes":[7000222]}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"200 with HTML", 200, "<html>sign in to the guest network</html>", []string{"Content-Type", "text/html"}, apponly.ErrService, 0, "web page"},
		{"200 empty", 200, "", nil, apponly.ErrService, 0, "not a token"},
		{"200 with a JSON string", 200, `"token"`, nil, apponly.ErrService, 0, "not a token"},
		{"other type of HTML", 403, "<html>", []string{"Content-Type", "TEXT/HTML"}, apponly.ErrService, 0, "web page"},
		{"200 with 10 MB", 200, strings.Repeat(" ", 10<<20), nil, apponly.ErrService, 0, "larger than 1 MiB"},
		{"200 truncated", 200, `{"access_token":"eyJ`, nil, apponly.ErrService, 0, "not a token"},
		{"200 without a type", 200, `{"access_token":"x","expires_in":3600}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with another type", 200, `{"access_token":"x","expires_in":3600,"token_type":"mac"}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 without a lifetime", 200, `{"access_token":"x","token_type":"Bearer"}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a negative lifetime", 200, `{"access_token":"x","token_type":"Bearer","expires_in":-1}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a lifetime in words", 200, `{"access_token":"x","token_type":"Bearer","expires_in":"an hour"}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a lifetime of Inf", 200, `{"access_token":"x","token_type":"Bearer","expires_in":"Infinity"}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a lifetime of NaN", 200, `{"access_token":"x","token_type":"Bearer","expires_in":"NaN"}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with garbage behind the token", 200, `{"access_token":"x","token_type":"Bearer","expires_in":3600}<!-- proxy -->`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a token as HTML", 200, `{"access_token":"x","token_type":"Bearer","expires_in":3600}`, []string{"Content-Type", "text/html"}, apponly.ErrService, 0, "web page"},
		{"200 with HTML as JSON", 200, "\n<!DOCTYPE html><html>sign in</html>", nil, apponly.ErrService, 0, "web page"},
		{"206 with a token", 206, `{"access_token":"x","token_type":"Bearer","expires_in":3600}`, nil, apponly.ErrService, 0, "not one of the token endpoint"},
		{"200 with a token of two words", 200, `{"access_token":"x y","token_type":"Bearer","expires_in":3600}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a token beyond ASCII", 200, `{"access_token":"xé","token_type":"Bearer","expires_in":3600}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with an error and a token", 200, `{"access_token":"x","token_type":"Bearer","expires_in":3600,"error":"invalid_client","error_codes":[7000222]}`, nil, apponly.ErrSecretExpired, 7000222, ""},
		{"200 without a token", 200, `{"token_type":"Bearer","expires_in":3600}`, nil, apponly.ErrService, 0, "not a token"},
		{"200 with a header injected", 200, `{"access_token":"x\r\nX: y","token_type":"Bearer","expires_in":3600}`, nil, apponly.ErrService, 0, "not a token"},
		{"204", 204, "", nil, apponly.ErrService, 0, ""},
		// The secret must not follow.
		{"307", 307, "", []string{"Location", redirected}, apponly.ErrService, 0, "redirect"},
		{"308", 308, "", []string{"Location", redirected}, apponly.ErrService, 0, "redirect"},
		{"302", 302, "", []string{"Location", redirected}, apponly.ErrService, 0, "redirect"},
		{"307 nowhere", 307, "", nil, apponly.ErrService, 0, "redirect"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				e := refusal(t, s, func(r *http.Request) (*http.Response, error) {
					if !strings.HasPrefix(s.Cloud().Authority(), "https://"+r.URL.Host) {
						t.Errorf("request to %s, want none but to the authority", r.URL)
					}
					return status(test.status, test.body, test.header...)(r)
				})
				if e.Kind != test.kind || e.Code != test.code || e.HTTPStatus != test.status {
					t.Errorf("%q, AADSTS%d, HTTP %d; want %q, AADSTS%d, HTTP %d", string(e.Kind), e.Code, e.HTTPStatus, string(test.kind), test.code, test.status)
				}
				if !strings.Contains(e.Error(), test.text) {
					t.Errorf("error = %q, does not say %q", e, test.text)
				}
				if n := s.requests(); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
				if test.name == "429 in plain text" && (time.Until(e.RetryAt) < time.Minute || time.Until(e.RetryAt) > 66*time.Second) {
					t.Errorf("RetryAt in %v, want 1m and a little", time.Until(e.RetryAt))
				}
				if size := len(e.Description) + len(e.OAuthError) + len(e.Claims); size > 30_000 {
					t.Errorf("%d bytes are kept of the answer", size)
				}
				checkLine(t, e)
			})
		})
	}
}

// Tokens as Entra, its copies and what stands in between send them. What nobody
// needs must not cost a good one, and neither must its wrapping.
func TestTokenShapes(t *testing.T) {
	const rest = `,"token_type":"Bearer","access_token":"a.b.c"}`
	const hour = `{"expires_in":3600`
	for _, test := range []struct {
		status   int
		media    string // "-": none
		body     string
		lifetime time.Duration
	}{
		{200, "application/json; charset=utf-8", `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"a.b.c"}`, 3599 * time.Second},
		{200, "application/json", `{"token_type":"bearer","expires_in":"3599","access_token":"a.b.c"}`, 3599 * time.Second}, // a string from the v1 endpoint and its copies
		{200, "application/json", `{"token_type":"Bearer","expires_in":86400,"refresh_in":43200,"access_token":"a.b.c"}`, 24 * time.Hour},
		{200, "application/json", `{"token_type":"Bearer","expires_in":60,"refresh_in":"30","access_token":"opaque~token+/="}`, time.Minute},
		{200, "text/json", `{"token_type":"Bearer","expires_in":3600,"refresh_in":-1,"access_token":"a.b.c"}`, time.Hour},
		// Numbers.
		{200, "application/json", `{"expires_in":3599.7` + rest, 3599 * time.Second},
		{200, "application/json", `{"expires_in":"3599.5"` + rest, 3599 * time.Second},
		{200, "application/json", `{"expires_in":1e3` + rest, 1000 * time.Second},
		{200, "application/json", `{"expires_in":"1E3"` + rest, 1000 * time.Second},
		{200, "application/json", `{"expires_in":" 3599 "` + rest, 3599 * time.Second},
		{200, "application/json", `{"expires_in":31536000` + rest, 30 * 24 * time.Hour},
		{200, "application/json", `{"expires_in":1e300` + rest, 30 * 24 * time.Hour},
		{200, "application/json", `{"expires_in":99999999999999999999` + rest, 30 * 24 * time.Hour},
		{200, "application/json", `{"refresh_in":"soon","expires_in":3600` + rest, time.Hour},
		// What it is called.
		{200, "-", hour + rest, time.Hour},
		{200, "text/plain", hour + rest, time.Hour},
		{200, "text/plain; charset=UTF-8", hour + rest, time.Hour},
		{200, "application/json; charset", hour + rest, time.Hour},
		{200, "application/json; charset=", hour + rest, time.Hour},
		{200, "application/json;;", hour + rest, time.Hour},
		{200, "application/octet-stream", hour + rest, time.Hour},
		{200, "application/problem+json", hour + rest, time.Hour},
		{201, "application/json", hour + rest, time.Hour},
		{202, "application/json", hour + rest, time.Hour},
		{203, "application/json", hour + rest, time.Hour},
		{200, "application/json", "\ufeff" + hour + rest, time.Hour},
		{200, "application/json", "\r\n " + hour + rest + "\r\n", time.Hour},
		// What else it says.
		{200, "application/json", hour + `,"id_token":""` + rest, time.Hour},
		{200, "application/json", hour + `,"id_token":"x"` + rest, time.Hour},
		{200, "application/json", hour + `,"id_token":7` + rest, time.Hour},
		{200, "application/json", hour + `,"client_info":"!"` + rest, time.Hour},
		{200, "application/json", hour + `,"client_info":{}` + rest, time.Hour},
		{200, "application/json", hour + `,"scope":["a","b"]` + rest, time.Hour},
		{200, "application/json", hour + `,"scope":"another"` + rest, time.Hour},
		{200, "application/json", hour + `,"expires_on":"tomorrow","ext_expires_in":"-","foci":1,"refresh_token":[]` + rest, time.Hour},
		{200, "application/json", hour + `,"error":null` + rest, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.setFault(func(r *http.Request) (*http.Response, error) {
				resp, err := status(test.status, test.body, "Content-Type", test.media)(r)
				if test.media == "-" {
					resp.Header.Del("Content-Type")
				}
				return resp, err
			})
			tok, err := s.client(t).Token(t.Context(), s.API().Scope())
			if err != nil {
				t.Errorf("%d %s %s: %v", test.status, test.media, test.body, err)
				return
			}
			if left := time.Until(tok.ExpiresOn()); left != test.lifetime {
				t.Errorf("%s: lasts %v, want %v", test.body, left, test.lifetime)
			}
			if at := tok.RefreshOn(); at.Before(time.Now()) || at.After(tok.ExpiresOn()) {
				t.Errorf("%s: refresh at %v", test.body, at)
			}
		})
	}
}
