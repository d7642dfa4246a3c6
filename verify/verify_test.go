// SPDX-License-Identifier: MIT

package verify_test

import (
	"fmt"
	"log/slog"
	"strings"
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

func TestCaller(t *testing.T) {
	k := newSigner("k1")
	v := open(t, serveKeys(k.entry()), []verify.Rule{{Tenant: tenant, Client: daemon}}, verify.Options{})
	for acr, want := range map[string]verify.ClientAuth{"1": verify.ClientAuthSecret, "2": verify.ClientAuthCertificate, "3": verify.ClientAuthUnknown, "": verify.ClientAuthUnknown} {
		for version, token := range map[string]string{"v2": k.token(claims(fields{"azpacr": acr, "idtyp": "app"})), "v1": k.token(claimsV1(fields{"appidacr": acr, "idtyp": "app"}))} {
			if c, err := v.Verify(t.Context(), token); err != nil || c.ClientAuth != want || (c.ClientAuth.String() == "unknown") != (want == verify.ClientAuthUnknown) {
				t.Errorf("%s, acr %q: %v, %v, want %v", version, acr, c, err, want)
			}
		}
	}
	token := k.token(claims(fields{"roles": []string{"", "A"}, "uti": "line\nbreak"}))
	c, err := v.Verify(t.Context(), token)
	if err != nil || c.HasRole("") || !c.HasRole("A") {
		t.Fatalf("%v, %v", c, err)
	}
	c.Roles()[1] = "B"
	if c.HasRole("B") {
		t.Error("the roles are not a copy")
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("in", "caller", c)
	for name, text := range map[string]string{"slog": log.String(), "%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", *c), "verifier": fmt.Sprintf("%+v %#v", v, *v)} {
		if strings.Contains(text, token[:20]) || strings.Contains(text, token[len(token)-20:]) || name != "verifier" && !strings.Contains(text, daemon) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%q is not one line", log.String())
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
