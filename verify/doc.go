// SPDX-License-Identifier: MIT

// Package verify is the API's side: it says whether a request bears an app-only
// access token of Microsoft Entra ID, for this API, from a tenant and an app that it
// lets in.
//
// A good signature is not enough. Entra issues app-only tokens to any app for almost
// any API, in any tenant that the caller names, without a single role. So a
// [Verifier] has rules, and none that lets everybody in can be written.
//
//	verifier, err := verify.New(clientID, []verify.Rule{
//		{Tenant: tenantID, Roles: []string{"Orders.Read"}},
//	}, nil)
//	…
//	api := verifier.Middleware(mux) // in mux, FromContext says who calls
//
// [New] does no I/O. A check blocks only where the keys of a tenant's authority are not
// there yet or a token names one that is unknown: they are fetched once, whoever waits,
// and refreshed behind the callers from then on. [Verifier.Warm] fetches them before
// traffic comes.
//
// It shares nothing with the client side of the module, and depends on the standard
// library alone.
package verify
