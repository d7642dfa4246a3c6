// SPDX-License-Identifier: MIT

// Package consent leads an administrator to Entra ID's admin consent, by which an
// app is let into a tenant, and reads what the browser brings back.
//
// Nothing that a browser brings proves anything: whoever has the address of a
// callback can call it. The state in it says that a consent was asked for here, and
// by whom. That it was given is proved by a token alone: ask for one in the tenant,
// with Force, until it comes; see the examples.
//
// It shares nothing with the client side of the module, and depends on the standard
// library alone.
package consent
