// SPDX-License-Identifier: MIT

package entratest

import (
	"net/url"

	"github.com/apponly/apponly/internal/ident"
)

// sender is what a request says about its sender, before anything is checked.
type sender struct {
	clientID, scope string
}

// peekSender finds out who sends a request, for faults and throttling that go by
// client. It reads all bodies, because as long as there is something left of one
// net/http does not notice that the client goes.
func (c *call) peekSender() {
	body, _ := c.body()
	if c.route.name != endpointToken {
		c.sender.clientID = c.r.URL.Query().Get("client_id")
		return
	}
	// A form with a mistake in it is still somebody's.
	form, _ := url.ParseQuery(string(body))
	c.sender.clientID, c.sender.scope = form.Get("client_id"), form.Get("scope")
	if id, _, ok := parseBasic(c.r.Header.Get("Authorization")); ok {
		c.sender.clientID = id
	}
}

// logSender fills in the record of a request that no handler looks into.
func (c *call) logSender(tenant string) {
	c.log.ClientID, c.log.Scope = c.sender.clientID, c.sender.scope
	if ident.IsGUID(tenant) {
		c.log.Tenant = tenant
	}
}
