// SPDX-License-Identifier: MIT

// Package consent leads an administrator to Entra ID's admin consent, by which an
// app is let into a tenant, and reads what the browser brings back.
//
//	flow, err := consent.New(consent.Config{
//		ClientID: clientID, RedirectURL: "https://app.example/consent/callback", Keys: [][]byte{key},
//	})
//	…
//	address, setCookie, err := flow.URL(tenantOfAccount, account) // where to send the administrator
//	…
//	mux.Handle("GET /consent/callback", flow.Callback(finish)) // finish gets a Result
//
// Nothing here blocks or does I/O.
//
// Nothing that a browser brings proves anything: whoever has the address of a
// callback can call it. The state in it says that a consent was asked for here, and
// by whom. That it was given is proved by a token alone: ask for one in the tenant,
// with Force, until it comes; see the examples.
//
// A token proves that the app is in a tenant, and no more: not since when, and not that
// whoever sits at the browser is of that tenant. Somebody who signs up can ask for the
// tenant of another customer, and come back without having asked anybody. So which tenant
// an account is of has to be known beforehand, by a sign-in with Entra (tid of the ID
// token) or a contract: give it to [Flow.URL], with the account as data, and go by
// [Result].RequestedTenant. No tenant belongs to two accounts.
//
// It shares nothing with the client side of the module, and depends on the standard
// library alone.
package consent
