// SPDX-License-Identifier: MIT

// Package spiffeassertion lets a workload with a SPIFFE identity get app-only
// tokens of Entra without a secret: the Workload API, of a SPIRE agent for
// example, hands out a JWT-SVID, and the app trusts its issuer by a federated
// credential.
//
//	source, err := workloadapi.NewJWTSource(ctx) // waits for the agent: give ctx an end
//	…
//	defer source.Close()
//	src := spiffeassertion.New(source, nil)
//	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), nil)
//
// Entra asks for more than SPIRE does by default:
//
//   - JWT-SVIDs signed by RS256, the one algorithm that Entra documents: in
//     server.conf jwt_key_type = "rsa-2048". SPIRE's default is an elliptic
//     curve's key; when Entra refuses its signature, the error says so.
//   - An issuer: in server.conf jwt_issuer, the https URL at which Entra finds
//     the issuer's metadata and keys. An SVID without it is refused here, before Entra is asked.
//   - Keys that say what they are for: with SPIRE's OIDC discovery provider
//     set_key_use = true.
//   - A federated credential of the app with that issuer, the SPIFFE ID as the
//     subject and the cloud's exchange audience, api://AzureADTokenExchange in the
//     public one.
//
// See https://learn.microsoft.com/entra/workload-id/workload-identity-federation-spiffe-spire.
//
// An SVID is fetched for each token request, which a client makes about once an
// hour, and is not kept: the agent keeps and renews it.
package spiffeassertion
