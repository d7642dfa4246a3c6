// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

func TestFederatedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "token")
		for _, around := range []string{"", "\n", "\r\n", " \n\n"} {
			writeFile(t, path, []byte(s.FederatedToken()+around))
			mustToken(t, s.with(t, apponly.Federated(apponly.AssertionFile(path))), s.API().Scope())
		}
		// The kubelet writes a new one every hour or so; libraries that kept the
		// first one failed a day later.
		c := s.with(t, apponly.Federated(apponly.AssertionFile(path)))
		for range 5 {
			writeFile(t, path, []byte(s.FederatedToken()))
			mustToken(t, c, s.API().Scope())
			time.Sleep(24 * time.Hour)
		}
		if n := s.requests(); n != 4+5 {
			t.Errorf("%d requests, want 9", n)
		}
	})
}

func TestFederatedFileFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name, data string) string { return writeFile(t, filepath.Join(dir, name), []byte(data)) }
	for _, test := range []struct {
		name, path, text string
	}{
		{"missing", filepath.Join(dir, "missing"), "missing: "},
		{"directory", dir, "is a directory"},
		{"empty", file("empty", ""), "empty"},
		{"line break", file("newline", "\n"), "is empty"},
		{"no JWT", file("text", "AzureADTokenExchange"), "is not a JWT"},
		{"two parts", file("two", "e30.e30"), "is not a JWT"},
		{"four parts", file("four", "e30.e30.e30.e30"), "is not a JWT"},
		{"two tokens", file("twice", "e30.e30.e30\ne30.e30.e30"), "is not a JWT"},
		{"no base64", file("base64", "e30.!!!.e30"), "payload is not base64url"},
		{"no JSON", file("json", "e30.eA.e30"), "payload is not a JSON object"},
		{"huge", file("huge", strings.Repeat("x", 1<<20+1)), "larger than 1 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				_, err := s.with(t, apponly.Federated(apponly.AssertionFile(test.path))).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, test.path, test.text)
				if n := s.requests(); n != 0 {
					t.Errorf("%d requests without an assertion", n)
				}
			})
		})
	}
}

// An assertion that has expired is Entra's to refuse while the local clock may
// be the one that is wrong, and is not sent at all after that.
func TestFederatedExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "token")
		writeFile(t, path, []byte(s.FederatedToken()))
		exp := time.Now().Add(time.Hour).UTC()
		cred := apponly.Federated(apponly.AssertionFile(path))

		time.Sleep(time.Hour + 4*time.Minute) // within the grace: sent
		if _, err := s.with(t, cred).Token(t.Context(), s.API().Scope()); err != nil {
			wantKind(t, err, apponly.ErrAssertionExpired, "AADSTS700024")
		}
		sent := s.requests()
		if sent == 0 {
			t.Error("nothing was sent within the grace")
		}

		time.Sleep(2 * time.Minute)
		c := s.with(t, cred)
		_, err := c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrAssertionExpired, path, "has expired")
		wantKind(t, err, apponly.ErrCredentialUnavailable)
		wantKind(t, err, apponly.ErrCredential)
		if n := s.requests(); n != sent {
			t.Errorf("%d requests with an expired assertion", n-sent)
		}
		e := asError(t, err)
		if e.HTTPStatus != 0 {
			t.Errorf("HTTPStatus = %d, want 0: Entra was not asked", e.HTTPStatus)
		}
		// Times are details: the text stays the same from one try to the next.
		if at := exp.Format(time.RFC3339); !strings.Contains(fmt.Sprintf("%+v", err), at) || strings.Contains(err.Error(), at) {
			t.Errorf("exp %s: want it in %%+v alone\n%v\n%+v", at, err, err)
		}
		if info, _ := os.Stat(path); !strings.Contains(fmt.Sprintf("%+v", err), info.ModTime().UTC().Format(time.RFC3339)) {
			t.Errorf("%+v does not say when the file was written", err)
		}

		writeFile(t, path, []byte(s.FederatedToken()))
		time.Sleep(time.Minute)
		mustToken(t, c, s.API().Scope())
	})
}

// Whoever renews the file may be about to: an expired assertion is read twice.
func TestFederatedRenewedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		old := s.FederatedToken()
		time.Sleep(2 * time.Hour)
		calls := 0
		c := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			if calls++; calls == 1 {
				return old, nil
			}
			return s.FederatedToken(), nil
		})))
		mustToken(t, c, s.API().Scope())
		if calls != 2 || s.requests() != 1 {
			t.Errorf("%d calls and %d requests, want 2 and 1", calls, s.requests())
		}
	})
}

func TestFederationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		stranger := s.NewIssuer("https://stranger.example.test")
		fc := entratest.FederatedCredential{Issuer: s.Issuer().URL(), Subject: "system:serviceaccount:prod:Sync", Audience: s.Cloud().ExchangeAudience()}
		s.App().AddFederatedCredential(fc)
		for _, test := range []struct {
			name      string
			assertion string
			kind      apponly.Kind
			text      string
		}{
			{"ok", s.Issuer().Token(entratest.Claims{Subject: fc.Subject, Audience: fc.Audience}), "", ""},
			{"subject", s.Issuer().Token(entratest.Claims{Subject: "system:serviceaccount:dev:Sync", Audience: fc.Audience}), apponly.ErrFederationMismatch, "AADSTS700213"},
			{"letter case", s.Issuer().Token(entratest.Claims{Subject: strings.ToLower(fc.Subject), Audience: fc.Audience}), apponly.ErrFederationMismatch, "AADSTS7002138"},
			{"audience", s.Issuer().Token(entratest.Claims{Subject: fc.Subject, Audience: "https://kubernetes.default.svc"}), apponly.ErrFederationMismatch, "AADSTS700212"},
			{"issuer", stranger.Token(entratest.Claims{Subject: fc.Subject, Audience: fc.Audience}), apponly.ErrFederationMismatch, "AADSTS700211"},
			{"not yet", s.Issuer().Token(entratest.Claims{Subject: fc.Subject, Audience: fc.Audience, NotBefore: time.Now().Add(time.Hour), ExpiresAt: time.Now().Add(2 * time.Hour)}), apponly.ErrAssertionExpired, "AADSTS700024"},
		} {
			c := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
				return test.assertion, nil
			})))
			_, err := c.Token(t.Context(), s.API().Scope())
			if test.kind == "" {
				if err != nil {
					t.Errorf("%s: %v", test.name, err)
				}
				continue
			}
			wantKind(t, err, test.kind, test.text)
			if asError(t, err).HTTPStatus == 0 {
				t.Errorf("%s: no HTTP status", test.name)
			}
		}
	})
}

// What a source is told is what it needs to ask for the right assertion.
func TestAssertionRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		type key struct{}
		var got apponly.AssertionRequest
		c := s.with(t, apponly.Federated(apponly.AssertionFunc(func(ctx context.Context, req apponly.AssertionRequest) (string, error) {
			if ctx.Value(key{}) != "trace" {
				t.Error("the context has lost its values")
			}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the context has no deadline")
			}
			got = req
			return s.FederatedToken(), nil
		})))
		if _, err := c.Token(context.WithValue(t.Context(), key{}, "trace"), s.API().Scope()); err != nil {
			t.Fatal(err)
		}
		want := apponly.AssertionRequest{
			TenantID: s.Tenant().ID(), ClientID: s.App().ClientID(),
			TokenEndpoint: s.Cloud().TokenEndpoint(s.Tenant().ID()), Audience: "api://AzureADTokenExchange", HTTPClient: s.http,
		}
		if got != want {
			t.Errorf("request = %+v, want %+v", got, want)
		}
	})
}

// Sources of equal value share tokens, functions never do.
func TestFederatedIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte(s.FederatedToken()))
		fn := func(context.Context, apponly.AssertionRequest) (string, error) { return s.FederatedToken(), nil }
		o := s.options()
		for _, test := range []struct {
			name string
			make func() apponly.Credential
			want int
		}{
			{"file", func() apponly.Credential { return apponly.Federated(apponly.AssertionFile(path)) }, 1},
			{"value", func() apponly.Credential { return apponly.Federated(valueSource{s}) }, 1},
			{"slice inside", func() apponly.Credential { return apponly.Federated(sliceSource{valueSource{s}, nil}) }, 3},
			{"func", func() apponly.Credential { return apponly.Federated(apponly.AssertionFunc(fn)) }, 3},
		} {
			before := s.requests()
			for range 3 {
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), test.make(), o)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
			}
			if n := s.requests() - before; n != test.want {
				t.Errorf("%s: %d requests for three clients, want %d", test.name, n, test.want)
			}
		}
	})
}

type valueSource struct{ s *sts }

func (v valueSource) Assertion(context.Context, apponly.AssertionRequest) (string, error) {
	return v.s.FederatedToken(), nil
}

type sliceSource struct {
	valueSource
	_ []string
}

// A source that has neither an assertion nor an error is at fault, and so is a
// nil pointer.
func TestFederatedSourceFaults(t *testing.T) {
	for _, test := range []struct {
		name string
		src  apponly.AssertionSource
		text string
	}{
		{"nothing", apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) { return "", nil }), "is empty"},
		{"error", apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			return "", errors.New("line one\nline two")
		}), "line one line two"},
		{"nil pointer", (*pointerSource)(nil), "panicked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				_, err := s.with(t, apponly.Federated(test.src)).Token(t.Context(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, test.text)
				if strings.Contains(err.Error(), "\n") || s.requests() != 0 {
					t.Errorf("error = %q after %d requests, want one line and none", err, s.requests())
				}
			})
		})
	}
}

type pointerSource struct{ token string }

func (p *pointerSource) Assertion(context.Context, apponly.AssertionRequest) (string, error) {
	return p.token, nil
}

// Entra documents one algorithm; clusters and SPIRE may sign by another.
func TestAssertionOfAnotherAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		encode := base64.RawURLEncoding.EncodeToString
		payload := strings.Split(s.FederatedToken(), ".")[1]
		for header, want := range map[string]string{
			`{"alg":"ES256","kid":"1"}`: `signed by "ES256", and Entra documents RS256 alone`,
			`{"alg":1,"kid":"1"}`:       "AADSTS",
		} {
			assertion := encode([]byte(header)) + "." + payload + "." + encode(make([]byte, 64))
			_, err := s.with(t, apponly.Federated(textSource(assertion))).Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrAssertionInvalid, want)
		}
	})
}
