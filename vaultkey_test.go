// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// A vaultKey signs far away, which takes a second, and a token that goes the same way
// as the one that is being asked for.
type vaultKey struct {
	*apponly.Client
	scope     string
	key       crypto.Signer
	now, most atomic.Int64
}

func (k *vaultKey) sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.most.Store(max(k.most.Load(), k.now.Add(1)))
	defer k.now.Add(-1)
	time.Sleep(time.Second)
	if _, err := k.Token(ctx, k.scope); err != nil {
		return nil, err
	}
	return k.key.Sign(rand.Reader, digest, opts)
}

func (k *vaultKey) Public() crypto.PublicKey { return k.key.Public() }

func (k *vaultKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.sign(context.Background(), digest, opts)
}

// A key in a vault that wants a token itself, by the same HTTP client: more tenants than
// there are turns must not wait for what waits behind them.
func TestKeyThatNeedsAToken(t *testing.T) {
	for name, with := range map[string]func(*vaultKey, *sts) apponly.Credential{
		"a sign function": func(k *vaultKey, s *sts) apponly.Credential {
			return apponly.CertificateSigner(certs(s.Certificate().Leaf), k.sign, nil)
		},
		"a signer": func(k *vaultKey, s *sts) apponly.Credential {
			return apponly.Certificate(certs(s.Certificate().Leaf), k, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSTS(t)
				s.setDelay(100 * time.Millisecond)
				k := &vaultKey{Client: s.client(t), scope: s.API().Scope(), key: s.Certificate().Key}
				c, ids := s.manyTenants(t, with(k, s), 350)
				began := time.Now()
				done := make(chan error)
				for _, id := range ids {
					go func() {
						_, err := tokenIn(t, c, id, s.API().Scope())
						done <- err
					}()
				}
				failed := 0
				for range ids {
					if err := <-done; err != nil {
						if failed++; failed == 1 {
							t.Errorf("%+v", err)
						}
					}
				}
				if took := time.Since(began); failed > 0 || took > 10*time.Second {
					t.Errorf("%d of %d failed, in %v", failed, len(ids), took)
				}
				if most := k.most.Load(); most > 100 {
					t.Errorf("the key was asked for %d signatures at once", most)
				}
			})
		})
	}
}
