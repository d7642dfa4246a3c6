// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// tenantName is what Entra takes for a domain: at least two labels.
var tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)

// isTenantName tells whether a path can name a tenant so.
func isTenantName(name string) bool {
	n := strings.ToLower(name)
	return isGUID(n) || tenantName.MatchString(n) || n == "common" || n == "organizations"
}

// emptyGUID is what an identifier that was never filled in looks like.
const emptyGUID = "00000000-0000-0000-0000-000000000000"

// Tenant is a directory: the service principals of apps and resources in it,
// and the roles granted between them.
type Tenant struct {
	s  *Server
	id string

	// Guarded by s.mu.
	domains    []string
	principals principals
	policy     *tenantPolicy // nil: nothing out of the ordinary
}

// tenantPolicy is what few tenants of many have.
type tenantPolicy struct {
	suspended    bool
	otherCloud   bool
	noFederation bool
	issuers      []string // that may be federated with; nil for any
}

// AddTenant makes an empty tenant with a random ID. Requests may name it by
// that ID or by one of domains. It panics if a domain is not one or is taken,
// and adds nothing then.
func (s *Server) AddTenant(domains ...string) *Tenant { return s.addTenant(newGUID(), domains) }

func (s *Server) addTenant(id string, domains []string) *Tenant {
	t := &Tenant{s: s, id: id}
	s.update(func() {
		if s.tenants[id] != nil {
			panic(fmt.Sprintf("entratest: tenant ID %q is taken", id))
		}
		for _, d := range domains {
			t.checkDomain(strings.ToLower(d))
		}
		s.tenants[id] = t
		for _, d := range domains {
			t.addDomain(strings.ToLower(d))
		}
	})
	return t
}

// ID returns the tenant ID, a GUID.
func (t *Tenant) ID() string { return t.id }

// AddDomain gives the tenant another name that requests may use in place of its
// ID. It panics if it is not a domain name or belongs to another tenant, and if t
// was removed.
func (t *Tenant) AddDomain(domain string) {
	d := strings.ToLower(domain)
	t.s.update(func() {
		t.mustExist()
		t.checkDomain(d)
		t.addDomain(d)
	})
}

// RemoveDomain takes such a name away: requests that use it are for a tenant
// that is unknown (AADSTS90002). One that t does not have is ignored.
func (t *Tenant) RemoveDomain(domain string) {
	d := strings.ToLower(domain)
	t.s.update(func() {
		if i := slices.Index(t.domains, d); i >= 0 {
			t.domains = slices.Delete(t.domains, i, i+1)
			delete(t.s.tenants, d)
		}
	})
}

func (t *Tenant) checkDomain(d string) {
	if !tenantName.MatchString(d) {
		panic(fmt.Sprintf("entratest: %q is not a domain name", d))
	}
	if owner := t.s.tenants[d]; owner != nil && owner != t {
		panic(fmt.Sprintf("entratest: domain %q belongs to another tenant", d))
	}
}

func (t *Tenant) addDomain(d string) {
	if t.s.tenants[d] == nil {
		t.s.tenants[d] = t
		t.domains = append(t.domains, d)
	}
}

func (t *Tenant) mustExist() {
	if t.s.tenants[t.id] != t {
		panic(fmt.Sprintf("entratest: the tenant %s has been removed", t.id))
	}
}

// SetDisabled suspends the tenant, or ends that: token requests to it are
// refused with AADSTS5000224.
func (t *Tenant) SetDisabled(disabled bool) {
	t.setPolicy(func(p *tenantPolicy) { p.suspended = disabled })
}

// SetOtherCloud makes the tenant one of another national cloud, or one of this
// cloud again. A confidential client cannot cross clouds: token requests to such
// a tenant are refused with AADSTS900382.
func (t *Tenant) SetOtherCloud(other bool) {
	t.setPolicy(func(p *tenantPolicy) { p.otherCloud = other })
}

func (t *Tenant) setPolicy(change func(*tenantPolicy)) {
	t.s.update(func() {
		if t.policy == nil {
			t.policy = new(tenantPolicy)
		}
		change(t.policy)
	})
}

// Remove deletes the tenant: its ID and its domains are unknown from then on.
// The apps registered in it stay with the other tenants that installed them. A
// second Remove does nothing; to add something to a removed tenant panics.
func (t *Tenant) Remove() {
	t.s.update(func() {
		if t.s.tenants[t.id] != t {
			return
		}
		delete(t.s.tenants, t.id)
		for _, d := range t.domains {
			delete(t.s.tenants, d)
		}
		t.domains = nil
		for _, p := range t.principals.list { // or what lives on would keep t
			if app := t.s.apps[p.appID]; app != nil {
				delete(app.elsewhere, t)
			}
			if r := t.s.resources[p.appID]; r != nil {
				delete(r.elsewhere, t)
			}
		}
	})
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
	switch {
	case n == emptyGUID:
		return nil, refuse(900021, name)
	case n == "consumers": // a tenant of its own, which is not here
	case !isGUID(n) && !tenantName.MatchString(n):
		return nil, refuse(900023, name)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tenants[n]; t != nil {
		return t, nil
	}
	return nil, refuse(90002, name)
}

// findTokenTenant returns the tenant that a token request names, if tokens are
// to be had there.
func (s *Server) findTokenTenant(name string) (*Tenant, *refusal) {
	switch strings.ToLower(name) {
	case "common", "organizations":
		// An app-only request has no user from whom the tenant could follow.
		return nil, refuse(50059)
	case "consumers":
		return nil, refuse(9001023)
	}
	t, f := s.findTenant(name)
	if f != nil {
		return nil, f
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch p := t.policy; {
	case p == nil:
	case p.otherCloud:
		return nil, refuse(900382)
	case p.suspended:
		return nil, refuse(5000224)
	}
	return t, nil
}
