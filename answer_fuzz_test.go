// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
)

// endless repeats its content for ever and counts what is read.
type endless struct {
	content []byte
	once    bool
	read    int
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.content) == 0 || e.once && e.read >= len(e.content) {
		return 0, io.EOF
	}
	n := copy(p, e.content[e.read%len(e.content):])
	e.read += n
	return n, nil
}

func (*endless) Close() error { return nil }

// Whatever answers in Entra's place: a token or an error, never neither, never
// a panic, a bounded read, and an error that fits a line of a log.
func FuzzAnswer(f *testing.F) {
	const token = `{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ.a.b"}`
	for _, seed := range []struct {
		status     int
		media      string
		retryAfter string
		body       string
	}{
		{200, "application/json", "", token},
		{200, "application/json; charset=utf-8", "", `{"token_type":"bearer","expires_in":"3599","refresh_in":1800,"access_token":"x","client_info":"!"}`},
		{200, "text/html", "", "<html>log in to the Wi-Fi</html>"},
		{200, "application/json", "", `{"error":"invalid_client","error_codes":["7000215"]}`},
		{200, "application/json", "", `{"token_type":"Bearer","expires_in":-1,"access_token":"x"}`},
		{200, "application/json", "", `{"token_type":"Bearer","expires_in":1e99,"access_token":"x\n"}`},
		{400, "application/json", "", `{"error":"invalid_request","error_description":"AADSTS90002: no\r\nTrace ID: 1\r\n","error_codes":[90002]}`},
		{401, "application/json", "", `{"error":5,"error_codes":{"a":[7000222]},"ERROR":"x","error":"invalid_client"}`},
		{429, "text/plain", "60", "Too Many Requests"},
		{503, "", "99999999999999999999", "\xff\xfe\x00"},
		{503, "application/json", "Fri, 31 Dec 1999 23:59:59 GMT", ""},
		{307, "", "", ""},
		{999, "application/json", "-1", strings.Repeat(`{"error":`, 1000)},
	} {
		f.Add(seed.status, seed.media, seed.retryAfter, []byte(seed.body), true)
	}
	f.Add(500, "application/json", "", []byte(`{"a":`), false)
	f.Fuzz(func(t *testing.T, code int, media, retryAfter string, body []byte, once bool) {
		if code < 100 || code > 999 {
			return // no HTTP status: net/http would not have passed it on
		}
		synctest.Test(t, func(t *testing.T) {
			var last *endless
			httpClient := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				last = &endless{content: body, once: once}
				return &http.Response{
					StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
					Header: http.Header{"Content-Type": {media}, "Retry-After": {retryAfter}, "Location": {"https://elsewhere.test/"}},
					Body:   last, ContentLength: -1, Request: r,
				}, nil
			})}
			c, err := apponly.New("contoso.test", "00000000-0000-4000-8000-000000000001", apponly.Secret("canary-secret-value"), &apponly.Options{
				Cloud: cloud.Custom("https://login.test"), HTTPClient: httpClient, Cache: apponly.NewCache(nil),
			})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := c.Token(t.Context(), "https://api.test/.default")
			switch {
			case err == nil && tok.Value() == "":
				t.Error("neither a token nor an error")
			case err == nil && (!mayBeToken(code, body) || time.Until(tok.ExpiresOn()) <= 0):
				t.Errorf("a token %v out of status %d and %q", tok, code, body)
			case err != nil:
				checkErrorText(t, err, body)
			}
			if last.read > 1<<20+1 {
				t.Errorf("%d bytes were read", last.read)
			}
		})
	})
}

func mayBeToken(code int, body []byte) bool {
	return code/100 == 2 && bytes.Contains(bytes.ToLower(body), []byte("access_token"))
}

func checkErrorText(t *testing.T, err error, body []byte) {
	t.Helper()
	e, ok := errors.AsType[*apponly.Error](err)
	if !ok || e.Kind == "" || e.Kind.Group() == "" {
		t.Errorf("error %T %v, want an *Error with a kind", err, err)
		return
	}
	text := err.Error()
	if len(text) >= 600 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("text is not one printable line of less than 600 bytes: %q", text)
	}
	if !bytes.Contains(body, []byte("canary")) && strings.Contains(text, "canary") {
		t.Errorf("text holds the secret: %q", text)
	}
}
