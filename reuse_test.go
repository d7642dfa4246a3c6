// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// The assertions that are kept for a signer cost each signature nothing that grows
// with their number: 8,000 tenants
// take eight times what 1,000 do.
func TestKeptAssertionsCostNoMoreWithTheirNumber(t *testing.T) {
	var took map[int]time.Duration
	for range 3 { // a machine that was busy meanwhile is not what is tested
		if took = signFor(t, 1000, 8000); took[8000] <= 13*took[1000] {
			return
		}
	}
	t.Errorf("1,000 tenants took %v, 8,000 %v", took[1000], took[8000])
}

// signFor returns how long the tokens of so many tenants took.
func signFor(t *testing.T, tenants ...int) map[int]time.Duration {
	took := map[int]time.Duration{}
	for _, n := range tenants {
		s := newSTS(t)
		key := s.Certificate().Key
		sig, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		s.setFault(func(r *http.Request) (*http.Response, error) {
			return status(200, `{"token_type":"Bearer","expires_in":3600,"access_token":"a.b.c"}`)(r)
		})
		opts := s.options()
		opts.AllowedTenants = []string{"*"}
		cred := apponly.CertificateSigner(chainOf(s), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return sig, nil }, nil)
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range n {
			if _, err := tokenIn(t, c, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), s.API().Scope()); err != nil {
				t.Fatal(err)
			}
		}
		took[n] = time.Since(began)
	}
	return took
}

// They are used for five minutes, for each certificate of the key by itself, and not
// after a refusal.
func TestKeptAssertionsAreOfOneCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		key, now := s.Certificate().Key, time.Now()
		newer, older := certificateFor(t, key, "newer", now.Add(-time.Hour), now.AddDate(1, 0, 0)), certificateFor(t, key, "older", now.Add(-2*time.Hour), now.AddDate(1, 0, 0))
		s.App().AddCertificate(older)
		signatures := 0
		c := s.with(t, apponly.CertificateSigner(certs(newer, older), func(_ context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
			signatures++
			return key.Sign(rand.Reader, digest, o)
		}, nil))
		for range 4 {
			force(t, c, s.API().Scope())
			time.Sleep(time.Minute)
		}
		if signatures != 5 { // the newer one is refused, and signed anew, each time
			t.Errorf("%d signatures, want 4 of the one and 1 of the other", signatures)
		}
	})
}

// Entra not being there says nothing of the assertion: a KMS is not asked again for each
// try of an outage.
func TestKeptAssertionsOutliveAnOutage(t *testing.T) {
	for name, fault := range map[string]func(*http.Request) (*http.Response, error){
		"not reached": fails(errors.New("no route")),
		"busy":        status(503, ""),
		"throttled":   status(429, `{"error":"temporarily_unavailable"}`),
		"a portal":    status(200, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setFault(fault)
				signatures := 0
				c := s.with(t, apponly.CertificateSigner(chainOf(s), func(_ context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
					signatures++
					return s.Certificate().Key.Sign(rand.Reader, digest, o)
				}, nil))
				for range 8 {
					if tryForce(t, c, s.API().Scope()) == nil {
						t.Fatal("a token in an outage")
					}
					time.Sleep(15 * time.Second)
				}
				s.setFault(nil)
				force(t, c, s.API().Scope())
				if signatures != 1 {
					t.Errorf("%d signatures in less than five minutes, want 1", signatures)
				}
			})
		})
	}
}

// What is remembered for each tenant costs no more with their number, also where there
// is no room for more.
func BenchmarkMemories(b *testing.B) {
	for _, tenants := range []int{4_000, 40_000} {
		b.Run(strconv.Itoa(tenants)+" tenants", func(b *testing.B) {
			var setAside, kept time.Duration
			for b.Loop() {
				s, k := apponly.Remember(tenants)
				setAside, kept = setAside+s, kept+k
			}
			b.ReportMetric(float64(setAside)/float64(b.N*tenants), "ns/set-aside")
			b.ReportMetric(float64(kept)/float64(b.N*tenants), "ns/assertion")
		})
	}
}
