// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apponly/apponly"
)

// checkLine fails the test unless the error's text is one short printable line
// that names who asked for what.
func checkLine(t testing.TB, e *apponly.Error) {
	t.Helper()
	text := e.Error()
	if len(text) >= 600 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not one short printable line (%d bytes): %q", len(text), text)
	}
	if !strings.HasPrefix(text, "apponly: ") || strings.Count(text, "apponly: ") != 1 {
		t.Errorf("clumsy prefix: %q", text)
	}
	for _, v := range []string{e.TenantID, e.ClientID} {
		if len(v) < 100 && !strings.Contains(text, v) {
			t.Errorf("%q does not name %q", text, v)
		}
	}
}

var allKinds = []apponly.Kind{
	apponly.ErrUnreachable, apponly.ErrCredentialUnavailable, apponly.ErrTenantNotAllowed, apponly.ErrService, apponly.ErrThrottled,
	apponly.ErrIssuerUnreachable, apponly.ErrSecretExpired, apponly.ErrSecretInvalid, apponly.ErrCredentialMissing, apponly.ErrCertificateInvalid,
	apponly.ErrCertificateExpired, apponly.ErrAssertionExpired, apponly.ErrAssertionInvalid, apponly.ErrFederationMismatch, apponly.ErrFederationBlocked,
	apponly.ErrAppNotFound, apponly.ErrAppDisabled, apponly.ErrAppMisconfigured, apponly.ErrTenantNotFound, apponly.ErrTenantBlocked,
	apponly.ErrAuthorityInvalid, apponly.ErrResourceNotFound, apponly.ErrScopeInvalid, apponly.ErrConsentRequired, apponly.ErrRoleMissing,
	apponly.ErrGrantNotAllowed, apponly.ErrConditionalAccess, apponly.ErrClaimsChallenge, apponly.ErrRequestMalformed, apponly.ErrOther,
}

func TestKinds(t *testing.T) {
	groups := []apponly.Kind{apponly.ErrTransient, apponly.ErrCredential, apponly.ErrConfiguration, apponly.ErrPolicy}
	texts := map[string]apponly.Kind{}
	for _, k := range append(groups, allKinds...) {
		if other, ok := texts[k.Error()]; ok {
			t.Errorf("%q and %q have the same text", string(k), string(other))
		}
		texts[k.Error()] = k
		if !strings.HasPrefix(k.Error(), "apponly: ") {
			t.Errorf("%q says %q", string(k), k.Error())
		}
	}
	for _, k := range allKinds {
		e := &apponly.Error{Kind: k}
		if k.Remedy() == "" || !errors.Is(e, k) || !errors.Is(e, k.Group()) {
			t.Errorf("%q: remedy %q, group %q", string(k), k.Remedy(), string(k.Group()))
		}
		n := 0
		for _, g := range groups {
			if errors.Is(e, g) {
				n++
			}
		}
		if want := 1; n != want && k != apponly.ErrOther {
			t.Errorf("%q is of %d groups, want 1", string(k), n)
		}
		for _, other := range allKinds {
			if other != k && errors.Is(e, other) {
				t.Errorf("%q is %q", string(k), string(other))
			}
		}
		if errors.Is(e, io.EOF) || errors.Is(e, (*apponly.Error)(nil)) {
			t.Errorf("%q is anything", string(k))
		}
		wrapped := fmt.Errorf("sync: %w", e)
		if !errors.Is(wrapped, k) {
			t.Errorf("%q is not found when wrapped", string(k))
		}
	}
	for _, g := range groups {
		if g.Group() != g || g.Remedy() != "" {
			t.Errorf("group %q: group %q, remedy %q", string(g), string(g.Group()), g.Remedy())
		}
	}
	if k := apponly.Kind("from a newer version"); k.Group() != k || k.Error() == "" {
		t.Errorf("unknown kind: %v, %v", k, k.Group())
	}
}

// A controller writes the text of an error into a status field, which wakes it
// up again if the text differs: it must not hold what differs between two
// failures of the same kind.
func TestErrorTextIsStable(t *testing.T) {
	answer := func(trace, at, wording string) func(*http.Request) (*http.Response, error) {
		return status(401, fmt.Sprintf(`{"error":"invalid_client","error_description":"AADSTS7000222: %s Trace ID: %s Timestamp: %s","error_codes":[7000222],"timestamp":"%s","trace_id":"%s","correlation_id":"%s"}`,
			wording, trace, at, at, trace, trace), "x-ms-request-id", trace)
	}
	for _, test := range []struct {
		name string
		a, b func(*http.Request) (*http.Response, error)
	}{
		{"refusal", answer("aaaa", "2026-01-02 03:04:05Z", "The secret has expired."), answer("bbbb", "2026-02-03 04:05:06Z", "Das Geheimnis ist abgelaufen.")},
		{"throttled", status(429, "", "Retry-After", "60"), status(429, "x", "Retry-After", "90")},
		{"service", status(503, "try at 10:00"), status(503, "try at 11:00")},
		{"ports", fails(&net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 1}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
			fails(&net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 2}, Err: os.NewSyscallError("read", syscall.ECONNRESET)})},
		{"resolvers", fails(&net.DNSError{Err: "no such host", Name: "x", Server: "192.0.2.1:53", IsNotFound: true}), fails(&net.DNSError{Err: "no such host", Name: "x", Server: "192.0.2.2:53", IsNotFound: true})},
		{"middleware", fails(errors.New("at 10:00")), fails(errors.New("at 11:00"))},
		{"hang", hang, hang},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				a := refusal(t, s, test.a)
				time.Sleep(time.Hour)
				b := refusal(t, s, test.b)
				if a.Error() != b.Error() {
					t.Errorf("texts differ:\n%s\n%s", a, b)
				}
				if fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) {
					t.Error("details are the same, too")
				}
				checkLine(t, a)
			})
		})
	}
}

// The remembered answer has the text of the first one.
func TestRememberedTextIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c := s.with(t, apponly.Secret("wrong"))
		_, first := c.Token(t.Context(), s.API().Scope())
		_, second := c.Token(t.Context(), s.API().Scope())
		if first.Error() != second.Error() || asError(t, first).Remembered || !asError(t, second).Remembered {
			t.Errorf("first  %+v\nsecond %+v", first, second)
		}
		if !strings.Contains(fmt.Sprintf("%+v", second), "remembered") {
			t.Errorf("%+v does not say that it is remembered", second)
		}
	})
}

func TestErrorDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		const trace, correlation = "11111111-0000-4000-8000-000000000002", "22222222-0000-4000-8000-000000000003"
		e := refusal(t, s, status(400, `{"error":"invalid_grant","suberror":"message_only","error_description":"AADSTS53003: Blocked.\r\nTrace ID: t\r\nCorrelation ID: c\r\nTimestamp: x","error_codes":[53003],"claims":"{\"access_token\":{}}",`+
			`"timestamp":"2026-01-02 03:04:05Z","trace_id":"`+trace+`","correlation_id":"`+correlation+`"}`))
		want := apponly.Error{
			Kind: apponly.ErrConditionalAccess, Code: 53003, OAuthError: "invalid_grant", Suberror: "message_only",
			Description: "AADSTS53003: Blocked.", Claims: `{"access_token":{}}`, HTTPStatus: 400,
			TenantID: s.Tenant().ID(), ClientID: s.App().ClientID(), Scope: s.API().Scope(),
			TraceID: trace, CorrelationID: correlation, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		want.RetryAt = e.RetryAt
		if *e != want {
			t.Errorf("error = %+v\nwant    %+v", e, &want)
		}
		if e.RetryAt.Before(time.Now()) {
			t.Errorf("RetryAt = %v, want the time until which this answer is remembered", e.RetryAt)
		}
		var text, asJSON bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Error("x", "err", e)
		slog.New(slog.NewJSONHandler(&asJSON, nil)).Error("x", "err", e)
		for name, out := range map[string]string{"%+v": fmt.Sprintf("%+v", e), "text": text.String(), "JSON": asJSON.String()} {
			for _, part := range []string{trace, correlation, "53003", "message_only", "Blocked", "400", s.Tenant().ID(), s.API().Scope()} {
				if !strings.Contains(out, part) {
					t.Errorf("%s lacks %s: %s", name, part, out)
				}
			}
			if strings.Contains(strings.TrimSpace(out), "\n") {
				t.Errorf("%s is more than one line: %q", name, out)
			}
		}
		for format, want := range map[string]string{"%v": e.Error(), "%s": e.Error(), "%q": fmt.Sprintf("%q", e.Error()), "%d": e.Error()} {
			if got := fmt.Sprintf(format, e); got != want {
				t.Errorf("%s = %s, want %s", format, got, want)
			}
		}
		if strings.Contains(e.Error(), trace) || strings.Contains(e.Error(), "Blocked") {
			t.Errorf("Error() shows what differs between failures: %s", e)
		}
	})
}

// What was wrong locally is found beneath, and is another thing than a refusal.
func TestLocalCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		_, err := s.with(t, apponly.SecretFile(filepath.Join(t.TempDir(), "none"))).Token(t.Context(), s.API().Scope())
		if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, apponly.ErrCredentialUnavailable) || !errors.Is(err, apponly.ErrCredential) {
			t.Errorf("error = %v", err)
		}
		if e := asError(t, err); e.HTTPStatus != 0 || e.Code != 0 || e.OAuthError != "" {
			t.Errorf("error = %+v, looks like a refusal", e)
		}
		s.setFault(fails(refused()))
		_, err = s.client(t).Token(t.Context(), s.API().Scope())
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, apponly.ErrTransient) || errors.Is(err, apponly.ErrCredential) {
			t.Errorf("error = %v", err)
		}
		s.setFault(hang)
		_, err = s.client(t).Token(t.Context(), s.API().Scope())
		var timeout net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error = %v, want a timeout", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.client(t).Token(ctx, s.API().Scope())
		if !errors.Is(err, context.Canceled) || errors.Is(err, apponly.ErrTransient) {
			t.Errorf("error = %v, want the caller's cancellation and no kind", err)
		}
	})
}

// Long and strange names are cut, not dropped, and the line stays one.
func TestErrorLineIsBounded(t *testing.T) {
	label := strings.Repeat("a", 63)
	tenant := strings.Join([]string{label, label, label}, ".") + ".example"
	scope := "https://" + strings.Repeat("x", 900) + "/.default"
	for _, fault := range []func(*http.Request) (*http.Response, error){
		status(400, `{"error":"`+strings.Repeat("long_", 100)+`","error_codes":[123456789]}`),
		status(400, `{"error":"`+strings.Repeat("ü", 100)+`"}`),
		status(403, "<html>", "Content-Type", "text/html"),
		fails(errors.New("x")),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			s.setFault(fault)
			c, err := apponly.New(tenant, someClient, apponly.Secret("x"), s.options())
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Token(t.Context(), scope)
			checkLine(t, asError(t, err))
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		_, err := s.with(t, apponly.SecretFile("/"+strings.Repeat("d\n/", 400)+"ü")).Token(t.Context(), scope)
		checkLine(t, asError(t, err))
		_, err = s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			return "", errors.New(strings.Repeat("many\r\nlines\x00\x1b", 1000))
		}))).Token(t.Context(), scope)
		checkLine(t, asError(t, err))
	})
}

// Error is shared by all who waited: reading it from many goroutines is safe,
// which the race detector checks.
func TestErrorIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.setDelay(time.Second)
		c := s.with(t, apponly.Secret("wrong"))
		errs := make(chan error)
		for range 50 {
			go func() {
				_, err := c.Token(t.Context(), s.API().Scope())
				_ = fmt.Sprintf("%+v", err)
				errs <- err
			}()
		}
		first := <-errs
		for range 49 {
			if err := <-errs; err != first {
				t.Errorf("another error: %v", err)
			}
		}
		if n := s.requests(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}
