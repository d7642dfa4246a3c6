// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"strings"
)

// Tests want random IDs, so that they never meet in a cache. A configuration
// that several programs share wants the same ones every time: that is what the
// functions here are for.

// AddTenantID is [Server.AddTenant] with an ID of the caller's choice, a GUID,
// kept in lower case. It also panics if id is none, or is that of another
// tenant.
func (s *Server) AddTenantID(id string, domains ...string) *Tenant {
	id = mustGUID(id)
	s.mu.RLock()
	taken := s.tenants[id] != nil
	s.mu.RUnlock()
	if taken {
		panic(fmt.Sprintf("entratest: tenant ID %q is taken", id))
	}
	return s.addTenant(id, domains)
}

// NewAppID is [Tenant.NewApp] with a client ID of the caller's choice, a GUID,
// kept in lower case. It panics if clientID is none, or is that of another app
// or resource.
func (t *Tenant) NewAppID(clientID string) *App { return t.newApp(t.s.mustBeFree(clientID), false) }

// NewResourceID is [Tenant.NewResource] with an app ID of the caller's choice,
// a GUID, kept in lower case. It panics if appID is none, or is that of another
// app or resource.
func (t *Tenant) NewResourceID(appID, uri string, roles ...string) *Resource {
	return t.newResource(t.s.mustBeFree(appID), uri, roles)
}

// mustBeFree demands an app ID that nobody has: apps and resources share one
// namespace, because both are app registrations.
func (s *Server) mustBeFree(appID string) string {
	appID = mustGUID(appID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.apps[appID] != nil || s.resources[appID] != nil {
		panic(fmt.Sprintf("entratest: app ID %q is taken", appID))
	}
	return appID
}

func mustGUID(id string) string {
	if !isGUID(id) {
		panic(fmt.Sprintf("entratest: %q is not a GUID", id))
	}
	return strings.ToLower(id)
}
