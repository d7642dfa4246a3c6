// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// What stands in for material that was refused may meet an outage. That is the answer
// then: what else there is need not be sent, the server's word counts, and nobody is
// told that the secret is wrong while the one that works could not be tried.
func TestOutageOfAStandIn(t *testing.T) {
	for name, test := range map[string]struct {
		rotating func(t *testing.T, s *sts) (cred apponly.Credential, rotate func() (mark string))
		code     string
	}{
		"a secret": {func(t *testing.T, s *sts) (apponly.Credential, func() string) {
			path := filepath.Join(t.TempDir(), "secret")
			write(t, path, s.Secret())
			return apponly.SecretFile(path), func() string { write(t, path, "brand-new"); return "brand-new" }
		}, "7000215"},
		"certificates of one key": {func(t *testing.T, s *sts) (apponly.Credential, func() string) {
			key, now := s.Certificate().Key, time.Now()
			path, content, newest := filepath.Join(t.TempDir(), "c.pem"), pkcs8(t, key), ""
			for i := range 5 {
				c := certificateFor(t, key, "one of them", now.Add(time.Duration(i-10)*time.Hour), now.AddDate(1, 0, 0))
				content = append(content, certPEM(c)...)
				newest = thumbprintOf(&entratest.Certificate{Leaf: c})
				if i == 0 {
					s.App().AddCertificate(c)
					writeFile(t, path, content)
				}
			}
			return apponly.CertificateFile(path, nil), func() string { writeFile(t, path, content); return newest }
		}, "700027"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				cred, rotate := test.rotating(t, s)
				c := s.with(t, cred)
				mustToken(t, c, s.API().Scope())
				time.Sleep(2 * time.Hour)
				mark := rotate()
				standIns := func(answer func(*http.Request) (*http.Response, error)) {
					s.setFault(func(r *http.Request) (*http.Response, error) {
						if strings.Contains(sentIn(r), mark) {
							return status(401, `{"error":"invalid_client","error_codes":[`+test.code+`]}`)(r)
						}
						return answer(r)
					})
				}
				standIns(status(429, `{"error":"temporarily_unavailable"}`, "Retry-After", "600"))
				before := s.requests()
				for range 20 {
					_, err := c.Token(t.Context(), s.API().Scope())
					wantKind(t, err, apponly.ErrThrottled)
					time.Sleep(20 * time.Second)
				}
				if n := s.requests() - before; n != 2 {
					t.Errorf("%d requests in the ten minutes that Entra asked to wait, want 2", n)
				}
				// So may an administrator's mistake that any material would meet.
				standIns(status(400, `{"error":"invalid_resource","error_codes":[500011]}`))
				wantKind(t, tryForce(t, c, s.API().Scope()), apponly.ErrResourceNotFound)
				standIns(func(*http.Request) (*http.Response, error) { return nil, nil })
				time.Sleep(5 * time.Minute)
				mustToken(t, c, s.API().Scope())
			})
		})
	}
}
