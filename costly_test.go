// SPDX-License-Identifier: MIT

package apponly_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// A key that costs a second to open, or 16 MiB, is opened once: for all tenants, for
// clients that are built anew for each job, and if the password is wrong, too.
func TestCostlyKeyIsOpenedOnce(t *testing.T) {
	const tenants, pw = 60, "corpus-password"
	costly := func(key, password string) apponly.Credential {
		return apponly.CertificateFile(corpus("cert.pem"), &apponly.CertificateFileOptions{KeyFile: corpus(key), Password: password})
	}
	for _, test := range []struct {
		name, key, password string
		works, rebuilt      bool
	}{
		{"PBKDF2 of 5,000,000", "pbes2-not-too-many-iterations.pem", pw, true, false},
		{"with the wrong password", "pbes2-not-too-many-iterations.pem", "another", false, false},
		{"a client per job", "pbes2-not-too-many-iterations.pem", pw, true, true},
		{"scrypt", "pbes2-aes256-scrypt.pem", pw, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if raceEnabled && test.key != "pbes2-aes256-scrypt.pem" {
				t.Skip("the race detector makes a second of work many: run without -race")
			}
			s := newSTS(t)
			s.App().AddCertificate(corpusCert(t, "cert.pem"))
			cred := costly(test.key, test.password)
			_, ids := s.manyTenants(t, cred, tenants)
			opts := s.options() // with the cache that all share
			opts.AllowedTenants = []string{"*"}
			client := func(cred apponly.Credential) *apponly.Client {
				c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), cred, opts)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := client(cred)
			began := time.Now()
			if _, err := tokenIn(t, c, ids[0], s.API().Scope()); (err == nil) != test.works {
				t.Fatalf("%+v", err)
			}
			once := time.Since(began)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began = time.Now()
			var wg sync.WaitGroup
			var failed atomic.Int64
			for _, id := range ids[1:] {
				wg.Go(func() {
					asks := c
					if test.rebuilt {
						asks = client(costly(test.key, test.password))
					}
					if _, err := tokenIn(t, asks, id, s.API().Scope()); (err == nil) != test.works && failed.Add(1) == 1 {
						t.Errorf("%+v", err)
					}
				})
			}
			wg.Wait()
			runtime.ReadMemStats(&after)
			if n := failed.Load(); n > 0 {
				t.Errorf("%d of %d tenants have not got what they should", n, tenants-1)
			}
			t.Logf("the first took %v, %d more %v, %d MiB", once, tenants-1, time.Since(began), (after.TotalAlloc-before.TotalAlloc)>>20)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%d more tenants took %v, the first %v", tenants-1, took, once)
			}
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 100 {
				t.Errorf("%d MiB for %d tenants", n, tenants-1)
			}
		})
	}
}

// tokenIn asks for a token of one tenant.
func tokenIn(t *testing.T, c *apponly.Client, tenant, scope string) (apponly.Token, error) {
	v, err := c.Tenant(tenant)
	if err != nil {
		return apponly.Token{}, err
	}
	return v.Token(t.Context(), scope)
}
