// SPDX-License-Identifier: MIT

package entratest

import "fmt"

// entry is what an app and a resource have in common: both are registrations
// under an app ID, and have a service principal in every tenant that uses them.
type entry struct {
	s     *Server
	home  *Tenant // where it is registered
	appID string

	// Guarded by s.mu.
	removed   bool
	elsewhere map[*Tenant]struct{} // the tenants but home that have its service principal; nil for none
}

// claim checks that the app ID is nobody's. The caller holds mu, and inserts
// before it lets go: of two who want the same ID one panics.
func (e *entry) claim() {
	if e.s.apps[e.appID] != nil || e.s.resources[e.appID] != nil {
		panic(fmt.Sprintf("entratest: app ID %q is taken", e.appID))
	}
}

// tenants returns those that have the service principal, home among them in any
// case. The caller holds mu.
func (e *entry) tenants() []*Tenant {
	list := []*Tenant{e.home}
	for t := range e.elsewhere {
		list = append(list, t)
	}
	return list
}

func (e *entry) mustExist() {
	if e.removed {
		panic(fmt.Sprintf("entratest: %s has been removed", e.appID))
	}
}
