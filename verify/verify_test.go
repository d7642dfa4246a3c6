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
	for name, text := range map[string]string{"slog": log.String(), "%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", *c), "verifier": fmt.Sprintf("%+v %#v", v, v)} {
		if strings.Contains(text, token[:20]) || strings.Contains(text, token[len(token)-20:]) || name != "verifier" && !strings.Contains(text, daemon) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%q is not one line", log.String())
	}
}

// TestReasons: what was found and what was wanted is told where Entra has signed it,
// as that is what people correct.
func TestReasons(t *testing.T) {
	k := newSigner("k1")
	for name, c := range map[string]struct {
		token string
		opts  verify.Options
		want  string
	}{
		"v1":               {k.token(claimsV1(nil)), verify.Options{RefuseV1: true}, "it is a v1.0 token, and those are refused; tenant " + tenant + ", client " + daemon},
		"version":          {k.token(claims(fields{"ver": "3.0"})), verify.Options{}, "neither 1.0 nor 2.0"},
		"issuer":           {k.token(claims(fields{"iss": "https://evil.example"})), verify.Options{}, `it is "https://evil.example", want ` + host + "/" + tenant + "/v2.0"},
		"audience":         {k.token(claims(fields{"aud": "00000003-0000-0000-c000-000000000000"})), verify.Options{}, `it is for "00000003-0000-0000-c000-000000000000", want ` + api},
		"odd audience":     {k.token(claims(fields{"aud": "a\nb" + strings.Repeat("x", 1000)})), verify.Options{}, `it is for "a bx`},
		"key":              {newSigner("k2").named("consumers").token(claims(nil)), verify.Options{}, "the key that signed it is that of another issuer"},
		"client":           {k.token(claims(fields{"azp": nil})), verify.Options{}, "which app it was issued to; tenant " + tenant},
		"exp":              {k.token(claims(fields{"exp": nil})), verify.Options{}, "it has no exp"},
		"lifetime":         {k.token(claims(fields{"exp": int64(99999999999)})), verify.Options{}, "more than 48 hours"},
		"not allowed":      {k.token(claims(fields{"roles": nil})), verify.Options{}, "no rule lets the app in; tenant " + tenant + ", client " + daemon},
		"size":             {sized(k, verify.MaxToken+1), verify.Options{}, "larger than 16 KiB"},
		"not read as JSON": {k.sign(k.header(), "{"), verify.Options{}, "payload: not one JSON object"},
		"twice":            {k.inserted(`"tid":"x",`, nil), verify.Options{}, "payload: a member is there twice"},
		"letter case":      {k.inserted(`"TID":1,`, nil), verify.Options{}, "payload: tid is not in its letter case"},
		"type":             {k.token(claims(fields{"oid": 1})), verify.Options{}, "payload: oid is not of its type"},
		"zip":              {k.headed(fields{"zip": "DEF"}), verify.Options{}, "header: zip is not supported"},
		"cloud":            {newSigner("k2").named("government").token(claims(nil)), verify.Options{}, "another cloud"},
	} {
		_, err := setup{opts: c.opts}.open(t).Verify(t.Context(), c.token)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
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
