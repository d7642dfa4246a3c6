// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"slices"
	"time"

	"github.com/apponly/apponly/internal/tokencache"
)

// A TokenState is how good a cached token is.
type TokenState string

const (
	// TokenFresh: handed out as it is.
	TokenFresh = TokenState(tokencache.Fresh)
	// TokenStale: handed out, and a refresh is due or under way.
	TokenStale = TokenState(tokencache.Stale)
	// TokenExpired: not handed out any more.
	TokenExpired = TokenState(tokencache.Expired)
	// TokenMissing: never obtained, or the refusal is remembered.
	TokenMissing = TokenState(tokencache.Missing)
)

// A TokenStatus is the state of one token, for a health endpoint or a metric. A
// daemon is well while Failures is 0; it lives on what it has while Failures
// grows and the state is fresh or stale; it is out of business when Failures
// grows and the state is expired or missing. An expired token without failures
// is one that nobody has asked for lately.
type TokenStatus struct {
	TenantID, Scope string
	State           TokenState
	// ExpiresOn is when the token ends, zero if there is none.
	ExpiresOn time.Time
	// NextTry is when the next refresh or try is due: the past if it is under
	// way or waits for a caller.
	NextTry time.Time
	// LastSuccess is when the token was obtained, zero if there is none.
	LastSuccess time.Time
	// Shared says that another process obtained the token, and [CacheOptions.Shared]
	// brought it: this process has not proved itself for it.
	Shared bool
	// Failures counts the requests that failed since, LastError is the last of
	// them; 0 and nil after a success.
	Failures  int
	LastError error
	// CredentialExpiresOn is when the certificate or federated assertion ends
	// that the app last proved itself with, zero if unknown. Nobody but Entra
	// knows when a secret ends.
	CredentialExpiresOn time.Time
	// CredentialIssued says that it was an assertion, whose issuer makes the next in time:
	// it always ends soon.
	CredentialIssued bool
	// ClockSkew is by how much Entra's clock was ahead of the local one when it last
	// answered, 0 if that is not known or too little to matter.
	ClockSkew time.Duration
}

// Status returns the state of every token the cache holds for this client's
// app and tenant, sorted by scope. It does not block on the network, and looks
// at no other client's tokens.
func (c *Client) Status() []TokenStatus {
	if c.check() != nil {
		return nil
	}
	entries, state := c.tokens.Status()
	var ends time.Time
	var issued bool
	var skew time.Duration
	if s, ok := state.(*credentialState); ok {
		ends, issued = s.expiry.latest()
		skew = s.skew.told()
	}
	var all []TokenStatus
	for _, e := range entries {
		s := TokenStatus{
			TenantID: c.tokens.Tenant, Scope: e.Scope, State: TokenState(e.State),
			ExpiresOn: Token{e.Token}.ExpiresOn(), NextTry: e.NextTry,
			Failures: e.Failures, LastError: e.LastErr, CredentialExpiresOn: ends, CredentialIssued: issued, ClockSkew: skew,
		}
		if e.Token != nil {
			s.LastSuccess, s.Shared = time.Unix(0, e.Token.Received), e.Token.Shared
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b TokenStatus) int { return cmp.Compare(a.Scope, b.Scope) })
	return all
}
