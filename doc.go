// SPDX-License-Identifier: MIT

// Package apponly gets a daemon its app-only access tokens for Microsoft Entra
// ID, by the OAuth 2.0 client credentials grant (RFC 6749 section 4.4).
//
//	client, err := apponly.New(tenantID, clientID, apponly.SecretFile("/etc/app/secret"), nil)
//	tok, err := client.Token(ctx, "https://graph.microsoft.com/.default")
//	rt, err := apponly.NewTransport(client, "https://graph.microsoft.com/.default", nil)
//
// In a pod, [FromEnv] takes the place of [New]: the environment says who the app
// is.
//
// # What blocks
//
// Constructors perform no I/O. [Client.Token] returns a cached token at once;
// it waits, for as long as its context allows, only when there is none that is
// still good. A token past its refresh time is returned at once while one
// refresh runs behind it, and a refresh that fails costs callers nothing until
// the token ends.
//
// # What is cached
//
// Tokens, one per app, credential, tenant and scope, in a [Cache] that all
// clients of the process share by default; and refusals, for seconds to
// minutes, so that a wrong secret is not sent a thousand times a second.
// Credentials are read for each token request: a rotated file needs no restart.
//
// # Errors
//
// A token that cannot be had is an [*Error] with a [Kind] to compare with:
//
//	if errors.Is(err, apponly.ErrSecretExpired) { … }
//
// What is wrong with the arguments of a constructor, of [Client.Tenant] or of a
// request to a [Transport] is an error that has a kind, too, for errors.Is; it
// is not an *Error, because no token request was due.
//
// Neither errors nor anything else here prints a secret, an assertion or a
// token.
package apponly
