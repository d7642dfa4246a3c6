// SPDX-License-Identifier: MIT

package entratest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// addIssuerKeys registers the demo issuer's URL anew, with a document made of
// its own key and of somebody else's. Its tokens still come from s.Issuer.
func addIssuerKeys(s *entratest.Server, arrange func(own, other json.RawMessage) []json.RawMessage) {
	one := func(i *entratest.Issuer) json.RawMessage {
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(i.JWKS(), &set); err != nil {
			panic(err)
		}
		return set.Keys[0]
	}
	document, err := json.Marshal(map[string]any{"keys": arrange(one(s.Issuer()), one(s.NewIssuer("https://another.test")))})
	if err != nil {
		panic(err)
	}
	if _, err := s.AddIssuer(s.Issuer().URL(), document); err != nil {
		panic(err)
	}
}

// TestAddIssuer has the emulator meet the tokens of an issuer that it knows by
// its published keys alone.
func TestAddIssuer(t *testing.T) {
	real := entratest.New(t)
	s := entratest.New(t)
	fc := entratest.FederatedCredential{Issuer: real.Issuer().URL(), Subject: demoSubject, Audience: s.Cloud().ExchangeAudience()}
	s.App().AddFederatedCredential(fc)
	expect := func(code int, status int) {
		t.Helper()
		got := postForm(t, s, s.Tenant().ID(), assertionForm(s, real.FederatedToken()))
		if got.Status != status || status != http.StatusOK && got.Codes[0] != code {
			t.Errorf("got %d %v %s, want %d %d", got.Status, got.Codes, got.Description, status, code)
		}
	}
	expect(90061, 400)
	issuer, err := s.AddIssuer(real.Issuer().URL(), real.Issuer().JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if issuer.URL() != real.Issuer().URL() || string(issuer.JWKS()) != string(real.Issuer().JWKS()) {
		t.Errorf("issuer %s with %s", issuer.URL(), issuer.JWKS())
	}
	expect(0, 200)
	real.Issuer().Rollover()
	expect(7000272, 401)
	if _, err := s.AddIssuer(real.Issuer().URL(), real.Issuer().JWKS()); err != nil {
		t.Fatal(err)
	}
	expect(0, 200)

	// The hundredth key counts, and so does one that does not say what it is for.
	addIssuerKeys(s, func(own, other json.RawMessage) []json.RawMessage {
		keys := make([]json.RawMessage, 99, 100)
		for i := range keys {
			keys[i] = other
		}
		return append(keys, json.RawMessage(strings.Replace(string(own), `"use":"sig",`, "", 1)))
	})
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, s.FederatedToken())); got.Status != http.StatusOK {
		t.Errorf("the hundredth key: %d %s", got.Status, got.Description)
	}
}

// TestRemoveIssuer takes an issuer away, but not the one that has its place.
func TestRemoveIssuer(t *testing.T) {
	s := entratest.New(t)
	old := s.Issuer()
	next := s.NewIssuer(old.URL())
	token := func(i *entratest.Issuer) string {
		return i.Token(entratest.Claims{Subject: demoSubject, Audience: exchange(s)})
	}
	old.Remove()
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token(next))); got.Status != http.StatusOK {
		t.Errorf("the issuer in its place: %d %s", got.Status, got.Description)
	}
	next.Remove()
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token(next))); !slices.Equal(got.Codes, []int{90061}) {
		t.Errorf("removed: %d %s", got.Status, got.Description)
	}
}

// TestIssuersFollowTheClock signs and judges assertions by one clock.
func TestIssuersFollowTheClock(t *testing.T) {
	s := entratest.New(t)
	for _, offset := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		s.SetClockOffset(offset)
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, s.FederatedToken())); got.Status != http.StatusOK {
			t.Errorf("clock %v off: %d %s", offset, got.Status, got.Description)
		}
	}
}

func TestAddIssuerRefuses(t *testing.T) {
	s := entratest.New(t)
	good := string(s.Issuer().JWKS())
	for name, tt := range map[string]struct{ url, jwks, want string }{
		"no URL":        {"kubernetes", good, "https"},
		"http":          {"http://issuer.test", good, "https"},
		"not JSON":      {"https://issuer.test", "x", "JSON Web Key Set"},
		"no keys":       {"https://issuer.test", "{}", "no RSA key"},
		"null":          {"https://issuer.test", "null", "JSON Web Key Set"},
		"keys no list":  {"https://issuer.test", `{"keys":{}}`, "JSON Web Key Set"},
		"keys, shouted": {"https://issuer.test", strings.Replace(good, "keys", "KEYS", 1), "no RSA key"},
		"line break":    {"https://issuer.test", `{"keys":[{"kty":"RSA","n":"AQ\nAB","e":"AQAB"}]}`, "key 0"},
		"kid a number":  {"https://issuer.test", `{"keys":[{"kty":"RSA","kid":1,"n":"AQAB","e":"AQAB"}]}`, "key 0"},
		"an EC key":     {"https://issuer.test", `{"keys":[{"kty":"EC","kid":"1"}]}`, "no RSA key"},
		"modulus":       {"https://issuer.test", `{"keys":[{"kty":"RSA","n":"*","e":"AQAB"}]}`, "key 0"},
		"exponent":      {"https://issuer.test", `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB*"}]}`, "key 0"},
		"no exponent":   {"https://issuer.test", `{"keys":[{"kty":"RSA","n":"AQAB"}]}`, "key 0"},
		"huge exponent": {"https://issuer.test", `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQABAQAB"}]}`, "key 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.AddIssuer(tt.url, []byte(tt.jwks))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "entratest: ") {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
		})
	}
}

func TestIssuerRollover(t *testing.T) {
	s := entratest.New(t)
	kids := func() (kids []string) {
		var set struct{ Keys []struct{ Kid, N string } }
		if err := json.Unmarshal(s.Issuer().JWKS(), &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			kids = append(kids, k.Kid+k.N)
		}
		return kids
	}
	old, first := s.FederatedToken(), kids()
	s.NewIssuer("https://between.test") // draws from the same pool of keys
	s.Issuer().Rollover()
	second := kids()
	if len(first) != 1 || len(second) != 2 || second[1] != first[0] || second[0] == first[0] {
		t.Errorf("keys %v, then %v: want the new one, then the old one", first, second)
	}
	for name, token := range map[string]string{"old": old, "new": s.FederatedToken()} {
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusOK {
			t.Errorf("%s token: %d %s", name, got.Status, got.Description)
		}
	}
	s.Issuer().Rollover()
	if third := kids(); len(third) != 2 || third[1] != second[0] {
		t.Errorf("keys %v, then %v: want the first one gone", second, third)
	}
}
