// SPDX-License-Identifier: MIT

// Package compat has no code of its own. Its tests run clients of Entra that others wrote,
// unmodified and with default options, against the emulator: all that they get are a proxy
// and a root in their environment.
package compat
