// SPDX-License-Identifier: MIT

// Package health says whether a process has the tokens that it cannot do without, and
// if not why: to Kubernetes, to a monitor, and to a person on a page.
//
//	ready := &health.Check{Client: client, Scopes: []string{scope}}
//	go client.KeepWarm(ctx, scope) // asks for the tokens; a Check never does
//	mux := http.NewServeMux()
//	mux.Handle("/readyz", ready.Handler())
//	mux.Handle("/statusz", health.Page("orders-sync", ready))
//
// Everything is read from [apponly.Client.Status]: nothing here blocks, does I/O or
// causes a token request, however often it is asked.
//
// # Verdicts
//
// The worst of the scopes counts. A token lasts if it is good for another
// [Check].MinValid; failures are those since the last success.
//
//	token           failures   verdict
//	lasts           none       ready
//	lasts           some       degraded: it works, and a token is not renewed
//	good, no more   none       ready if it is stale, as its refresh is due; else degraded
//	good, no more   some       not-ready
//	expired         none       degraded: nobody has asked lately, the next call does
//	expired         some       not-ready
//	missing         any        not-ready
//
// # Probes
//
// Use it for readiness, with a failureThreshold of 2 or more. Never use it for liveness, nor
// for the startup probe, which restarts too: a restart brings no token, it throws away the
// good ones, and in an outage of Entra all pods start again and again and ask for
// everything at once. Those two ask whether the process answers. Degraded is answered with 200 because a pod that works should
// get its traffic: if all are taken out of the service, there is none left.
package health
