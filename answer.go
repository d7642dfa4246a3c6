// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

// A tokenAnswer is the part of an answer (RFC 6749 section 5.1) that decides. The
// rest is not looked at: no oddity of an id_token, client_info or scope, which an
// app has no use for, costs a good token.
type tokenAnswer struct {
	token               string // "": the answer is none
	lifetime, refreshIn time.Duration
}

// readToken reads an answer that may bring a token. It goes by what the answer
// says and not by how it is labelled: proxies and copies of Entra send a token
// without a media type, as text, or with status 201. A web page is none.
func readToken(status int, header http.Header, body []byte) (t tokenAnswer) {
	if !isSuccess(status) || isWebPage(header, body) {
		return t
	}
	var b struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		RefreshIn   json.RawMessage `json:"refresh_in"`
		Error       string          `json:"error"`
	}
	if json.Unmarshal(withoutBOM(body), &b) != nil || b.Error != "" || !strings.EqualFold(b.TokenType, "Bearer") || !isTokenText(b.AccessToken) {
		return t
	}
	if lifetime := seconds(b.ExpiresIn); lifetime > 0 {
		t = tokenAnswer{b.AccessToken, lifetime, seconds(b.RefreshIn)}
	}
	return t
}

// isSuccess reports whether an answer of a status is whole and not a refusal.
func isSuccess(status int) bool { return status/100 == 2 && status != http.StatusPartialContent }

// seconds reads a number of seconds in any notation, in quotes or not, and rounds
// it down; 0 if it is none or not positive. No more than maxLifetime is believed.
func seconds(raw json.RawMessage) time.Duration {
	text := strings.TrimSpace(strings.Trim(string(raw), `"`))
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || strings.Trim(text, "0123456789.eE+-") != "" || !(f >= 1) {
		return 0
	}
	return time.Duration(min(f, maxLifetime.Seconds())) * time.Second
}

// withoutBOM drops a byte order mark, which RFC 8259 section 8.1 forbids and some
// frameworks send.
func withoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }

// isWebPage reports whether an answer is for people.
func isWebPage(header http.Header, body []byte) bool {
	media := strings.ToLower(header.Get("Content-Type"))
	return strings.HasPrefix(media, "text/html") || strings.HasPrefix(media, "application/xhtml") ||
		bytes.HasPrefix(bytes.TrimSpace(withoutBOM(body)), []byte("<"))
}

// askedToWait returns how long Entra asks to wait. Only its word counts: its error
// in JSON, or a plain 429 or 503 of the token endpoint, where it may be too busy to
// say more. A captive portal's or a proxy's Retry-After would outlast the portal
// by an hour.
func askedToWait(status int, header http.Header, body []byte) (time.Duration, bool) {
	plain := (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && !isWebPage(header, body)
	if !plain && !isEntraError(body) {
		return 0, false
	}
	return flight.RetryAfter(header, time.Now())
}

// describeForeign says what stood in Entra's place when the answer is not one of
// Entra's.
func describeForeign(status int, header http.Header, body []byte) string {
	switch {
	case status >= 300 && status < 400:
		return "the answer is a redirect, which is not followed: a proxy or captive portal may stand in between"
	case isWebPage(header, body):
		return "the answer is a web page: a proxy or captive portal may stand in between"
	default:
		return "the answer is not one of the token endpoint"
	}
}
