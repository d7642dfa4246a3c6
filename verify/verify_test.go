// SPDX-License-Identifier: MIT

package verify_test

import (
	"testing"

	"github.com/apponly/apponly/verify"
)

func TestVerify(t *testing.T) {
	k := newSigner("k1")
	s := serveKeys(k.entry())
	v := open(t, s, byRole, verify.Options{})
	for name, token := range map[string]string{"v2": k.token(claims(nil)), "v1": k.token(claimsV1(nil))} {
		for range 2 {
			c, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.TenantID != tenant || c.ClientID != daemon || c.ObjectID != object || c.Subject != object || c.TokenID != "token-id" ||
				c.ClientAuth != verify.ClientAuthSecret || !c.HasRole("Orders.Write") || c.HasRole("Orders") || c.HasRole("") || c.CanAnswerChallenge() {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	if n := s.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := newSigner("k1")
	v := open(b, serveKeys(k.entry()), byRole, verify.Options{Remember: -1})
	token := k.token(claims(nil))
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyAgain(b *testing.B) {
	k := newSigner("k1")
	v := open(b, serveKeys(k.entry()), byRole, verify.Options{})
	token := k.token(claims(nil))
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
