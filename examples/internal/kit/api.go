// SPDX-License-Identifier: MIT

package kit

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// An API is the other side: what a protected API has to check before it serves
// a daemon. It is safe for concurrent use.
type API struct {
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

// NewAPI returns an API that takes tokens of issuer for audience, until leeway
// after they have ended: the clocks of two machines differ. It trusts the keys
// that the issuer publishes over TLS, which client fetches, and nobody's word
// about the algorithm: a token that says "none" or HS256 is no token. A real API
// would fetch the keys again from time to time, because Entra changes them.
func NewAPI(ctx context.Context, client *http.Client, issuer, audience string, leeway time.Duration) (*API, error) {
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
	a := &API{keys: make(map[string]*rsa.PublicKey)}
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
		jwt.WithLeeway(leeway),
	)
	return a, nil
}

// Protect lets apps through to serve that have role, and tells it which app it
// is.
func (a *API) Protect(role string, serve func(w http.ResponseWriter, r *http.Request, app string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		serve(w, r, caller.AppID)
	})
}

func (a *API) authenticate(r *http.Request) (*claims, error) {
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
