// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

// publicPEM is the form of a public key that is usually configured.
func publicPEM(key *entratest.Key) []byte {
	der, err := x509.MarshalPKIXPublicKey(&key.Private().PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Every algorithm is the one of its name, as another library understands it.
func TestSign(t *testing.T) {
	s := entratest.New(t)
	key := s.AddKey(entratest.KeyOptions{Hidden: true})
	claims := map[string]any{"sub": "x", "exp": time.Now().Add(time.Hour).Unix()}
	for alg, verifyWith := range map[string]any{
		"RS256": &key.Private().PublicKey, "RS384": &key.Private().PublicKey, "RS512": &key.Private().PublicKey,
		"PS256": &key.Private().PublicKey, "PS384": &key.Private().PublicKey, "PS512": &key.Private().PublicKey,
		"HS256": publicPEM(key), "none": jwt.UnsafeAllowNoneSignatureType,
	} {
		token := s.Sign(map[string]any{"alg": alg}, claims, key)
		parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return verifyWith, nil }, jwt.WithValidMethods([]string{alg}))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if len(parsed.Header) != 1 || parsed.Claims.(jwt.MapClaims)["sub"] != "x" {
			t.Errorf("%s: header %v, claims %v", alg, parsed.Header, parsed.Claims)
		}
		if _, err := jwt.Parse(token[:len(token)-1], func(*jwt.Token) (any, error) { return verifyWith, nil }); err == nil {
			t.Errorf("%s: verifies without its last letter", alg)
		}
	}
}

// RFC 7518, section 3.5: the salt is as long as the hash.
func TestSignSalt(t *testing.T) {
	s := entratest.New(t)
	token := s.Sign(map[string]any{"alg": "PS256"}, nil, nil)
	i := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(token[:i]))
	if err := rsa.VerifyPSS(&s.SigningKey().Private().PublicKey, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
		t.Error(err)
	}
}

// What is signed is what was given, to the byte.
func TestSignKeepsBytes(t *testing.T) {
	s := entratest.New(t)
	own := s.SigningKey()
	for _, tt := range []struct {
		header, claims         any
		wantHeader, wantClaims string
	}{
		{nil, map[string]any{"a": 1}, `{"alg":"RS256","kid":"` + own.ID() + `","typ":"JWT"}`, `{"a":1}`},
		{map[string]any{}, nil, `{}`, `null`},
		{[]byte(`{"alg":"RS256", "alg":"none"}`), []byte(`{"tid":"a","tid":"b", "\u0074id":"c"} `), `{"alg":"RS256", "alg":"none"}`, `{"tid":"a","tid":"b", "\u0074id":"c"} `},
		{json.RawMessage(`{"alg":"ES256"}`), json.RawMessage("\xff{"), `{"alg":"ES256"}`, "\xff{"},
		{[]byte("no JSON"), []byte{}, "no JSON", ""},
		{map[string]any{"alg": 256, "kid": "other"}, struct {
			Exp string `json:"exp"`
		}{"soon"}, `{"alg":256,"kid":"other"}`, `{"exp":"soon"}`},
		{jwt.MapClaims{"crit": []string{"x"}}, jwt.MapClaims{"aud": []string{"a", "b"}}, `{"crit":["x"]}`, `{"aud":["a","b"]}`},
	} {
		parts := strings.Split(s.Sign(tt.header, tt.claims, nil), ".")
		if len(parts) != 3 {
			t.Fatalf("%v: %d parts", tt.header, len(parts))
		}
		var got [3]string
		for i, part := range parts {
			data, err := base64.RawURLEncoding.Strict().DecodeString(part)
			if err != nil {
				t.Errorf("%v: part %d: %v", tt.header, i, err)
			}
			got[i] = string(data)
		}
		if got[0] != tt.wantHeader || got[1] != tt.wantClaims {
			t.Errorf("got %s %s, want %s %s", got[0], got[1], tt.wantHeader, tt.wantClaims)
		}
		// The last alg counts for encoding/json, which reads it here, too.
		if want := !strings.Contains(tt.wantHeader, "none"); want != (jwt.SigningMethodRS256.Verify(parts[0]+"."+parts[1], []byte(got[2]), &own.Private().PublicKey) == nil) {
			t.Errorf("%s: signed with RS256 by the emulator's key: %t, want %t", tt.wantHeader, !want, want)
		}
	}
}

// Whatever its kid says, what another key has signed is not Entra's.
func TestForgedKeysAreRefused(t *testing.T) {
	s, other := entratest.New(t), entratest.New(t)
	api := s.API().Protect(served, role)
	claims := claimsOf(t, tokenOf(s))
	own := s.SigningKey().ID()
	added, twin := s.AddKey(entratest.KeyOptions{}), s.AddKey(entratest.KeyOptions{ID: own})
	header := func(alg, kid string) map[string]any { return map[string]any{"alg": alg, "kid": kid} }
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"own key":          {s.Sign(nil, claims, nil), 200},
		"own key, named":   {s.Sign(header("RS256", own), claims, s.SigningKey()), 200},
		"added key":        {s.Sign(nil, claims, added), 401},
		"under our kid":    {s.Sign(header("RS256", own), claims, added), 401},
		"the same kid":     {s.Sign(nil, claims, twin), 401},
		"another emulator": {s.Sign(nil, claims, other.SigningKey()), 401},
		"no kid":           {s.Sign(map[string]any{"alg": "RS256"}, claims, nil), 401},
		"none":             {s.Sign(header("none", own), claims, nil), 401},
		"public key":       {s.Sign(header("HS256", own), claims, nil), 401},
	} {
		if got := callAPI(api, tt.token).StatusCode; got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	// Nor is it an assertion of a managed identity.
	identity := s.Tenant().NewManagedIdentity()
	fc := identity.FederatedCredential()
	s.App().AddFederatedCredential(fc)
	assertion := map[string]any{"iss": fc.Issuer, "sub": fc.Subject, "aud": fc.Audience, "exp": time.Now().Add(time.Hour).Unix()}
	for key, want := range map[*entratest.Key]int{s.SigningKey(): http.StatusOK, added: http.StatusUnauthorized} {
		if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, s.Sign(nil, assertion, key))); got.Status != want {
			t.Errorf("assertion: %d %s, want %d", got.Status, got.Description, want)
		}
	}
}

func TestAdminSign(t *testing.T) {
	s := entratest.New(t)
	api := s.API().Protect(served, role)
	claims := text(claimsOf(t, tokenOf(s)))
	sign := func(body string, status int) (token, mistake string) {
		t.Helper()
		var got struct{ Token, Error string }
		if r := admin(t, s, "POST", "sign", body, &got); r.status != status {
			t.Errorf("%s: %+v, want %d", body, r, status)
		}
		return got.Token, got.Error
	}
	for body, want := range map[string]int{
		`{"claims":` + claims + `}`:                          200,
		`{"claims":` + claims + `,"header":{"alg":"none"}}`:  401,
		`{"claims":` + claims + `,"header":{"alg":"RS256"}}`: 401,
		`{"claims":{}}`: 401,
	} {
		token, _ := sign(body, http.StatusOK)
		if got := callAPI(api, token).StatusCode; got != want || token == "" {
			t.Errorf("%s: the API answers %d, want %d", body, got, want)
		}
	}
	for body, want := range map[string]string{
		`{}`:                          "claims are missing",
		`{"claims":null}`:             "claims",
		`{"claims":{},"header":`:      "JSON object",
		`{"claims":{},"key":"other"}`: `"key" is unknown`,
	} {
		if _, mistake := sign(body, http.StatusBadRequest); !strings.Contains(mistake, want) {
			t.Errorf("%s: %q, want something about %q", body, mistake, want)
		}
	}
}
