// SPDX-License-Identifier: MIT

package apponly

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed aadsts.csv
var aadstsCSV string

type aadstsCode struct {
	symbol  string
	kind    Kind
	applies string // whether an app-only caller can meet it: yes, maybe, no
}

// aadstsCodes is parsed when the first refusal needs it: a daemon that works
// never pays for it.
var aadstsCodes = sync.OnceValue(func() map[int]aadstsCode {
	codes := make(map[int]aadstsCode, 512)
	for line := range strings.Lines(aadstsCSV) {
		f := strings.Split(strings.TrimSpace(line), ",")
		code, err := strconv.Atoi(f[0])
		if err != nil || len(f) != 4 {
			continue // the heading; a test holds every other line to its form
		}
		codes[code] = aadstsCode{symbol: f[1], kind: exportedKind(Kind(f[2])), applies: f[3]}
	}
	return codes
})

// exportedKind folds the kinds of the table that no app-only caller can act on
// into ErrOther.
func exportedKind(k Kind) Kind {
	if _, ok := kinds[k]; ok {
		return k
	}
	return ErrOther
}

// oauthKinds decides by the error member when no known number does. RFC 6749
// section 5.2 and Entra's own additions.
var oauthKinds = map[string]Kind{
	"temporarily_unavailable": ErrService,
	"server_error":            ErrService,
	"unauthorized_client":     ErrAppNotFound,
	"invalid_scope":           ErrScopeInvalid,
	"invalid_resource":        ErrResourceNotFound,
	"invalid_tenant":          ErrTenantNotFound,
	"invalid_instance":        ErrAuthorityInvalid,
	"unsupported_grant_type":  ErrGrantNotAllowed,
	"invalid_request":         ErrRequestMalformed,
}

// entraError is the body of an error answer, read as leniently as answers are
// sloppy: members missing, numbers as strings, anything from a proxy.
type entraError struct {
	oauthError, suberror, description, claims string
	traceID, correlationID                    string
	timestamp                                 time.Time
	codes                                     []int
}

// classify makes an Error of an answer that brought no token. proofKind is what
// an "invalid_client" without a known number means for the credential that was
// sent.
func classify(status int, header http.Header, body []byte, proofKind Kind) *Error {
	b := parseEntraError(body)
	e := &Error{
		OAuthError:    b.oauthError,
		Suberror:      b.suberror,
		Description:   b.description,
		Claims:        b.claims,
		HTTPStatus:    status,
		TraceID:       b.traceID,
		CorrelationID: b.correlationID,
		Timestamp:     b.timestamp,
	}
	var known bool
	e.Code, e.Kind, known = decide(b, proofKind)

	switch {
	case status == http.StatusTooManyRequests:
		e.Kind = ErrThrottled
	case status == http.StatusRequestTimeout || status >= 500:
		// A number may say it better, but only one that is there.
		if !known {
			e.Kind = ErrService
		}
	case b.oauthError == "" && len(b.codes) == 0:
		e.Kind = ErrService
		e.reason = strangeAnswer(status, header)
	}
	if wait, ok := retryAfter(header, time.Now()); ok {
		e.RetryAt = time.Now().Add(wait)
	}
	return e
}

// decide picks the number and the kind: the last known number of error_codes
// (old answers nest, the inner one last), else what the error member says.
func decide(b entraError, proofKind Kind) (code int, kind Kind, known bool) {
	for i := len(b.codes) - 1; i >= 0; i-- {
		if c, ok := aadstsCodes()[b.codes[i]]; ok {
			kind = c.kind
			if b.codes[i] == 700023 && b.oauthError == "invalid_scope" {
				kind = ErrScopeInvalid // this number has two meanings
			}
			return b.codes[i], kind, true
		}
	}
	if len(b.codes) > 0 {
		code = b.codes[len(b.codes)-1]
	}
	switch b.oauthError {
	case "invalid_client":
		return code, proofKind, false
	case "invalid_grant", "interaction_required", "consent_required":
		switch {
		case b.suberror == "message_only", strings.Contains(b.claims, "capolids"), strings.Contains(b.claims, "polids"):
			return code, ErrConditionalAccess, false
		case b.suberror == "consent_required":
			return code, ErrConsentRequired, false
		}
		return code, ErrOther, false
	}
	if k, ok := oauthKinds[b.oauthError]; ok {
		return code, k, false
	}
	return code, ErrOther, false
}

// strangeAnswer says what stood in Entra's place when the answer is not one of
// Entra's.
func strangeAnswer(status int, header http.Header) string {
	switch {
	case status >= 300 && status < 400:
		return "the answer is a redirect, which is not followed: a proxy or captive portal may stand in between"
	case isWebPage(header):
		return "the answer is a web page: a proxy or captive portal may stand in between"
	default:
		return "the answer is not one of the token endpoint"
	}
}

func isWebPage(header http.Header) bool {
	return strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), "text/html")
}

// maxMember bounds what is kept of one member of an answer: errors are
// remembered.
const maxMember = 8 << 10

func parseEntraError(body []byte) entraError {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return entraError{}
	}
	str := func(name string) string {
		var s string
		if json.Unmarshal(m[name], &s) != nil {
			return ""
		}
		return s[:min(len(s), maxMember)]
	}
	b := entraError{
		oauthError:    str("error"),
		suberror:      str("suberror"),
		claims:        str("claims"),
		traceID:       str("trace_id"),
		correlationID: str("correlation_id"),
		codes:         wholeNumbers(m["error_codes"]),
	}
	b.timestamp, _ = time.Parse("2006-01-02 15:04:05Z", str("timestamp"))
	b.description = str("error_description")
	if rest, ok := strings.CutPrefix(b.description, "AADSTS"); ok && len(b.codes) == 0 {
		b.codes = wholeNumbers([]byte(rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]))
	}
	// The trailing IDs have fields of their own.
	if i := strings.Index(b.description, "Trace ID:"); i >= 0 {
		b.description = strings.TrimSpace(b.description[:i])
	}
	return b
}

// minCode is below every AADSTS number: no smaller one is taken for one.
const minCode = 10_000

// wholeNumbers returns the decimal numbers in raw, whatever stands around them:
// [700016], ["700016"] and "[700016]" have all been seen. They are compared
// whole, because AADSTS700021 is a prefix of AADSTS7000215.
func wholeNumbers(raw []byte) []int {
	var numbers []int
	for _, f := range strings.FieldsFunc(string(raw), func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(f); err == nil && n >= minCode && len(numbers) < 8 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// maxRetryAfter caps what a server may ask for: a mistaken header must not
// silence a daemon for a day.
const maxRetryAfter = time.Hour

// retryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds or a date.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(header.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		// Compared before it is multiplied: a huge number of seconds overflows
		// a Duration and would mean "at once".
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}
