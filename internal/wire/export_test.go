// SPDX-License-Identifier: MIT

package wire

import "net/http"

// HasProxy reports whether a client of NewClient heeds the environment's proxy, which it
// never does on the way to a loopback address.
func HasProxy(c *http.Client) bool { return c.Transport.(*ownTransport).transport.Proxy != nil }
