// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"time"
)

// ManagedIdentityAssertion returns a source that proves an app by a managed identity,
// which a federated credential of the app names by its object ID: see
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity.
// It must be a user-assigned identity, given by its client ID, of the app's own tenant
// and cloud. Its endpoint is never asked through a proxy.
func ManagedIdentityAssertion(clientID string) AssertionSource {
	return managedIdentityAssertion(clientID)
}

// ClientAssertion returns a source that takes the token of another client for an
// assertion: for an authorization server that trusts the issuer of those tokens, or
// for a client from [FromTokenCredential] with a managed identity. Entra itself
// exchanges tokens of managed identities of the same cloud and no others: those of
// another app are refused with AADSTS700222, 700226 or 700236 ([ErrFederationBlocked]).
//
// c is asked for the scope "<audience>/.default", where the audience is that of
// [AssertionRequest], and for a token that is good for five minutes at least.
func ClientAssertion(c *Client) AssertionSource { return clientAssertion{c} }

type managedIdentityAssertion string

// Assertion asks the identity's client, which keeps its token.
func (id managedIdentityAssertion) Assertion(ctx context.Context, req AssertionRequest) (string, error) {
	cred, err := managedIdentity(string(id), req.HTTPClient)
	if err != nil {
		return "", err
	}
	c, err := FromTokenCredential(cred, nil)
	if err != nil {
		return "", err
	}
	return clientAssertion{c}.Assertion(ctx, req)
}

func (id managedIdentityAssertion) name() string { return "the managed identity " + string(id) }

func (id managedIdentityAssertion) check() error {
	_, err := checkClientID(string(id)) // of a system-assigned one Entra takes no token for an assertion
	return inField("the user-assigned identity of ManagedIdentityAssertion", err)
}

type clientAssertion struct{ c *Client }

// minAssertion is for how long a token is good that is taken for an assertion: it has
// to last through the attempts and the clocks of a token request.
const minAssertion = 5 * time.Minute

// Assertion asks the client for a token.
func (a clientAssertion) Assertion(ctx context.Context, req AssertionRequest) (string, error) {
	tok, err := a.c.TokenFor(ctx, TokenRequest{Scope: req.Audience + "/.default", MinValid: minAssertion})
	return tok.Value(), err
}

func (clientAssertion) name() string { return "another client" }

func (a clientAssertion) check() error { return inField("ClientAssertion", a.c.check()) }
