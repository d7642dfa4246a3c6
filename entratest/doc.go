// SPDX-License-Identifier: MIT

// Package entratest emulates the token service of Microsoft Entra ID, so that
// a daemon that gets app-only tokens can be tested without a tenant, a network
// or a stored answer.
//
//	sts := entratest.New(t)
//	client := sts.HTTPClient()                     // in memory, fit for a testing/synctest bubble
//	url := sts.Cloud().TokenEndpoint(sts.Tenant().ID())
//	resp, err := client.PostForm(url, url.Values{ … sts.Secret() … sts.API().Scope() … })
//
// The emulator checks what it is sent, the way Entra does: the tenant, the
// client, its secret, certificate assertion or federated assertion, the scope
// and the claims parameter. What is wrong is refused with the AADSTS number,
// the OAuth error and the HTTP status that Entra answers with; what is right
// gives a signed token, which verifies against the keys served next to it.
//
// Tenants, apps, credentials, resources and grants may be added, removed and
// changed at any time, also while requests are on their way: everything here
// is safe for concurrent use.
//
// # Time
//
// There is no clock to set. The emulator reads [time.Now] when it is asked
// something, so inside a testing/synctest bubble it lives in the bubble's time.
// Make the Server inside the bubble then: the certificate of the demo app is
// valid from the moment it is made. Assertions may be off by five minutes in
// either direction.
//
// # What it is not
//
// No user ever signs in here; only the client_credentials grant is served. How
// Entra orders its checks when two things are wrong at once is not documented,
// and so neither is it here. The texts of the errors are not Entra's: compare
// numbers, never texts.
package entratest
