// SPDX-License-Identifier: MIT

// Package entratest emulates the token service of Microsoft Entra ID, so that
// a daemon that gets app-only tokens can be tested without a tenant, a network
// or a stored answer.
//
//	sts := entratest.New(t)
//	client := sts.HTTPClient()                     // in memory, fit for a testing/synctest bubble
//	endpoint := sts.Cloud().TokenEndpoint(sts.Tenant().ID())
//	resp, err := client.PostForm(endpoint, url.Values{ … sts.Secret() … sts.API().Scope() … })
//
// The emulator checks what it is sent, the way Entra does: the tenant, the
// client, its secret, certificate assertion or federated assertion, the scope
// and the claims parameter. What is wrong is refused with the AADSTS number,
// the OAuth error and the HTTP status that Entra answers with; what is right
// gives a signed token, which verifies against the keys served next to it.
//
// # State
//
// Tenants, apps, credentials, issuers, resources and grants may be added,
// removed and changed at any time, also while requests are on their way:
// everything here is safe for concurrent use. A refusal follows from the state of
// the directory, not from a script: a secret that has expired, a tenant that is
// suspended, an API that requires an assignment, an issuer that is out of reach.
// Microsoft's own APIs are in every tenant, as [Server.Microsoft] lists them.
// With [Server.SetPropagation] new credentials do not count until later. A tenant
// that uses an app and an API takes less than a kilobyte.
//
// A method that is misused panics, as a test that does nothing by mistake would be
// hard to read. Programs that read what to add from a file use [Server.Loader].
//
// Tokens have the claims that Entra gives every app, and idtyp and xms_cc, which
// an API has to ask for; see [Resource.SetOptionalClaims].
//
// # Time
//
// The emulator reads [time.Now] with every request, so inside a testing/synctest
// bubble it has the bubble's time. Make the Server inside the bubble then: the
// certificate of the demo app is valid from a day before it is made.
// [Server.SetClockOffset] sets its clock apart from that of the client. Assertions
// may be off by five minutes in either direction.
//
// # Faults
//
// [Server.AddFault] makes requests fail: by a status, an AADSTS number, a delay,
// or a connection that hangs, breaks off or is reset; for a tenant, an app, an
// endpoint, the next n requests or some of them. With [Server.SetThrottle] clients
// that ask too often are answered 429. [Server.Requests] and [Server.Counters] tell
// what happened, and [Request.Comparisons] why: what was sent beside what would have
// matched. All of it works the same in memory and over sockets, and from another process
// by the paths of [Server.SetAdmin]. At /_emulator/ a person looks at the requests as they
// come, and switches faults.
//
// # Keys and forged tokens
//
// Whatever verifies access tokens can be tested with what Entra would never sign, by
// [Server.Sign], and with key documents as bad as they get: [Server.AddKey] publishes
// keys of another cloud or of personal accounts, and entries that are no keys;
// [Key.SetHidden] has keys go and come back, [Server.SetKeyDocument] replaces the
// document, and a fault at "keys" keeps it away. The issuers are those of
// [Server.Cloud] (see [cloud.Cloud.Issuer]), which [Server.SetCloud] makes a real one.
//
// # Clients that cannot be told of it
//
// A program in any language reaches the emulator by the names of the real Entra through
// [Server.StartProxy]: it needs the proxy, a root to trust, and nothing in its code.
//
// What "az login" and Terraform ask Azure Resource Manager for first is served as well, by
// [Server.SetResourceManager].
//
// # Outside of Entra
//
// The services that programs get their assertions from are here too, with the
// environment variables that lead to them: [Tenant.NewManagedIdentity],
// [Server.NewGitHubJob], [Server.NewPipelineJob], [Server.NewGoogleVM]. Each returns
// the federated credential by which an app accepts its assertions. The token proxy of
// an AKS cluster is [Server.NewIdentityBinding]. At the other end, [Resource.Protect] checks access tokens as an API has to, and challenges
// those that [Tenant.RevokeTokens] has revoked.
//
// # Admin consent
//
// The page on which an administrator lets an app into a tenant is served as well, in
// both forms of the request, for people, browsers and tests: [App.AddRedirectURI] says
// where it may answer to, [App.Require] what the app asks for. What is wrong with the
// app is told on the page, and what the administrator decides to the app. With a fault
// at "consent", AADSTS50020 is told to it, too: an account of another tenant.
//
// # What it is not
//
// No user ever signs in here, and whoever opens the consent page is an administrator;
// only the client_credentials grant is served. Which of
// two things that are wrong Entra complains about is not documented, and neither is
// it here. The texts of the errors are not Entra's: compare numbers, never texts.
//
// # FIPS 140
//
// With GODEBUG=fips140=on Go makes no random generator in a synctest bubble, where the
// clock that it takes them from stands still: begin such tests with
// testing/cryptotest.SetGlobalRandom.
//
// # Stability
//
// This package may change in any release before version 1.
package entratest
