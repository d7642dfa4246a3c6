// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/apponly/apponly/verify"
	authvalidator "github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

const (
	apiID    = "44444444-4444-4444-8444-444444444444"
	issuerID = "https://" + host + "/" + home + "/v2.0"
	someRole = "Orders.Read"
)

// A verifier is a library that checks access tokens, set up as its documentation
// says: RS256, issuer, audience and times, and the claims read that decide.
type verifier struct {
	name, module string
	open         func(p *publisher) (func(token string) error, error)
}

var verifiers = []verifier{
	{"apponly", "", func(p *publisher) (func(string) error, error) {
		return apponlyVerifier(p, &verify.Options{Remember: -1})
	}},
	{"go-oidc", "github.com/coreos/go-oidc/v3", func(p *publisher) (func(string) error, error) {
		v := oidc.NewVerifier(issuerID, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{p.key.Public()}}, &oidc.Config{ClientID: apiID})
		return func(token string) error {
			t, err := v.Verify(context.Background(), token)
			if err != nil {
				return err
			}
			var c policyClaims
			if err := t.Claims(&c); err != nil {
				return err
			}
			return c.check()
		}, nil
	}},
	{"golang-jwt + keyfunc", "github.com/MicahParks/keyfunc/v3", func(p *publisher) (func(string) error, error) {
		keys, err := keyfunc.NewJWKSetJSON(p.document)
		if err != nil {
			return nil, err
		}
		parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(issuerID), jwt.WithAudience(apiID), jwt.WithExpirationRequired())
		return func(token string) error {
			var c struct {
				jwt.RegisteredClaims
				policyClaims
			}
			if _, err := parser.ParseWithClaims(token, &c, keys.Keyfunc); err != nil {
				return err
			}
			return c.check()
		}, nil
	}},
	{"jwx", "github.com/lestrrat-go/jwx/v3", func(p *publisher) (func(string) error, error) {
		// It takes no key without an algorithm, and Entra names none.
		set, err := jwk.Parse(bytes.ReplaceAll(p.document, []byte(`"use":"sig"`), []byte(`"use":"sig","alg":"RS256"`)))
		if err != nil {
			return nil, err
		}
		return func(token string) error {
			t, err := jwxjwt.ParseString(token, jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuerID), jwxjwt.WithAudience(apiID))
			if err != nil {
				return err
			}
			var c policyClaims
			var roles []any
			if err := errors.Join(t.Get("tid", &c.TenantID), t.Get("roles", &roles)); err != nil {
				return err
			}
			for _, r := range roles {
				c.Roles = append(c.Roles, fmt.Sprint(r))
			}
			return c.check()
		}, nil
	}},
	{"auth0 validator", "github.com/auth0/go-jwt-middleware/v2", func(p *publisher) (func(string) error, error) {
		v, err := authvalidator.New(func(context.Context) (any, error) { return p.key.Public(), nil }, authvalidator.RS256, issuerID, []string{apiID},
			authvalidator.WithCustomClaims(func() authvalidator.CustomClaims { return new(policyClaims) }))
		if err != nil {
			return nil, err
		}
		return func(token string) error {
			c, err := v.ValidateToken(context.Background(), token)
			if err != nil {
				return err
			}
			return c.(*authvalidator.ValidatedClaims).CustomClaims.(*policyClaims).check()
		}, nil
	}},
}

// policyClaims are what a careful user of the other libraries reads besides.
type policyClaims struct {
	TenantID string   `json:"tid"`
	Scope    string   `json:"scp"`
	Roles    []string `json:"roles"`
}

// Validate is what auth0's validator calls.
func (c *policyClaims) Validate(context.Context) error { return nil }

func (c *policyClaims) check() error {
	if c.TenantID != home || c.Scope != "" || !slices.Contains(c.Roles, someRole) {
		return errors.New("not allowed")
	}
	return nil
}

func apponlyVerifier(p *publisher, o *verify.Options) (func(string) error, error) {
	o.HTTPClient = &http.Client{Transport: p}
	v, err := verify.New(apiID, []verify.Rule{{Tenant: home, Roles: []string{someRole}}}, o)
	return func(token string) error {
		_, err := v.Verify(context.Background(), token)
		return err
	}, err
}

// A publisher is Entra with one key.
type publisher struct {
	key      *rsa.PrivateKey
	document []byte
}

func newPublisher() (*publisher, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	p := &publisher{key: key}
	p.document, err = json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "kid": "key", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()), "issuer": issuerID,
	}}})
	return p, err
}

// RoundTrip serves the key document.
func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(p.document)), Request: r}, nil
}

// token returns an app-only token as long as Entra's usually are.
func (p *publisher) token(serial int) (string, error) {
	now := time.Now().Unix()
	claims := jwt.MapClaims{
		"aud": apiID, "iss": issuerID, "iat": now, "nbf": now, "exp": now + 3600, "aio": "k2RgYPj" + strings.Repeat("A", 60), "azp": clientID, "azpacr": "2",
		"oid": "55555555-5555-4555-8555-555555555555", "sub": "55555555-5555-4555-8555-555555555555", "rh": "1.ATcA" + strings.Repeat("B", 50),
		"roles": []string{"Orders.Read", "Orders.Write.All", "Inventory.Read"}, "tid": home, "uti": fmt.Sprintf("uti-%018d", serial), "ver": "2.0",
		"xms_ftd": strings.Repeat("C", 60),
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"], t.Header["x5t"] = "key", "key"
	return t.SignedString(p.key)
}

// bareRSA is what nobody can do without: the hash of what is signed, the signature
// from base64, and RSA.
func bareRSA(pub *rsa.PublicKey, token string) error {
	sum, sig, err := signature(token)
	if err != nil {
		return err
	}
	return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig)
}

func signature(token string) (sum [sha256.Size]byte, sig []byte, err error) {
	i := strings.LastIndexByte(token, '.')
	sig, err = base64.RawURLEncoding.DecodeString(token[i+1:])
	return sha256.Sum256([]byte(token[:i])), sig, err
}

// verification measures the first check of a token, and the next ones.
func verification(r *run) ([]row, error) {
	p, err := newPublisher()
	if err != nil {
		return nil, err
	}
	each := 8 * time.Second
	if r.short {
		each /= 4
	}
	one, err := p.token(0)
	if err != nil {
		return nil, err
	}
	checking := func(check func(string) error, tokens ...string) loop {
		return func(n int) error {
			for i := range n {
				if err := check(tokens[i%len(tokens)]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	sum, sig, err := signature(one)
	if err != nil {
		return nil, err
	}
	contenders := []contender{
		{"floor", []loop{checking(func(token string) error { return bareRSA(&p.key.PublicKey, token) }, one)}},
		{"crypto/rsa", []loop{checking(func(string) error { return rsa.VerifyPKCS1v15(&p.key.PublicKey, crypto.SHA256, sum[:], sig) }, one)}},
	}
	for _, v := range verifiers {
		check, err := v.open(p)
		if err != nil {
			return nil, err
		}
		contenders = append(contenders, contender{v.name, []loop{checking(check, one)}})
	}
	results, err := compare(20*time.Millisecond, each, contenders...)
	if err != nil {
		return nil, err
	}
	first := newRow(fmt.Sprintf("a token of %s bytes, seen for the first time (floor: RSA-2048, SHA-256, base64 of the signature)", thousands(len(one))))
	least := results[0].ns
	first.floor = fmt.Sprintf("%s, %.0f allocs; crypto/rsa alone %s", nanoseconds(least), results[0].allocs, nanoseconds(results[1].ns))
	for _, res := range results[2:] {
		first.cells[res.name] = fmt.Sprintf("%s (%.2f × floor), %.0f allocs", nanoseconds(res.ns), res.ns/least, res.allocs)
	}

	again, err := apponlyVerifier(p, new(verify.Options))
	if err != nil {
		return nil, err
	}
	many := make([]string, 1000)
	for i := range many {
		if many[i], err = p.token(i); err != nil {
			return nil, err
		}
	}
	results, err = compare(20*time.Millisecond, each/2, contender{"one", []loop{checking(again, one)}}, contender{"many", []loop{checking(again, many...)}})
	if err != nil {
		return nil, err
	}
	repeated := newRow("the same token again (1,000 tokens in turn)")
	repeated.cells["apponly"] = fmt.Sprintf("**%s** (%s), %.0f allocs", nanoseconds(results[0].ns), nanoseconds(results[1].ns), results[0].allocs)
	for _, v := range verifiers[1:] {
		repeated.cells[v.name] = "as the first time"
	}
	return []row{first, repeated}, nil
}
