// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"software.sslmate.com/src/go-pkcs12"
)

// certificateFor issues a certificate for a key, signed by itself.
func certificateFor(t testing.TB, key *rsa.PrivateKey, name string, notBefore, notAfter time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(notBefore.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: notBefore, NotAfter: notAfter}
	return signed(t, template, template, key, key)
}

// signed issues a certificate that Go need not accept.
func signed(t testing.TB, template, parent *x509.Certificate, key, by *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// waysIn are the credentials that take several certificates of one key.
var waysIn = map[string]func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential{
	"Certificate": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		return apponly.Certificate(chain, key, nil)
	},
	"CertificateSigner": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		return apponly.CertificateSigner(chain, func(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return key.Sign(rand.Reader, digest, opts)
		}, nil)
	},
	"CertificateFunc": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		cert := &tls.Certificate{PrivateKey: key}
		for _, c := range chain {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		return apponly.CertificateFunc(func(context.Context) (*tls.Certificate, error) { return cert, nil }, nil)
	},
	"one file": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		content := pkcs8(t, key)
		for _, c := range chain {
			content = append(content, certPEM(c)...)
		}
		return apponly.CertificateFile(writeFile(t, filepath.Join(t.TempDir(), "c.pem"), content), nil)
	},
	"two files": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		dir := t.TempDir()
		var content []byte
		for _, c := range chain {
			content = append(content, certPEM(c)...)
		}
		return apponly.CertificateFile(writeFile(t, filepath.Join(dir, "tls.crt"), content),
			&apponly.CertificateFileOptions{KeyFile: writeFile(t, filepath.Join(dir, "tls.key"), pkcs8(t, key))})
	},
	"PKCS#12": func(t *testing.T, key *rsa.PrivateKey, chain []*x509.Certificate) apponly.Credential {
		content, err := pkcs12.Modern2023.Encode(key, chain[0], chain[1:], "password")
		if err != nil {
			t.Fatal(err)
		}
		return apponly.CertificateFile(writeFile(t, filepath.Join(t.TempDir(), "c.p12"), content), &apponly.CertificateFileOptions{Password: "password"})
	},
}

// A renewal that keeps the key is appended to the file of the certificate it will
// replace, long before it is valid or registered, or stays there when it is over.
func TestCertificatesOfOneKey(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		dates      [][2]time.Duration // from now
		registered []int
	}{
		"not valid yet":             {[][2]time.Duration{{-300 * day, 60 * day}, {30 * day, 400 * day}}, []int{0}},
		"valid later, and the last": {[][2]time.Duration{{-300 * day, 5 * time.Hour}, {4 * time.Hour, 400 * day}}, []int{0, 1}},
		"not registered yet":        {[][2]time.Duration{{-300 * day, 60 * day}, {-day, 364 * day}}, []int{0}},
		"ends sooner, newer":        {[][2]time.Duration{{-300 * day, 400 * day}, {-day, 90 * day}}, []int{1}},
		"expired beside":            {[][2]time.Duration{{-800 * day, -60 * day}, {-day, 364 * day}}, []int{1}},
		"four, the oldest known":    {[][2]time.Duration{{-40 * day, 60 * day}, {-30 * day, 70 * day}, {-20 * day, 80 * day}, {-10 * day, 90 * day}}, []int{0}},
	} {
		for way, with := range waysIn {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSTS(t)
					key := s.Certificate().Key
					s.App().RemoveCertificate(s.Certificate().Leaf)
					var chain []*x509.Certificate
					for i, d := range test.dates {
						chain = append(chain, certificateFor(t, key, fmt.Sprint("renewal ", i), time.Now().Add(d[0]), time.Now().Add(d[1])))
						if slices.Contains(test.registered, i) {
							s.App().AddCertificate(chain[i])
						}
					}
					reversed := slices.Clone(chain)
					slices.Reverse(reversed)
					clients := []*apponly.Client{s.with(t, with(t, key, chain)), s.with(t, with(t, key, reversed))}
					failed := 0
					for range 12 * 60 {
						for _, c := range clients {
							if _, err := c.Token(t.Context(), s.API().Scope()); err != nil {
								if failed++; failed == 1 {
									t.Errorf("%+v", err)
								}
							}
						}
						time.Sleep(time.Minute)
					}
					if failed > 0 {
						t.Errorf("%d of %d calls failed", failed, 2*12*60)
					}
				})
			})
		}
	}
}

// A certificate that Entra refuses is named in the error, its details and the log.
func TestRefusedCertificateIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key := s.Certificate().Key
		now := time.Now()
		newer, older := certificateFor(t, key, "newer", now.Add(-time.Hour), now.Add(time.Hour)), certificateFor(t, key, "older", now.Add(-2*time.Hour), now.Add(time.Hour))
		var log bytes.Buffer
		opts := s.options()
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(certs(older, newer), key, nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		synctest.Wait()
		sum1, sum256 := sha1.Sum(newer.Raw), sha256.Sum256(newer.Raw)
		short, long := strings.ToUpper(hex.EncodeToString(sum1[:])), strings.ToUpper(hex.EncodeToString(sum256[:]))
		wantKind(t, err, apponly.ErrCertificateInvalid, short)
		for where, text := range map[string]string{"%+v": fmt.Sprintf("%+v", err), "the log": log.String()} {
			if !strings.Contains(text, short) || !strings.Contains(text, long) {
				t.Errorf("%s does not name the thumbprints: %s", where, text)
			}
		}
		if e := asError(t, err); e.Thumbprint != short || e.ThumbprintSHA256 != long {
			t.Errorf("fields: %s, %s", e.Thumbprint, e.ThumbprintSHA256)
		}
		if n := s.requests(); n != 2 {
			t.Errorf("%d requests with two certificates", n)
		}
	})
}

// A file to which the registered certificate was added after the refusal of the
// other brings a token in the same flight.
func TestCertificateAddedUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key := s.Certificate().Key
		now := time.Now()
		newer := certificateFor(t, key, "newer", now.Add(-time.Hour), now.Add(time.Hour))
		path := writeFile(t, filepath.Join(t.TempDir(), "c.pem"), append(pkcs8(t, key), certPEM(newer)...))
		c := s.with(t, apponly.CertificateFile(path, nil))
		s.setDelay(time.Second)
		done := newErrChan()
		go func() {
			_, err := c.Token(t.Context(), s.API().Scope())
			done <- err
		}()
		time.Sleep(time.Second / 2)
		older := certificateFor(t, key, "older", now.Add(-2*time.Hour), now.Add(time.Hour))
		s.App().AddCertificate(older)
		writeFile(t, path, append(append(pkcs8(t, key), certPEM(newer)...), certPEM(older)...))
		if err := <-done; err != nil {
			t.Errorf("%+v", err)
		}
	})
}

// Of a chain all is sent that belongs to it by name and key identifier, whether Go
// accepts the links or not, and what is left out is told of.
func TestX5CIsWhole(t *testing.T) {
	keys := make([]*rsa.PrivateKey, 3)
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	type change = func(leaf, middle *x509.Certificate)
	for name, test := range map[string]struct {
		change  change
		sent    int
		stray   bool
		twoCAs  bool
		leftOut string
	}{
		"as it should be":      {func(_, _ *x509.Certificate) {}, 2, false, false, ""},
		"no CA flag":           {func(_, middle *x509.Certificate) { middle.IsCA = false }, 2, false, false, ""},
		"no basic constraints": {func(_, middle *x509.Certificate) { middle.BasicConstraintsValid = false }, 2, false, false, ""},
		"no right to sign":     {func(_, middle *x509.Certificate) { middle.KeyUsage = x509.KeyUsageDigitalSignature }, 2, false, false, ""},
		"version 1": {func(_, middle *x509.Certificate) {
			middle.SubjectKeyId = nil
			middle.IsCA = false
			middle.BasicConstraintsValid = false
		}, 2, false, false, ""},
		"signed with SHA-1":     {func(leaf, _ *x509.Certificate) { leaf.Extensions = nil }, 2, false, false, ""},
		"of two of one name":    {func(_, _ *x509.Certificate) {}, 2, false, true, "middle"},
		"something else beside": {func(_, _ *x509.Certificate) {}, 2, true, false, "stranger"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				now := time.Now()
				template := func(cn string, ca bool) *x509.Certificate {
					c := &x509.Certificate{
						SerialNumber: big.NewInt(int64(len(cn))), Subject: pkix.Name{CommonName: cn}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
						IsCA: ca, BasicConstraintsValid: ca,
					}
					if ca {
						c.KeyUsage = x509.KeyUsageCertSign
					}
					return c
				}
				root, middle, leaf := template("root", true), template("middle", true), template("leaf", false)
				test.change(leaf, middle)
				rootCert := signed(t, root, root, keys[0], keys[0])
				middleCert := signed(t, middle, rootCert, keys[1], keys[0])
				parent := *middleCert
				parent.IsCA, parent.BasicConstraintsValid = true, true
				leafCert := signed(t, leaf, &parent, keys[2], keys[1])
				if name == "signed with SHA-1" {
					// Its signature is one that Go does not verify.
					leafCert.SignatureAlgorithm = x509.SHA1WithRSA
				}
				chain := certs(rootCert, middleCert, leafCert)
				if test.twoCAs {
					other := template("middle", true)
					other.SerialNumber = big.NewInt(99)
					chain = append(certs(signed(t, other, rootCert, s.Certificate().Key, keys[0])), chain...)
				}
				if test.stray {
					chain = append(chain, signed(t, template("stranger", true), rootCert, s.Certificate().Key, keys[0]))
				}
				s.App().AddCertificate(leafCert)
				sent := assertions(t, s)
				var told []string
				opts := s.options()
				opts.OnEvent = func(_ context.Context, ev apponly.Event) {
					if ev.Kind == apponly.EventChainIncomplete {
						told = append(told, ev.Err.Error())
					}
				}
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(chain, keys[2], &apponly.CertificateOptions{SendX5C: true}), opts)
				if err != nil {
					t.Fatal(err)
				}
				for range 3 { // told of once
					force(t, c, s.API().Scope())
					time.Sleep(time.Minute)
				}
				if got := (*sent)[0].header.X5C; len(got) != test.sent {
					t.Errorf("x5c has %d certificates, want %d", len(got), test.sent)
				}
				if want := test.leftOut != ""; len(told) != 1 && want || len(told) > 0 && (!want || !strings.Contains(told[0], test.leftOut)) {
					t.Errorf("told %q, want %q", told, test.leftOut)
				}
			})
		})
	}
}

// Each certificate is told of once, however many there are of the key and whichever of
// them is taken.
func TestChainIsToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key, now := s.Certificate().Key, time.Now()
		strange, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: now, NotAfter: now.Add(time.Hour)}
		stranger := signed(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: now, NotAfter: now.Add(time.Hour)}, ca, strange, strange)
		older := certificateFor(t, key, "older", now.Add(-2*time.Hour), now.AddDate(1, 0, 0))
		s.App().AddCertificate(older)
		chain := certs(certificateFor(t, key, "newer", now.Add(-time.Hour), now.AddDate(1, 0, 0)), older, stranger)
		opts := s.options()
		told := counting(opts, apponly.EventChainIncomplete)
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Certificate(chain, key, &apponly.CertificateOptions{SendX5C: true}), opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			force(t, c, s.API().Scope())
			time.Sleep(time.Minute)
		}
		if n := told.Load(); n != 2 {
			t.Errorf("told %d times of the chains of two certificates", n)
		}
	})
}
