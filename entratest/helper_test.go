// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// tokenResponse is the union of what the token endpoint answers.
type tokenResponse struct {
	Status int
	Header http.Header

	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	RefreshIn    *int   `json:"refresh_in"`
	AccessToken  string `json:"access_token"`

	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	ErrorURI      string `json:"error_uri"`
	Suberror      string `json:"suberror"`
	Claims        string `json:"claims"`
}

func do(t *testing.T, c *http.Client, req *http.Request) tokenResponse {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := tokenResponse{Status: resp.StatusCode, Header: resp.Header}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatalf("answer is not JSON: %v\n%s", err, body)
		}
	}
	return out
}

func postForm(t *testing.T, s *entratest.Server, tenant string, form url.Values) tokenResponse {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.Cloud().TokenEndpoint(tenant), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, s.HTTPClient(), req)
}

// secretForm is a request that succeeds.
func secretForm(s *entratest.Server) url.Values {
	return url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {s.App().ClientID()},
		"client_secret": {s.Secret()},
		"scope":         {s.API().Scope()},
	}
}

// assertionForm is secretForm with an assertion in place of the secret.
func assertionForm(s *entratest.Server, assertion string) url.Values {
	form := secretForm(s)
	form.Del("client_secret")
	form.Set("client_assertion_type", jwtBearer)
	form.Set("client_assertion", assertion)
	return form
}

// selfSigned makes a certificate assertion of the demo app: a correct one, but
// for what edit does to it.
func selfSigned(s *entratest.Server, edit func(tok *jwt.Token, claims jwt.MapClaims)) string {
	return signedWith(s, s.Certificate(), s.Certificate().Key, edit)
}

func signedWith(s *entratest.Server, cert *entratest.Certificate, key any, edit func(tok *jwt.Token, claims jwt.MapClaims)) string {
	now := time.Now()
	sum := sha256.Sum256(cert.Leaf.Raw)
	claims := jwt.MapClaims{
		"aud": s.Cloud().TokenEndpoint(s.Tenant().ID()),
		"iss": s.App().ClientID(),
		"sub": s.App().ClientID(),
		"jti": fmt.Sprint(now.UnixNano()),
		"nbf": now.Unix(),
		"exp": now.Add(10 * time.Minute).Unix(),
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodPS256, claims)
	tok.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	if edit != nil {
		edit(tok, claims)
	}
	signed, err := tok.SignedString(key)
	if err != nil {
		panic(err)
	}
	return signed
}

// namedBy has a certificate assertion name its certificate by one header alone.
func namedBy(header, value string) func(*jwt.Token, jwt.MapClaims) {
	return func(tok *jwt.Token, _ jwt.MapClaims) {
		delete(tok.Header, "x5t#S256")
		tok.Header[header] = value
	}
}

// verify checks a token against the keys that are served, as an API would, and
// returns its header and claims.
func verify(t *testing.T, c *http.Client, authority, tenant, token string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	var config struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	getJSON(t, c, authority+"/"+tenant+"/v2.0/.well-known/openid-configuration", &config)
	keys := fetchKeys(t, c, config.JWKSURI)
	claims = jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(tok *jwt.Token) (any, error) {
		kid, _ := tok.Header["kid"].(string)
		if keys[kid] == nil {
			return nil, fmt.Errorf("kid %q is not served", kid)
		}
		return keys[kid], nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Fatalf("token does not verify: %v", err)
	}
	return parsed.Header, claims
}

func fetchKeys(t *testing.T, c *http.Client, uri string) map[string]*rsa.PublicKey {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, Kty, Use, N, E string }
	}
	getJSON(t, c, uri, &set)
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if errN != nil || errE != nil || k.Kty != "RSA" || k.Use != "sig" {
			t.Fatalf("bad key %+v", k)
		}
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys
}

func getJSON(t *testing.T, c *http.Client, uri string, v any) {
	t.Helper()
	resp, err := c.Get(uri)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", uri, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatalf("GET %s: %v", uri, err)
	}
}

// claimsOf reads a token without a check: the token endpoint makes those.
func claimsOf(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatalf("no JWT: %v", err)
	}
	return claims
}
