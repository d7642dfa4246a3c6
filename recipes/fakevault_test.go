// SPDX-License-Identifier: MIT

package recipes_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly/entratest"
)

// wantedClaims is what a resource sends when a token has been revoked: only
// tokens from after that moment will do.
const wantedClaims = `{"access_token":{"nbf":{"essential":true,"value":"1782864000"}}}`

// A fakeVault is a Key Vault with one secret. It refuses the first good token it
// sees with a claims challenge, and that token from then on.
type fakeVault struct {
	*httptest.Server
	url        string // a name below the resource's, which SDK clients insist on
	challenges atomic.Int64

	mu      sync.Mutex
	revoked string
}

// newVault serves a vault that takes tokens for https://example.com, as real
// ones do for https://vault.azure.net.
func newVault(sts *entratest.Server) *fakeVault {
	resource := sts.Tenant().NewResource("https://example.com")
	verifier := newVerifier(sts, resource)
	v := &fakeVault{url: "https://greetings.example.com"}
	// The challenge without which SDK clients know neither scope nor tenant.
	challenge := fmt.Sprintf(`Bearer authorization="https://login.microsoftonline.com/%s"`, sts.Tenant().ID())
	unauthorized := func(w http.ResponseWriter, params string) {
		w.Header().Set("WWW-Authenticate", challenge+", "+params)
		http.Error(w, `{"error":{"code":"Unauthorized"}}`, http.StatusUnauthorized)
	}
	v.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		caller, err := verifier.Verify(r.Context(), token)
		switch {
		case token == "":
			unauthorized(w, `resource="`+resource.URI()+`"`)
		case err != nil, !caller.CanAnswerChallenge(): // would not understand a claims challenge
			unauthorized(w, `error="invalid_token"`)
		case v.revoke(token):
			v.challenges.Add(1)
			unauthorized(w, `error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(wantedClaims))+`"`)
		case r.URL.Path != "/secrets/greeting/":
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"value":"hello","id":"%s/secrets/greeting/1"}`, v.url)
		}
	}))
	return v
}

// revoke reports whether token is the revoked one, which the first is.
func (v *fakeVault) revoke(token string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.revoked == "" {
		v.revoked = token
	}
	return token == v.revoked
}
