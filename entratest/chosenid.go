// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"strings"
)

// Tests want random IDs, so that they never meet in a cache. A configuration
// that several programs share wants the same ones every time: that is what the
// functions here are for.

// AddTenantID is [Server.AddTenant] with an ID of the caller's choice, a GUID but
// not the empty one, kept in lower case. It also panics if id is no such GUID, or
// that of another tenant.
func (s *Server) AddTenantID(id string, domains ...string) *Tenant {
	return s.addTenant(mustGUID(id), domains)
}

// NewAppID is [Tenant.NewApp] with a client ID of the caller's choice, a GUID
// but not the empty one, kept in lower case. It panics if clientID is no such
// GUID, or that of another app or resource.
func (t *Tenant) NewAppID(clientID string) *App { return t.newApp(mustGUID(clientID), false) }

// NewResourceID is [Tenant.NewResource] with an app ID of the caller's choice,
// a GUID but not the empty one, kept in lower case. It also panics if appID is no
// such GUID, or that of another app or resource.
func (t *Tenant) NewResourceID(appID, uri string, roles ...string) *Resource {
	return t.newResource(mustGUID(appID), uri, roles)
}

func mustGUID(id string) string {
	if !isGUID(id) || id == emptyGUID {
		panic(fmt.Sprintf("entratest: %q is not a GUID that something can have", id))
	}
	return strings.ToLower(id)
}
