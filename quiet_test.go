// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// After a quiet night what is known of a credential and of its refusals is still
// known, although others have used the cache in the meantime.
func TestMemoriesOutliveTheTokens(t *testing.T) {
	throttled := status(429, "{}", "Retry-After", "1800")
	refused := status(400, `{"error":"unauthorized_client","error_codes":[700016]}`)
	for name, tc := range map[string]struct {
		night      time.Duration
		credential func(t *testing.T, s *sts) (c apponly.Credential, gone func())
		disturb    func(s *sts, c *apponly.Client) // after the night
		kind       apponly.Kind                    // of the error of the morning's call, "" if it has a token
		requests   int                             // of it
		claims     string
	}{
		"a secret file is missing": {12 * time.Hour, secretFile, nil, "", 1, ""},
		"for nearly a day":         {23 * time.Hour, secretFile, nil, "", 1, ""},
		"a certificate file is":    {12 * time.Hour, certificateFile, nil, "", 1, ""},
		"no longer than a day":     {26 * time.Hour, secretFile, nil, apponly.ErrCredentialUnavailable, 0, ""},
		"a server's word":          {12 * time.Hour, secret, asked(throttled, 1), apponly.ErrThrottled, 0, ""},
		"a refusal":                {12 * time.Hour, secret, asked(refused, 12), apponly.ErrAppNotFound, 0, ""},
		"a server's word to a bypass": {12 * time.Hour, secret, func(s *sts, c *apponly.Client) {
			s.setFault(throttled)
			c.TokenFor(context.Background(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: someClaims})
		}, apponly.ErrThrottled, 0, someClaims},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(time.Hour)
				cred, gone := tc.credential(t, s)
				o := s.options()
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, o)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
				others := func() {
					for i := range 100 {
						other := apponly.NewFake("t", o.Cache, func(context.Context, string, string) (string, time.Duration, error) { return "t", time.Minute, nil }, nil)
						mustToken(t, other, fmt.Sprintf("api://%d/.default", i))
					}
				}
				if tc.disturb == nil {
					time.Sleep(time.Hour + time.Minute)
					others()
					time.Sleep(tc.night - time.Hour)
					others()
				} else {
					time.Sleep(tc.night)
					tc.disturb(s, c)
					others()
				}
				gone()
				before := s.requests()
				_, err = c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Claims: tc.claims})
				if tc.kind != "" {
					wantKind(t, err, tc.kind)
				} else if err != nil {
					t.Error(err)
				}
				if n := s.requests() - before; n != tc.requests {
					t.Errorf("%d requests, want %d", n, tc.requests)
				}
			})
		})
	}
}

func secret(_ *testing.T, s *sts) (apponly.Credential, func()) {
	return apponly.Secret(s.Secret()), func() {}
}

func secretFile(t *testing.T, s *sts) (apponly.Credential, func()) {
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, s.Secret())
	return apponly.SecretFile(path), func() { os.Remove(path) }
}

func certificateFile(t *testing.T, s *sts) (apponly.Credential, func()) {
	path := filepath.Join(t.TempDir(), "client.pem")
	write(t, path, string(s.Certificate().PEM()))
	return apponly.CertificateFile(path, nil), func() { os.Remove(path) }
}

// asked has Entra answer n calls so, each after the pause that the one before it has
// brought.
func asked(answer func(*http.Request) (*http.Response, error), n int) func(*sts, *apponly.Client) {
	return func(s *sts, c *apponly.Client) {
		s.setFault(answer)
		for i := range n {
			if i > 0 {
				time.Sleep(5 * time.Minute)
			}
			c.Token(context.Background(), s.API().Scope())
		}
	}
}
