// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// While Entra's replicas disagree about a new credential, some know it and some do
// not, and which one is asked is chance. What is replaced stands in all that time,
// whatever one of them has said.
func TestReplicasThatDisagree(t *testing.T) {
	t.Parallel()
	type rotated struct {
		// replace puts new material in place, and returns the text of a request by
		// which it is known.
		replace func() (mark string)
		cred    apponly.Credential
	}
	secret := func(s *sts) string { return s.App().NewSecret(time.Now().AddDate(1, 0, 0)) }
	secretFile := func(t *testing.T, s *sts) rotated {
		path := filepath.Join(t.TempDir(), "secret")
		return rotated{func() string {
			v := secret(s)
			write(t, path, v)
			return v
		}, apponly.SecretFile(path)}
	}
	for name, test := range map[string]struct {
		make      func(t *testing.T, s *sts) rotated
		rotations int
	}{
		"secret file":        {secretFile, 1},
		"secret file, twice": {secretFile, 2},
		"secret function": {func(t *testing.T, s *sts) rotated {
			v := ""
			return rotated{func() string { v = secret(s); return v }, apponly.SecretFunc(func(context.Context) (string, error) { return v, nil })}
		}, 1},
		"certificate file": {func(t *testing.T, s *sts) rotated {
			path := filepath.Join(t.TempDir(), "c.pem")
			return rotated{func() string {
				cert := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
				writeFile(t, path, cert.PEM())
				return thumbprintOf(cert)
			}, apponly.CertificateFile(path, nil)}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(5 * time.Minute)
				r := test.make(t, s)
				r.replace()
				c, tenants := s.manyTenants(t, r.cred, 20)
				failed, calls := 0, 0
				ask := func() {
					for _, id := range tenants {
						v, err := c.Tenant(id)
						if err == nil {
							_, err = v.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
						}
						calls++
						if err != nil {
							if failed++; failed == 1 {
								t.Errorf("%+v", err)
							}
						}
					}
				}
				ask()
				for range test.rotations {
					mark, spread := r.replace(), time.Now().Add(10*time.Minute)
					s.setFault(func(req *http.Request) (*http.Response, error) {
						if time.Now().Before(spread) && strings.Contains(sentIn(req), mark) && rand.IntN(2) == 0 {
							return status(401, `{"error":"invalid_client","error_codes":[7000215]}`)(req)
						}
						return nil, nil
					})
					for range 40 {
						time.Sleep(15 * time.Second)
						ask()
					}
				}
				if failed > 0 {
					t.Errorf("%d of %d calls failed", failed, calls)
				}
			})
		})
	}
}

// sentIn returns the secret in a request, or the header of its assertion.
func sentIn(r *http.Request) string {
	form := formOf(r)
	header, _, _ := strings.Cut(form.Get("client_assertion"), ".")
	b, _ := base64.RawURLEncoding.DecodeString(header)
	return form.Get("client_secret") + string(b)
}

func thumbprintOf(cert *entratest.Certificate) string {
	sum := sha256.Sum256(cert.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// The quarter of an hour counts from when the new material was first sent, taken
// or not.
func TestPreviousStandsInForAQuarterOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, s.Secret())
		c := s.with(t, apponly.SecretFile(path))
		scope := s.API().Scope()
		force(t, c, scope)
		next := s.App().NewSecret(time.Now().AddDate(1, 0, 0))
		write(t, path, next)
		time.Sleep(time.Minute)
		force(t, c, scope) // taken
		s.App().RemoveSecret(next)
		time.Sleep(13 * time.Minute)
		force(t, c, scope)
		time.Sleep(3 * time.Minute)
		wantKind(t, tryForce(t, c, scope), apponly.ErrSecretInvalid)
	})
}

// Certificates of one key that one replica takes and the next one does not: each is
// told of when it is first taken, and its end a few times at most.
func TestReplicasThatDisagreeTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key, now := s.Certificate().Key, time.Now()
		newer, older := certificateFor(t, key, "newer", now.Add(-time.Hour), now.AddDate(1, 0, 0)), certificateFor(t, key, "older", now.Add(-2*time.Hour), now.AddDate(0, 0, 20))
		s.App().AddCertificate(older)
		s.App().AddCertificate(newer)
		n := 0
		s.setFault(func(req *http.Request) (*http.Response, error) {
			if !strings.Contains(sentIn(req), thumbprintOf(&entratest.Certificate{Leaf: newer})) {
				return nil, nil
			}
			if n++; n%2 == 1 {
				return status(401, `{"error":"invalid_client","error_codes":[700027]}`)(req)
			}
			return nil, nil
		})
		told := map[apponly.EventKind]int{}
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) { told[ev.Kind]++ }
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(certs(older, newer), key, nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			force(t, c, s.API().Scope())
			time.Sleep(15 * time.Second)
		}
		if changed, expiring := told[apponly.EventCredentialChanged], told[apponly.EventCredentialExpiring]; changed != 1 || expiring < 1 || expiring > 2 {
			t.Errorf("told %d times that the credential changed and %d times that it ends, want 1, and 1 or 2", changed, expiring)
		}
	})
}
