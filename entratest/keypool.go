// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// An RSA key takes longer to find than everything else a test does, so the
// whole process shares a few, made when first needed. Purposes do not share a
// key: an assertion of an app must never verify as one of an issuer.
var (
	// Three, because two are published: what signs after two rollovers is not
	// the key that was retired by the second.
	signingKeys = newKeyPool(3)
	issuerPool  = newKeyPool(2)
	appPool     = newKeyPool(3)
)

// keyPool hands out keys in turn: two handed out in a row always differ, which
// is what a test of a rotation needs.
type keyPool []func() *rsa.PrivateKey

func newKeyPool(n int) keyPool {
	pool := make(keyPool, n)
	for i := range pool {
		pool[i] = sync.OnceValue(func() *rsa.PrivateKey {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil { // the random source does not fail
				panic(err)
			}
			return key
		})
	}
	return pool
}

func (p keyPool) get(i int) *rsa.PrivateKey { return p[i%len(p)]() }
