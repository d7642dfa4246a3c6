// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// The cause stands before what the caller knows himself.
func TestCauseComesFirst(t *testing.T) {
	s := newSTS(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for name, test := range map[string]struct {
		cred  apponly.Credential
		fault func(*http.Request) (*http.Response, error)
		cause string
	}{
		"file":     {apponly.SecretFile(missing), nil, missing + ": no such file or directory"},
		"password": {apponly.CertificateFile(corpus("openssl3-chain.p12"), &apponly.CertificateFileOptions{Password: "x"}), nil, "wrong password"},
		"callback": {apponly.SecretFunc(func(context.Context) (string, error) { return "", os.ErrPermission }), nil, os.ErrPermission.Error()},
		"network": {apponly.Secret(s.Secret()), func(*http.Request) (*http.Response, error) {
			return nil, errors.New("x")
		}, "transport failed"},
		"GUID": {apponly.Secret("8c1d6e5f-0c2a-4a53-9d0e-2f1b7a6c9e10"), nil, "what was sent is a GUID"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(test.fault)
				_, err := s.with(t, test.cred).Token(t.Context(), s.API().Scope())
				text := err.Error()
				at := strings.Index(text, test.cause)
				if at < 0 || at > 170 {
					t.Errorf("the cause is not in front: %s", text)
				}
				if tenant := strings.Index(text, s.Tenant().ID()); tenant < at {
					t.Errorf("the tenant stands before the cause: %s", text)
				}
				if !strings.HasSuffix(text, "#"+string(asError(t, err).Kind)) {
					t.Errorf("the section is not at the end: %s", text)
				}
			})
		})
	}
}

// A federated credential is compared byte by byte, so that a refusal has to name
// what was sent; and two refusals of the same thing read the same.
func TestRefusedAssertionIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		for name, claims := range map[string]entratest.Claims{
			"subject":  {Subject: "system:serviceaccount:demo:other", Audience: s.Cloud().ExchangeAudience()},
			"audience": {Subject: "system:serviceaccount:demo:worker", Audience: "api://AzureADTokenexchange"},
			"letters":  {Subject: "system:serviceaccount:Demo:worker", Audience: s.Cloud().ExchangeAudience()},
			"odd":      {Subject: "repo:a/b\nref:\"x\"", Audience: s.Cloud().ExchangeAudience()},
		} {
			ask := func() error {
				_, err := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
					return s.Issuer().Token(claims), nil
				}))).Token(t.Context(), s.API().Scope())
				return err
			}
			err := ask()
			e := asError(t, err)
			if e.Kind.Group() != apponly.ErrCredential || e.Issuer != s.Issuer().URL() || e.Subject != claims.Subject || e.Audience != claims.Audience {
				t.Errorf("%s: %+v", name, err)
			}
			for _, want := range []string{`iss "` + e.Issuer + `"`, `aud "` + e.Audience + `"`} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q does not name %s", name, err, want)
				}
			}
			for _, want := range []string{"iss=", "sub=", "aud="} {
				if !strings.Contains(fmt.Sprintf("%+v", err), want) {
					t.Errorf("%s: %+v has no %s", name, err, want)
				}
			}
			time.Sleep(time.Hour)
			if again := ask(); again.Error() != err.Error() || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: two refusals of the same differ or take more than a line:\n%s\n%s", name, err, again)
			}
		}
	})
}

// What was sent is named where it may be what is wrong, and nowhere else.
func TestProofIsNotNamedForOtherRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		tenant := s.AddTenant() // without the app
		c, err := apponly.New(tenant.ID(), s.App().ClientID(), apponly.Certificate(chainOf(s), s.Certificate().Key, nil), s.options())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		if e := asError(t, err); e.Kind != apponly.ErrAppNotFound || strings.Contains(err.Error(), "thumbprint") || e.Thumbprint == "" {
			t.Errorf("%+v", err)
		}
		_, err = s.with(t, apponly.Secret("wrong")).Token(t.Context(), s.API().Scope())
		if e := asError(t, err); e.Thumbprint+e.ThumbprintSHA256+e.Issuer+e.Subject+e.Audience != "" {
			t.Errorf("a secret: %+v", err)
		}
	})
}
