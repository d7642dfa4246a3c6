// SPDX-License-Identifier: MIT

// Package agent hands out tokens of an app to the programs next door: to those of
// the same pod or host, in any language. One process holds the credential, and the
// others get tokens by the protocols that their libraries know:
//
//   - GET /msi/token is the managed identity of Azure App Service, which unmodified
//     Azure SDKs ask if IDENTITY_ENDPOINT and IDENTITY_HEADER are set;
//   - GET /metadata/identity/oauth2/token is that of a virtual machine, on a listener
//     of its own and only if asked for: it wants no secret;
//   - POST /v1/token takes JSON, or the form of RFC 6749 section 4.4, which makes the
//     agent the token_url of any OAuth client;
//   - GET /v1/authorization-header is a line for curl;
//   - files with tokens, and reverse proxies that add them.
//
// As a program it is the command apponly agent; in another program it is
//
//	cfg, err := agent.Load("agent.yaml")
//	…
//	cache, err := agent.NewCache(cfg.Shared)
//	…
//	clients, err := agent.NewClients(cfg, cache)
//	…
//	a, err := agent.New(cfg, clients)
//	…
//	err = a.Run(ctx, nil) // blocks until ctx ends
//
// A call waits for a token for ten seconds at most, and then has an answer that says when
// to come again.
//
// # Who gets what
//
// Nobody gets what is not listed in [Config.Callers]. A caller is known by the header
// secret, which is in a file, or by the user it runs as, which a Unix socket tells.
// What is not listed never causes a token request, so that no caller can have the app
// throttled.
//
// # What it does not protect against
//
// A process that may read the header's file or run as a listed user is that caller.
// Loopback is no border inside a pod: its containers share it, and the secret or the
// socket is what tells them apart.
package agent
