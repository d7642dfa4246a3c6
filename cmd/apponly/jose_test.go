// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// verifyToken checks a token as an API with another library than the
// emulator's does, and returns its claims.
func verifyToken(t *testing.T, client *http.Client, keysURL, token string) map[string]any {
	t.Helper()
	claims, err := verified(client, keysURL, token)
	if err != nil {
		t.Fatalf("the token does not verify against %s: %v", keysURL, err)
	}
	return claims
}

func verified(client *http.Client, keysURL, token string) (map[string]any, error) {
	resp, err := client.Get(keysURL)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		return nil, err
	}
	for _, k := range keys.Keys {
		if !k.Valid() || !k.IsPublic() {
			return nil, fmt.Errorf("key %s is not a valid public key", k.KeyID)
		}
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	var standard jwt.Claims
	all := map[string]any{}
	if err := parsed.Claims(keys, &standard, &all); err != nil {
		return nil, err
	}
	return all, standard.ValidateWithLeeway(jwt.Expected{Time: time.Now()}, 5*time.Second)
}

// TestTokensVerify takes tokens of both versions to each of the key documents
// that an API may be configured with.
func TestTokensVerify(t *testing.T) {
	e := start(t, "--config", "testdata/example.yaml")
	for name, tt := range map[string]struct {
		tenant string
		fields []string
		want   map[string]string
	}{
		"version 2": {
			tenant: e.TenantID,
			want: map[string]string{
				"ver": "2.0", "iss": e.AuthorityHost + "/" + e.TenantID + "/v2.0", "aud": e.APIAudience, "azp": e.ClientID,
			},
		},
		"version 1": {
			tenant: contosoID,
			fields: []string{"client_id", workerID, "client_secret", "worker-secret", "scope", ordersURI + "/.default"},
			want: map[string]string{
				"ver": "1.0", "iss": e.AuthorityHost + "/" + contosoID + "/", "aud": ordersURI, "appid": workerID,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.ask(t, tt.tenant, tt.fields...)
			if got.Status != http.StatusOK {
				t.Fatalf("got %+v", got)
			}
			// A letter of the signature: what else there is stays readable.
			forged := []byte(got.AccessToken)
			if i := len(forged) - 100; forged[i] == 'A' {
				forged[i] = 'B'
			} else {
				forged[i] = 'A'
			}
			for _, path := range []string{
				"/common/discovery/keys", "/common/discovery/v2.0/keys",
				"/" + tt.tenant + "/discovery/keys", "/" + tt.tenant + "/discovery/v2.0/keys",
			} {
				claims := verifyToken(t, e.client(t), e.AuthorityHost+path, got.AccessToken)
				for claim, want := range tt.want {
					if claims[claim] != want {
						t.Errorf("%s: %s = %v, want %s", path, claim, claims[claim], want)
					}
				}
				if _, err := verified(e.client(t), e.AuthorityHost+path, string(forged)); !errors.Is(err, jose.ErrCryptoFailure) {
					t.Errorf("%s: a forged token: %v, want %v", path, err, jose.ErrCryptoFailure)
				}
			}
		})
	}
}
