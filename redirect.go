// SPDX-License-Identifier: MIT

package apponly

import "net/http"

// chainInside reports whether every request that led to this one by redirects
// stayed among the hosts and went as the app. Once a chain has left, somebody
// else has written the rest of it; and what began with the caller's own
// Authorization, as a user perhaps, must not go on as the app.
func (t *Transport) chainInside(req *http.Request) bool {
	const limit = 100 // far above net/http's own, but a chain is the caller's to make
	for range limit {
		if req.Response == nil {
			return true
		}
		if req = req.Response.Request; req == nil || t.checkTarget(req) != nil {
			return false
		}
		if _, own := inspect(req.Header); own {
			return false
		}
	}
	return false
}
