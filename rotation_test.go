// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// A mount is a directory as Kubernetes writes it: files are symbolic links into
// ..data, which is a symbolic link to a directory that is swapped by a rename.
type mount struct {
	t   testing.TB
	dir string
	n   int
}

func newMount(t testing.TB) *mount { return &mount{t: t, dir: t.TempDir()} }

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// swap replaces all files at once.
func (m *mount) swap(files map[string]string) {
	m.t.Helper()
	m.n++
	version := fmt.Sprintf("..v%d", m.n)
	must := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(m.dir, version), 0o700))
	for name, content := range files {
		must(os.WriteFile(filepath.Join(m.dir, version, name), []byte(content), 0o600))
		if m.n == 1 {
			must(os.Symlink(filepath.Join("..data", name), m.path(name)))
		}
	}
	must(os.Symlink(version, m.path("..tmp")))
	must(os.Rename(m.path("..tmp"), m.path("..data")))
	if m.n > 1 {
		must(os.RemoveAll(filepath.Join(m.dir, fmt.Sprintf("..v%d", m.n-1))))
	}
}

// A rotating credential is one of the three kinds of files.
type rotating struct {
	name string
	cred func(*mount) apponly.Credential
	// rotate puts new material in place and returns what revokes it.
	rotate func(*sts, *mount) (revoke func())
}

var rotatingFiles = []rotating{
	{"secret file",
		func(m *mount) apponly.Credential { return apponly.SecretFile(m.path("secret")) },
		func(s *sts, m *mount) func() {
			secret := s.App().NewSecret(time.Now().AddDate(1, 0, 0))
			m.swap(map[string]string{"secret": secret})
			return func() { s.App().RemoveSecret(secret) }
		}},
	{"certificate file",
		func(m *mount) apponly.Credential {
			return apponly.CertificateFile(m.path("tls.crt"), &apponly.CertificateFileOptions{KeyFile: m.path("tls.key")})
		},
		func(s *sts, m *mount) func() {
			cert := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
			m.swap(map[string]string{"tls.crt": string(cert.CertPEM()), "tls.key": string(cert.KeyPEM())})
			return func() { s.App().RemoveCertificate(cert.Leaf) }
		}},
	{"federated token file",
		func(m *mount) apponly.Credential {
			return apponly.Federated(apponly.AssertionFile(m.path("token")))
		},
		func(s *sts, m *mount) func() {
			subject := fmt.Sprintf("system:serviceaccount:demo:worker-%d", m.n)
			fc := entratest.FederatedCredential{Issuer: s.Issuer().URL(), Subject: subject, Audience: s.Cloud().ExchangeAudience()}
			s.App().AddFederatedCredential(fc)
			m.swap(map[string]string{"token": s.Issuer().Token(entratest.Claims{Subject: fc.Subject, Audience: fc.Audience})})
			return func() { s.App().RemoveFederatedCredential(fc) }
		}},
}

// Credentials change a thousand times under load, and nobody notices.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range rotatingFiles {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetTokenLifetime(time.Minute)
				m := newMount(t)
				revoke := kind.rotate(s, m)
				c, tenants := s.manyTenants(t, kind.cred(m), 20)
				stop := make(chan struct{})
				var wg sync.WaitGroup
				var calls, failures atomic.Int64
				for i := range 50 {
					wg.Go(func() {
						for n := i; ; n++ {
							select {
							case <-stop:
								return
							case <-time.After(time.Duration(2+mathrand.IntN(6)) * time.Second):
							}
							v, err := c.Tenant(tenants[n%len(tenants)])
							if err == nil {
								_, err = v.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
							}
							calls.Add(1)
							if err != nil && failures.Add(1) < 5 {
								t.Errorf("%+v", err)
							}
						}
					})
				}
				for range rounds(1000) {
					time.Sleep(10 * time.Second)
					// A request can be on its way for longer than the overlap.
					s.setDelay(time.Duration(mathrand.Int64N(int64(3 * time.Second))))
					old := revoke
					revoke = kind.rotate(s, m)
					time.Sleep(2 * time.Second)
					old()
				}
				s.setDelay(0)
				close(stop)
				wg.Wait()
				time.Sleep(time.Minute)
				t.Logf("%d calls, %d failed, %d requests", calls.Load(), failures.Load(), s.requests())
			})
		})
	}
}

var whole = flag.Bool("whole", false, "run the longest tests whole, instead of a tenth of them")

// rounds is n with -whole, else a tenth of it.
func rounds(n int) int {
	if *whole {
		return n
	}
	return n / 10
}

// manyTenants returns a client of the demo app and tenants that have it.
func (s *sts) manyTenants(t testing.TB, cred apponly.Credential, n int) (*apponly.Client, []string) {
	t.Helper()
	opts := s.options()
	opts.AllowedTenants = []string{"*"}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
	if err != nil {
		t.Fatal(err)
	}
	tenants := []string{c.TenantID()}
	for range n - 1 {
		tenant := s.AddTenant()
		tenant.Install(s.App())
		tenant.Provide(s.API())
		tenants = append(tenants, tenant.ID())
	}
	return c, tenants
}

// IdWeb#3652: reloading on every invalid_client looped over a wrong client ID.
func TestWhatARefusalCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		m := newMount(t)
		certs := rotatingFiles[1]
		revoke := certs.rotate(s, m)
		cred := certs.cred(m)
		scope := s.API().Scope()

		wrong, err := apponly.New(s.Tenant().ID(), "00000000-0000-4000-8000-000000000009", cred, s.options())
		if err != nil {
			t.Fatal(err)
		}
		_, err = wrong.Token(t.Context(), scope)
		wantKind(t, err, apponly.ErrAppNotFound, "AADSTS700016")
		if n := s.requests(); n != 1 {
			t.Errorf("wrong client ID: %d requests, want 1", n)
		}

		c := s.with(t, cred)
		mustToken(t, c, scope)
		old := revoke
		revoke = certs.rotate(s, m)
		old()
		before := s.requests()
		force(t, c, scope)
		if n := s.requests() - before; n != 1 {
			t.Errorf("rotated between two requests: %d, want 1", n)
		}

		// Rotated while 100 callers wait for one request.
		time.Sleep(10 * time.Second)
		s.setDelay(time.Second)
		before = s.requests()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { force(t, c, scope) })
		}
		time.Sleep(500 * time.Millisecond)
		old = revoke
		certs.rotate(s, m)
		old()
		wg.Wait()
		if n := s.requests() - before; n != 2 {
			t.Errorf("rotated under way: %d requests, want 2", n)
		}

		// A certificate that is refused and has not changed is not sent again.
		s.App().RemoveCertificate(s.Certificate().Leaf)
		gone := s.with(t, apponly.Certificate(chainOf(s), s.Certificate().Key, nil))
		s.setDelay(0)
		before = s.requests()
		_, err = gone.Token(t.Context(), scope)
		wantKind(t, err, apponly.ErrCertificateInvalid, "AADSTS700027")
		if n := s.requests() - before; n != 1 {
			t.Errorf("a removed certificate: %d requests, want 1", n)
		}
	})
}

// A new secret takes seconds to minutes until all of Entra knows it.
func TestPreviousMaterialServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, s.Secret())
		c := s.with(t, apponly.SecretFile(path))
		scope := s.API().Scope()
		mustToken(t, c, scope)

		write(t, path, "deployed-before-entra-knows-it")
		for range 5 {
			time.Sleep(time.Minute)
			before := s.requests()
			force(t, c, scope)
			if n := s.requests() - before; n != 2 {
				t.Errorf("%d requests, want the new secret and the old one", n)
			}
		}
		s.App().AddSecret("deployed-before-entra-knows-it", time.Now().AddDate(1, 0, 0))
		s.App().RemoveSecret(s.Secret())
		time.Sleep(time.Minute)
		before := s.requests()
		force(t, c, scope)
		if n := s.requests() - before; n != 1 {
			t.Errorf("known at last: %d requests, want 1", n)
		}

		// One that Entra never learns of is reported after a quarter of an hour.
		write(t, path, "a-typing-error")
		time.Sleep(time.Minute)
		force(t, c, scope)
		time.Sleep(16 * time.Minute)
		_, err := c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true})
		wantKind(t, err, apponly.ErrSecretInvalid)
		// Then what it replaced stands in for nothing any more.
		os.Remove(path)
		time.Sleep(10 * time.Second)
		_, err = c.TokenFor(t.Context(), apponly.TokenRequest{Scope: scope, Force: true})
		wantKind(t, err, apponly.ErrCredentialUnavailable)
	})
}

// A rotation that was taken back and comes again begins anew.
func TestRotationTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "secret")
		c := s.with(t, apponly.SecretFile(path))
		for _, secret := range []string{s.Secret(), "not-known-yet", s.Secret(), "not-known-yet"} {
			write(t, path, secret)
			force(t, c, s.API().Scope()) // with what it replaced, if need be
			time.Sleep(20 * time.Minute)
		}
	})
}

// The successor of a certificate that has been warned of is warned of in its turn.
func TestEachCertificateIsWarnedOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "tls.pem")
		var days []int
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			if ev.Kind == apponly.EventCredentialExpiring {
				days = append(days, int(time.Until(ev.ExpiresOn).Round(24*time.Hour)/(24*time.Hour)))
			}
		}
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.CertificateFile(path, nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ends := time.Now().AddDate(0, 0, 40)
			write(t, path, string(s.App().NewCertificate(time.Now().AddDate(-1, 0, 0), ends).PEM()))
			for time.Until(ends) > 12*time.Hour {
				force(t, c, s.API().Scope())
				time.Sleep(6 * time.Hour)
			}
		}
		if fmt.Sprint(days) != "[30 7 1 30 7 1]" {
			t.Errorf("warned %v days before the end", days)
		}
	})
}

// What cannot be read keeps what worked.
func TestUnreadableFileKeepsTheOldMaterial(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"gone":   func(t *testing.T, path string) { os.Remove(path) },
		"empty":  func(t *testing.T, path string) { write(t, path, "") },
		"huge":   func(t *testing.T, path string) { write(t, path, strings.Repeat("x", 2<<20)) },
		"binary": func(t *testing.T, path string) { write(t, path, "\xff\xfe\x00\x01") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				path := filepath.Join(t.TempDir(), "secret")
				write(t, path, s.Secret())
				var told error
				opts := s.options()
				opts.OnEvent = func(_ context.Context, ev apponly.Event) {
					if ev.Kind == apponly.EventCredentialUnreadable {
						told = ev.Err
					}
				}
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.SecretFile(path), opts)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, c, s.API().Scope())
				spoil(t, path)
				time.Sleep(10 * time.Second)
				force(t, c, s.API().Scope())
				wantKind(t, told, apponly.ErrCredentialUnavailable, path)
			})
		})
	}
	t.Run("half a pair", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSTS(t)
			dir := t.TempDir()
			crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
			write(t, crt, string(s.Certificate().CertPEM()))
			write(t, key, string(s.Certificate().KeyPEM()))
			c := s.with(t, apponly.CertificateFile(crt, &apponly.CertificateFileOptions{KeyFile: key}))
			mustToken(t, c, s.API().Scope())
			next := s.App().NewCertificate(time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
			write(t, crt, string(next.CertPEM())) // and the key not yet
			time.Sleep(10 * time.Second)
			force(t, c, s.API().Scope())
			write(t, key, string(next.KeyPEM()))
			s.App().RemoveCertificate(s.Certificate().Leaf)
			time.Sleep(10 * time.Second)
			force(t, c, s.API().Scope())
		})
	})
}

func TestFirstOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		primary := s.App().NewSecret(time.Now().Add(24 * time.Hour))
		var asked [2]atomic.Int64 // requests by secret
		s.setFault(func(r *http.Request) (*http.Response, error) {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			sent, _ := io.ReadAll(body)
			switch b := string(sent); {
			case strings.Contains(b, primary):
				asked[0].Add(1)
			case strings.Contains(b, s.Secret()):
				asked[1].Add(1)
			}
			return nil, nil
		})
		c, tenants := s.manyTenants(t, apponly.FirstOf(apponly.Secret(primary), apponly.Secret(s.Secret())), 20)
		bare := s.AddTenant() // the app has no service principal here
		get := func(tenant string) error {
			v, err := c.Tenant(tenant)
			if err == nil {
				_, err = v.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
			}
			return err
		}
		for range 3 {
			wantKind(t, get(bare.ID()), apponly.ErrAppNotFound, "AADSTS7000229")
			for _, tenant := range tenants {
				if err := get(tenant); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(15 * time.Second)
		}
		if n := asked[1].Load(); n != 0 {
			t.Errorf("a tenant without the app made %d requests go to the next credential", n)
		}

		s.App().RemoveSecret(primary)
		s.App().AddSecret(primary, time.Now().Add(-time.Minute)) // it has ended
		asked[0].Store(0)
		for range 3 { // within the five minutes
			for _, tenant := range tenants {
				if err := get(tenant); err != nil {
					t.Errorf("%+v", err)
				}
			}
			time.Sleep(15 * time.Second)
		}
		if a, b := asked[0].Load(), asked[1].Load(); a != 20 || b != 60 {
			t.Errorf("after the first has ended: %d requests with it and %d with the next, want 20 and 60", a, b)
		}

		// And back, once it is good again and its time is over.
		s.App().RemoveSecret(primary)
		s.App().AddSecret(primary, time.Now().Add(24*time.Hour))
		time.Sleep(6 * time.Minute)
		asked[1].Store(0)
		if err := get(tenants[0]); err != nil || asked[1].Load() != 0 {
			t.Errorf("back to the first: %v, %d requests with the next", err, asked[1].Load())
		}
	})
}

func TestFirstOfWhatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "later")
		c := s.with(t, apponly.FirstOf(apponly.SecretFile(path), apponly.FirstOf(apponly.Secret("not-the-secret"), apponly.Secret(s.Secret()))))
		scope := s.API().Scope()
		mustToken(t, c, scope)
		if s.requests() != 2 {
			t.Errorf("%d requests, want one refused and one good", s.requests())
		}
		time.Sleep(10 * time.Second)
		force(t, c, scope)
		if s.requests() != 3 {
			t.Errorf("%d requests, want one more", s.requests())
		}
		// The file is there at last: it counts at once.
		secret := s.App().NewSecret(time.Now().AddDate(1, 0, 0))
		write(t, path, secret)
		s.App().RemoveSecret(s.Secret())
		time.Sleep(10 * time.Second)
		force(t, c, scope)

		// If none works the error is the first one's.
		_, err := s.with(t, apponly.FirstOf(apponly.Secret("not-the-secret"), apponly.SecretFile(path+".none"))).Token(t.Context(), scope)
		wantKind(t, err, apponly.ErrSecretInvalid)

		for name, cred := range map[string]apponly.Credential{
			"none":           apponly.FirstOf(),
			"nil":            apponly.FirstOf(apponly.Secret("x"), nil),
			"an empty one":   apponly.FirstOf(apponly.Secret("x"), apponly.Secret("")),
			"a nil function": apponly.SecretFunc(nil),
		} {
			if _, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, nil); !errors.Is(err, apponly.ErrCredentialMissing) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// keda#8152: one answer in fifty says that no federated credential matches.
func TestPatienceWithFederation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		c, tenants := s.manyTenants(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			return s.FederatedToken(), nil
		})), 20)
		exchange := func(tenant string) error {
			v, err := c.Tenant(tenant)
			if err == nil {
				_, err = v.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
			}
			return err
		}
		for _, tenant := range tenants {
			if err := exchange(tenant); err != nil {
				t.Fatal(err)
			}
		}
		mismatch := status(401, `{"error":"invalid_client","error_codes":[700213]}`)
		s.setFault(func(r *http.Request) (*http.Response, error) {
			if mathrand.IntN(50) == 0 {
				return mismatch(r)
			}
			return nil, nil
		})
		exchanges := rounds(10_000)
		before := s.requests()
		for range exchanges / len(tenants) {
			time.Sleep(10 * time.Second)
			for _, tenant := range tenants {
				if err := exchange(tenant); err != nil {
					t.Errorf("%+v", err)
				}
			}
		}
		if n := s.requests() - before; n < exchanges || n > exchanges*11/10 {
			t.Errorf("%d requests for %d exchanges", n, exchanges)
		}

		// On a key that has never worked it is what it says.
		s.setFault(mismatch)
		before = s.requests()
		fresh := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
			return s.FederatedToken(), nil
		})))
		_, err := fresh.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrFederationMismatch, "AADSTS700213")
		if n := s.requests() - before; n > 2 {
			t.Errorf("a mismatch from the start: %d requests", n)
		}
	})
}

// MSAL signs by the local clock alone.
func TestClockSkew(t *testing.T) {
	for _, offset := range []time.Duration{-20 * time.Minute, -4 * time.Minute, 4 * time.Minute, 20 * time.Minute} {
		t.Run(offset.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.SetClockOffset(offset)
				cert := s.App().NewCertificate(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))
				c := s.with(t, apponly.Certificate([]*x509.Certificate{cert.Leaf}, cert.Key, nil))
				scope := s.API().Scope()
				mustToken(t, c, scope)
				if n := s.requests(); n > 2 {
					t.Errorf("%d requests, want at most one refused", n)
				}
				before := s.requests()
				time.Sleep(10 * time.Second)
				force(t, c, scope)
				if n := s.requests() - before; n != 1 {
					t.Errorf("once the skew is known: %d requests, want 1", n)
				}

				// A federated assertion is judged by the corrected clock.
				f := s.with(t, apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
					issued := time.Now().Add(offset)
					return s.Issuer().Token(entratest.Claims{
						Subject: "system:serviceaccount:demo:worker", Audience: s.Cloud().ExchangeAudience(),
						NotBefore: issued, ExpiresAt: issued.Add(time.Hour),
					}), nil
				})))
				mustToken(t, f, scope)
			})
		})
	}
}

// signerOnly hides what a key is, as a smart card does.
type signerOnly struct{ crypto.Signer }

func TestEveryKindOfKey(t *testing.T) {
	t.Parallel()
	s := newSTS(t)
	scope := s.API().Scope()
	cert := s.Certificate()
	chain := chainOf(s)
	var signs atomic.Int64
	sign := func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		signs.Add(1)
		return cert.Key.Sign(rand.Reader, digest, opts)
	}
	for name, cred := range map[string]apponly.Credential{
		"rsa":    apponly.Certificate(chain, cert.Key, nil),
		"signer": apponly.Certificate(chain, signerOnly{cert.Key}, &apponly.CertificateOptions{SendX5C: true}),
		"function": apponly.CertificateFunc(func(context.Context) (*tls.Certificate, error) {
			c := cert.TLS()
			return &c, nil
		}, nil),
		"sign function": apponly.CertificateSigner(chain, sign, nil),
		"secret function": apponly.SecretFunc(func(context.Context) (string, error) {
			return s.Secret() + "\n", nil
		}),
	} {
		t.Run(name, func(t *testing.T) { mustToken(t, s.with(t, cred), scope) })
	}
	for _, bits := range []int{3072, 4096} {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				t.Fatal(err)
			}
			template := *chain[0]
			template.PublicKey = key.Public()
			der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			s.App().AddCertificate(leaf)
			mustToken(t, s.with(t, apponly.Certificate([]*x509.Certificate{leaf}, key, nil)), scope)
		})
	}
}

// A KMS is slow and counts its calls.
func TestSignFuncIsNotAskedForEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		var signs atomic.Int64
		cert := s.Certificate()
		c := s.with(t, apponly.CertificateSigner(chainOf(s), func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			signs.Add(1)
			return cert.Key.Sign(rand.Reader, digest, opts)
		}, nil))
		second := s.Tenant().NewResource("https://second.example")
		mustToken(t, c, s.API().Scope())
		mustToken(t, c, second.Scope())
		if n := signs.Load(); n != 1 {
			t.Errorf("two requests within five minutes: %d signatures, want 1", n)
		}
		time.Sleep(6 * time.Minute)
		force(t, c, s.API().Scope())
		if n := signs.Load(); n != 2 {
			t.Errorf("after six minutes: %d signatures, want 2", n)
		}
		// Never again after a refusal.
		s.setFault(status(401, `{"error":"invalid_client","error_codes":[700027]}`))
		time.Sleep(10 * time.Second)
		c.TokenFor(t.Context(), apponly.TokenRequest{Scope: s.API().Scope(), Force: true})
		s.setFault(nil)
		time.Sleep(10 * time.Second)
		force(t, c, s.API().Scope())
		if n := signs.Load(); n != 3 {
			t.Errorf("after a refusal: %d signatures, want 3", n)
		}
	})
}

func TestNewRefusesSigners(t *testing.T) {
	s := newSTS(t)
	sign := func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, io.EOF }
	for name, tc := range map[string]struct {
		cred apponly.Credential
		kind apponly.Kind
	}{
		"nil certificate function": {apponly.CertificateFunc(nil, nil), apponly.ErrCredentialMissing},
		"nil sign function":        {apponly.CertificateSigner(chainOf(s), nil, nil), apponly.ErrCertificateInvalid},
		"no chain":                 {apponly.CertificateSigner(nil, sign, nil), apponly.ErrCertificateInvalid},
		"nil in the chain":         {apponly.CertificateSigner([]*x509.Certificate{nil}, sign, nil), apponly.ErrCertificateInvalid},
	} {
		if _, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), tc.cred, nil); !errors.Is(err, tc.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, fn := range map[string]func(context.Context) (*tls.Certificate, error){
		"neither":  func(context.Context) (*tls.Certificate, error) { return nil, nil },
		"no key":   func(context.Context) (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		"an error": func(context.Context) (*tls.Certificate, error) { return nil, io.ErrClosedPipe },
		"garbage": func(context.Context) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: s.Certificate().Key}, nil
		},
		"a panic": func(context.Context) (*tls.Certificate, error) { panic("certificate function") },
	} {
		_, err := s.with(t, apponly.CertificateFunc(fn, nil)).Token(t.Context(), s.API().Scope())
		if !errors.Is(err, apponly.ErrCredentialUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCredentialEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		s.SetClockOffset(3 * time.Minute)
		dir := t.TempDir()
		path := filepath.Join(dir, "tls.pem")
		ends := time.Now().AddDate(0, 0, 40)
		use := func(cert *entratest.Certificate) { write(t, path, string(cert.PEM())) }
		use(s.App().NewCertificate(time.Now().AddDate(-1, 0, 0), ends))
		var mu sync.Mutex
		var kinds []apponly.EventKind
		var days []int
		opts := s.options()
		opts.OnEvent = func(_ context.Context, ev apponly.Event) {
			mu.Lock()
			defer mu.Unlock()
			if ev.ClientID != s.App().ClientID() || ev.TenantID == "" || ev.Scope == "" || ev.Time.IsZero() {
				t.Errorf("an event without its subject: %+v", ev)
			}
			switch ev.Kind {
			case apponly.EventTokenRequest:
				return
			case apponly.EventCredentialExpiring:
				days = append(days, int(time.Until(ev.ExpiresOn)/(24*time.Hour)))
			case apponly.EventCredentialSetAside:
				if e, ok := errors.AsType[*apponly.Error](ev.Err); !ok || e.Kind != apponly.ErrCertificateInvalid ||
					e.TenantID != ev.TenantID || e.ClientID != ev.ClientID || e.Scope != ev.Scope {
					t.Errorf("set aside for %+v", ev.Err)
				}
			case apponly.EventClockSkew:
				if (ev.Skew - 3*time.Minute).Abs() > 2*time.Second {
					t.Errorf("skew = %v, want 3 minutes", ev.Skew)
				}
			}
			kinds = append(kinds, ev.Kind)
		}
		var text bytes.Buffer
		opts.Logger = slog.New(slog.NewTextHandler(&text, nil))
		cred := apponly.FirstOf(apponly.CertificateFile(path, nil), apponly.Secret(s.Secret()))
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
		if err != nil {
			t.Fatal(err)
		}
		scope := s.API().Scope()
		for time.Until(ends) > 12*time.Hour {
			force(t, c, scope)
			time.Sleep(6 * time.Hour)
		}
		use(s.App().NewCertificate(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(2, 0, 0)))
		force(t, c, scope)
		os.Remove(path)
		time.Sleep(20 * time.Minute)
		force(t, c, scope)
		use(strangeCertificate(t, s))
		time.Sleep(20 * time.Minute)
		force(t, c, scope)
		time.Sleep(20 * time.Minute) // what it replaced has had its time
		force(t, c, scope)

		mu.Lock()
		defer mu.Unlock()
		want := []apponly.EventKind{
			apponly.EventClockSkew, apponly.EventCredentialExpiring, apponly.EventCredentialExpiring, apponly.EventCredentialExpiring,
			apponly.EventCredentialChanged, apponly.EventCredentialUnreadable, apponly.EventCredentialSetAside,
		}
		log := text.String()
		for _, line := range []string{
			`level=WARN msg="the local clock is wrong"`, "skew=", `level=WARN msg="credential expires soon"`, `level=INFO msg="credential changed"`,
			`level=WARN msg="credential cannot be read"`, `level=WARN msg="credential set aside"`,
		} {
			if !strings.Contains(log, line) {
				t.Errorf("the log lacks %s", line)
			}
		}
		if fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("events = %v, want %v", kinds, want)
		}
		if fmt.Sprint(days) != "[29 6 0]" && fmt.Sprint(days) != "[30 7 1]" {
			t.Errorf("warned %v days before the end", days)
		}
	})
}

// strangeCertificate returns a certificate that the app does not have.
func strangeCertificate(t *testing.T, s *sts) *entratest.Certificate {
	t.Helper()
	cert := s.App().NewCertificate(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))
	s.App().RemoveCertificate(cert.Leaf)
	return cert
}
