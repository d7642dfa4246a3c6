// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"regexp"
	"strings"
)

// tenantName is what Entra takes for a domain: at least two labels.
var tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)

// Tenant is a directory: the service principals of apps and resources in it,
// and the roles granted between them.
type Tenant struct {
	s  *Server
	id string

	// principals maps the app ID of an app or a resource to the object ID of
	// its service principal here. Guarded by s.mu, like grants.
	principals map[string]string
	grants     map[grantKey]map[string]bool
}

type grantKey struct {
	app      *App
	resource *Resource
}

// AddTenant makes an empty tenant with a random ID. Requests may name it by
// that ID or by one of domains. It panics if a domain is not one or is taken.
func (s *Server) AddTenant(domains ...string) *Tenant {
	t := &Tenant{
		s:          s,
		id:         newGUID(),
		principals: make(map[string]string),
		grants:     make(map[grantKey]map[string]bool),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range domains {
		d = strings.ToLower(d)
		if !tenantName.MatchString(d) {
			panic(fmt.Sprintf("entratest: %q is not a domain name", d))
		}
		if s.tenants[d] != nil {
			panic(fmt.Sprintf("entratest: domain %q belongs to another tenant", d))
		}
		s.tenants[d] = t
	}
	s.tenants[t.id] = t
	return t
}

// ID returns the tenant ID, a GUID.
func (t *Tenant) ID() string { return t.id }

// Install makes a service principal for app in t, which is what an
// administrator's consent does for an app of another tenant. Installing it
// again changes nothing.
func (t *Tenant) Install(app *App) {
	t.s.mustOwn(app.s)
	t.addPrincipal(app.clientID)
}

// Provide makes a service principal for r in t, so that apps there can ask for
// tokens for it. Providing it again changes nothing.
func (t *Tenant) Provide(r *Resource) {
	t.s.mustOwn(r.s)
	t.addPrincipal(r.appID)
}

func (t *Tenant) addPrincipal(appID string) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.principals[appID] == "" {
		t.principals[appID] = newGUID()
	}
}

// mustOwn panics if an object is of another emulator: its state has another
// lock, and no real directory knows objects of another cloud.
func (s *Server) mustOwn(other *Server) {
	if s != other {
		panic("entratest: object belongs to another Server")
	}
}

// findTenant returns the tenant that a path names.
func (s *Server) findTenant(name string) (*Tenant, *refusal) {
	n := strings.ToLower(name)
	switch n {
	case "common", "organizations", "consumers":
		// An app-only request has no user from whom the tenant could follow.
		return nil, refuse(90002, name)
	}
	if !isGUID(n) && !tenantName.MatchString(n) {
		return nil, refuse(900023, name)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tenants[n]; t != nil {
		return t, nil
	}
	return nil, refuse(90002, name)
}
