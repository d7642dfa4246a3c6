// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// An api is the other side: what a protected API has to check before it serves
// a daemon.
type api struct {
	parser *jwt.Parser
	keys   map[string]*rsa.PublicKey // by kid
}

// claims are what this API reads in a token. An app-only token has roles, which
// an administrator assigned, and no scp.
type claims struct {
	jwt.RegisteredClaims
	AppID string   `json:"azp"`
	Roles []string `json:"roles"`
}

// newAPI returns an API that takes tokens of issuer for audience. It trusts the
// keys that the issuer publishes over TLS, and nobody's word about the
// algorithm: a token that says "none" or HS256 is no token. A real API would
// fetch the keys again from time to time, because Entra changes them.
func newAPI(ctx context.Context, client *http.Client, issuer, audience string) (*api, error) {
	var config struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := getJSON(ctx, client, issuer+"/.well-known/openid-configuration", &config); err != nil {
		return nil, fmt.Errorf("openid configuration: %w", err)
	}
	if config.Issuer != issuer {
		return nil, fmt.Errorf("openid configuration is of issuer %q, want %q", config.Issuer, issuer)
	}
	var set struct {
		Keys []struct{ Kid, Kty, N, E string }
	}
	if err := getJSON(ctx, client, config.Keys, &set); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	a := &api{keys: make(map[string]*rsa.PublicKey)}
	for _, k := range set.Keys {
		n, nErr := base64.RawURLEncoding.DecodeString(k.N)
		e, eErr := base64.RawURLEncoding.DecodeString(k.E)
		if k.Kty != "RSA" || nErr != nil || eErr != nil {
			continue
		}
		a.keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	if len(a.keys) == 0 {
		return nil, fmt.Errorf("no signing keys at %s", config.Keys)
	}
	a.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(time.Minute), // the clocks of two machines
	)
	return a, nil
}

// ServeHTTP lets apps read orders that have Data.Read.All, and place one that
// have Data.Write.All.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	role, ok := map[string]string{
		"GET /orders":  "Data.Read.All",
		"POST /orders": "Data.Write.All",
	}[r.Method+" "+r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	// 401 is "who are you?", 403 is "I know you, and no".
	caller, err := a.authenticate(r)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if !slices.Contains(caller.Roles, role) {
		http.Error(w, "the app does not have the role "+role, http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "served to app %s", caller.AppID)
}

func (a *api) authenticate(r *http.Request) (*claims, error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, fmt.Errorf("no access token")
	}
	var c claims
	_, err := a.parser.ParseWithClaims(raw, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key := a.keys[kid]; key != nil {
			return key, nil
		}
		return nil, fmt.Errorf("unknown signing key")
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// serve runs the API on a free port of this machine, over plain http: fit for
// loopback only. stop ends it.
func (a *api) serve() (base string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // always an error: that it was closed
	}()
	return "http://" + ln.Addr().String(), func() { _ = server.Close(); <-done }, nil
}

func getJSON(ctx context.Context, client *http.Client, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(v)
}
