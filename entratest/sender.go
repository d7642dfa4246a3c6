// SPDX-License-Identifier: MIT

package entratest

import (
	"net/url"
	"strings"
)

// sentBy is what a request says about its sender, before anything is checked.
type sentBy struct {
	clientID, scope string
}

// lookAhead finds out who sends a request, for faults and throttling that go by
// client. It reads all bodies, because as long as there is something left of one
// net/http does not notice that the client goes.
func (x *exchange) lookAhead() {
	body, _ := x.body()
	if x.route.name != endpointToken {
		x.sent.clientID = x.r.URL.Query().Get("client_id")
		return
	}
	// A form with a mistake in it is still somebody's.
	form, _ := url.ParseQuery(string(body))
	x.sent.clientID, x.sent.scope = form.Get("client_id"), form.Get("scope")
	if id, _, ok := parseBasic(x.r.Header.Get("Authorization")); ok {
		x.sent.clientID = id
	}
}

// logSender fills in the record of a request that no handler looks into.
func (x *exchange) logSender(tenant string) {
	x.log.ClientID, x.log.Scope = x.sent.clientID, x.sent.scope
	if isGUID(tenant) {
		x.log.Tenant = tenant
	}
}

// canonicalTenant returns the ID of the tenant that is named, or, if there is
// none, the name in lower case.
func (s *Server) canonicalTenant(name string) string {
	name = strings.ToLower(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tenants[name]; t != nil {
		return t.id
	}
	return name
}
