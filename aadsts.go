// SPDX-License-Identifier: MIT

package apponly

import (
	_ "embed"
	"encoding/json"
	"errors"
	"math"
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

// An AADSTS is what is known of one of Entra's error numbers.
type AADSTS struct {
	Code   int
	Symbol string // Microsoft's name for it, "" if unknown
	Kind   Kind
	Remedy string // Kind.Remedy
	// AppOnly says whether a caller of the client credentials grant can meet
	// it: "yes", "maybe" or "no".
	AppOnly string
}

// LookupAADSTS returns what is known of an AADSTS number, for tools. The numbers are
// no contract: act on the [Kind] of an [Error].
func LookupAADSTS(code int) (AADSTS, bool) {
	c, ok := aadstsCodes()[code]
	if !ok {
		return AADSTS{}, false
	}
	return AADSTS{Code: code, Symbol: c.symbol, Kind: c.kind, Remedy: c.kind.Remedy(), AppOnly: c.applies}, true
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

// classify makes an Error of an answer that brought no token. proofKind is what
// an "invalid_client" without a known number means for the credential that was
// sent.
func classify(status int, header http.Header, body []byte, proofKind Kind) *Error {
	b, codes := parseEntraError(body)
	e := &Error{
		OAuthError:    b.OAuthError,
		Suberror:      b.Suberror,
		Description:   b.Description,
		Claims:        b.Claims,
		HTTPStatus:    status,
		TraceID:       b.TraceID,
		CorrelationID: b.CorrelationID,
	}
	e.Timestamp, _ = time.Parse("2006-01-02 15:04:05Z", b.Timestamp)
	var known bool
	e.Code, e.Kind, known = b.decide(codes, proofKind)

	switch {
	case status == http.StatusTooManyRequests:
		e.Kind = ErrThrottled
	case status == http.StatusRequestTimeout || status >= 500:
		// A number may say it better, but only one that is there.
		if !known {
			e.Kind = ErrService
		}
	case b.OAuthError == "" && len(codes) == 0:
		e.Kind = ErrService
		e.reason = describeForeign(status, header, body)
	}
	if wait, ok := askedToWait(status, header, body); ok {
		e.RetryAt = time.Now().Add(wait)
	}
	return e
}

// decide picks the number and the kind: the last known number of error_codes
// (old answers nest, the inner one last), else what the error member says.
func (b *entraError) decide(codes []int, proofKind Kind) (code int, kind Kind, known bool) {
	for i := len(codes) - 1; i >= 0; i-- {
		if c, ok := aadstsCodes()[codes[i]]; ok {
			kind = c.kind
			if codes[i] == 700023 && b.OAuthError == "invalid_scope" {
				kind = ErrScopeInvalid // this number has two meanings
			}
			return codes[i], kind, true
		}
	}
	if len(codes) > 0 {
		code = codes[len(codes)-1]
	}
	switch b.OAuthError {
	case "invalid_client":
		return code, proofKind, false
	case "invalid_grant", "interaction_required", "consent_required":
		switch {
		case b.Suberror == "message_only", strings.Contains(b.Claims, "capolids"), strings.Contains(b.Claims, "polids"):
			return code, ErrConditionalAccess, false
		case b.Suberror == "consent_required":
			return code, ErrConsentRequired, false
		}
		return code, ErrOther, false
	}
	if k, ok := oauthKinds[b.OAuthError]; ok {
		return code, k, false
	}
	return code, ErrOther, false
}

// maxMember bounds what is kept of one member of an answer: errors are
// remembered.
const maxMember = 8 << 10

// entraError is the body of an error answer.
type entraError struct {
	OAuthError    string          `json:"error"`
	Suberror      string          `json:"suberror"`
	Description   string          `json:"error_description"`
	Claims        string          `json:"claims"`
	TraceID       string          `json:"trace_id"`
	CorrelationID string          `json:"correlation_id"`
	Timestamp     string          `json:"timestamp"`
	Codes         json.RawMessage `json:"error_codes"` // see wholeNumbers
}

// parseEntraError reads a body as leniently as bodies are sloppy: members
// missing, numbers as strings, anything from a proxy. What cannot be read is
// left out.
func parseEntraError(body []byte) (b entraError, codes []int) {
	if err := json.Unmarshal(withoutBOM(body), &b); err != nil {
		// A member of another type is skipped and the rest is there; anything
		// else is no JSON, and nothing of it is believed.
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok {
			return entraError{}, nil
		}
	}
	codes = wholeNumbers(b.Codes)
	if rest, ok := strings.CutPrefix(b.Description, "AADSTS"); ok && len(codes) == 0 {
		codes = wholeNumbers(rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))])
	}
	// The trailing IDs have fields of their own.
	if i := strings.Index(b.Description, "Trace ID:"); i >= 0 {
		b.Description = strings.TrimSpace(b.Description[:i])
	}
	for _, s := range []*string{&b.OAuthError, &b.Suberror, &b.Description, &b.Claims, &b.TraceID, &b.CorrelationID} {
		if len(*s) > maxMember {
			*s = strings.Clone((*s)[:maxMember])
		}
	}
	return b, codes
}

// isEntraError reports whether a body says that it is an error, whatever its
// status.
func isEntraError(body []byte) bool {
	b, codes := parseEntraError(body)
	return b.OAuthError != "" || len(codes) > 0
}

// minCode is below every AADSTS number: no smaller one is taken for one.
const minCode = 10_000

// wholeNumbers returns the decimal numbers in raw, whatever stands around them:
// [700016], ["700016"] and "[700016]" have all been seen. They are compared
// whole, because AADSTS700021 is a prefix of AADSTS7000215.
func wholeNumbers[S ~string | ~[]byte](raw S) []int {
	const most = 8
	var numbers []int
	for i := 0; i < len(raw) && len(numbers) < most; i++ {
		var n int64 // an int may have 32 bits
		for ; i < len(raw) && '0' <= raw[i] && raw[i] <= '9'; i++ {
			if n = 10*n + int64(raw[i]-'0'); n > math.MaxInt32 {
				n = math.MaxInt32 // no number of Entra's, and no overflow
			}
		}
		if minCode <= n && n < math.MaxInt32 {
			numbers = append(numbers, int(n))
		}
	}
	return numbers
}
