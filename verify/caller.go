// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// A Caller is the app that a token was issued to. It is immutable, safe for
// concurrent use, and holds no token.
type Caller struct {
	TenantID string
	ClientID string
	// ObjectID is that of the app's service principal in the tenant.
	ObjectID string
	Subject  string
	// TokenID identifies the token in Entra's sign-in log (uti), "" if it says
	// nothing.
	TokenID string
	// Version of the token: 1 or 2, by the registration of the API.
	Version int
	// IssuedAt is zero if the token does not say.
	IssuedAt, ExpiresAt time.Time
	ClientAuth          ClientAuth

	roles         []string
	challengeable bool
}

// A ClientAuth is how an app proved itself to Entra.
type ClientAuth int

// How an app proves itself.
const (
	ClientAuthUnknown ClientAuth = iota
	// ClientAuthSecret: with a client secret.
	ClientAuthSecret
	// ClientAuthCertificate: with a certificate, a federated credential or a managed
	// identity.
	ClientAuthCertificate
)

// String returns "unknown", "secret" or "certificate".
func (a ClientAuth) String() string {
	switch a {
	case ClientAuthSecret:
		return "secret"
	case ClientAuthCertificate:
		return "certificate"
	}
	return "unknown"
}

// HasRole reports whether an administrator of the caller's tenant has assigned it
// an app role, by the exact value of the role.
func (c *Caller) HasRole(role string) bool { return role != "" && slices.Contains(c.roles, role) }

// Roles returns a copy of the app roles.
func (c *Caller) Roles() []string { return slices.Clone(c.roles) }

// CanAnswerChallenge reports whether the caller takes part in continuous access
// evaluation, so that [Verifier.Challenge] makes it get another token. See
// https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func (c *Caller) CanAnswerChallenge() bool { return c.challengeable }

// String returns a text for logs.
func (c *Caller) String() string {
	return "client " + ident.OneLine(c.ClientID, 100) + " of tenant " + c.TenantID
}

// LogValue makes slog print the IDs and the roles.
func (c *Caller) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("tenant", c.TenantID), slog.String("client", ident.OneLine(c.ClientID, 100)),
		slog.String("roles", ident.OneLine(strings.Join(c.roles, " "), 500)), slog.String("token_id", ident.OneLine(c.TokenID, 100)),
	)
}

// admitted is what Middleware leaves in the context of a request.
type admitted struct {
	caller *Caller
	v      *Verifier
}

type admittedKey struct{}

// FromContext returns the caller that [Verifier.Middleware] let in with the request
// that ctx is of.
func FromContext(ctx context.Context) (*Caller, bool) {
	a, ok := ctx.Value(admittedKey{}).(admitted)
	return a.caller, ok
}
