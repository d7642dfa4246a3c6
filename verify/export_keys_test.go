// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"crypto/rsa"

	"github.com/apponly/apponly/internal/clock"
)

// ParseKeys returns what a key document of the public cloud has: how many names, and
// the keys that can be used.
func ParseKeys(b []byte) (names int, usable []*rsa.PublicKey, err error) {
	keys, _, err := parseKeys(b, "microsoftonline.com")
	for _, k := range keys {
		names++
		if k.usable() {
			usable = append(usable, k.pub)
		}
		k.isFor(issuerForm{host + "/", "/v2.0"}, tenantOfTests) // must not panic
	}
	return names, usable, err
}

const (
	host          = "https://login.microsoftonline.com"
	tenantOfTests = "11111111-1111-4111-8111-111111111111"
)

// A Memory is one alone, of tokens that nobody has verified.
type Memory struct{ m *memory }

// NewMemory returns one for n tokens.
func NewMemory(n int) Memory { return Memory{newMemory(n)} }

// Add remembers a token.
func (m Memory) Add(token string, expires int64) {
	_, hash := m.m.find(token)
	m.m.add(hash, token, &authentication{expires: expires})
}

// Has reports whether a token is remembered.
func (m Memory) Has(token string) bool {
	a, _ := m.m.find(token)
	return a != nil
}

// Len returns how many tokens are remembered.
func (m Memory) Len() int {
	n := 0
	for i := range m.m.buckets {
		for j := range m.m.buckets[i] {
			if m.m.buckets[i][j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// Remembers reports whether v has remembered a token.
func (v *Verifier) Remembers(token string) bool { return Memory{v.memory}.Has(token) }

// Find looks for a key in the first document, as the first check of a token does.
func (v *Verifier) Find(ctx context.Context, kid string) error {
	if _, err := v.documents[0].find(ctx, clock.Now(), kid); err != nil {
		return err
	}
	return nil
}
