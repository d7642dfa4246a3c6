// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// Tenant is a directory: the service principals of apps and resources in it,
// and the roles granted between them.
type Tenant struct {
	s  *Server
	id string

	// Guarded by s.mu.
	domains      []string
	principals   map[*registration]*principal
	suspended    bool
	otherCloud   bool
	noFederation bool
	issuers      []string // that may be federated with; empty for any
}

// AddTenant makes an empty tenant with a random ID. Requests may name it by
// that ID or by one of domains. It panics if a domain is not one or is taken,
// and adds nothing then.
func (s *Server) AddTenant(domains ...string) *Tenant {
	return must(s.addTenant(ident.NewGUID(), domains))
}

// AddTenantID is [Server.AddTenant] with an ID of the caller's choice, a GUID but
// not the empty one, kept in lower case. It also panics if id is no such GUID, or
// that of another tenant.
func (s *Server) AddTenantID(id string, domains ...string) *Tenant {
	return must(s.addTenant(id, domains))
}

func (s *Server) addTenant(id string, domains []string) (*Tenant, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	t := &Tenant{s: s, id: strings.ToLower(id), principals: make(map[*registration]*principal)}
	return orNil(t, s.try(func() error {
		if s.tenants[t.id] != nil {
			return fmt.Errorf("tenant ID %q is taken", t.id)
		}
		for _, d := range domains {
			if err := t.checkDomain(d); err != nil {
				return err
			}
		}
		s.tenants[t.id] = t
		for _, d := range domains {
			t.addDomain(d)
		}
		return nil
	}))
}

// emptyGUID is what an identifier that was never filled in looks like.
const emptyGUID = "00000000-0000-0000-0000-000000000000"

// checkID says what is wrong with an ID that somebody has chosen.
func checkID(id string) error {
	if !ident.IsGUID(id) || id == emptyGUID {
		return fmt.Errorf("%q is not a GUID that something can have", id)
	}
	return nil
}

// ID returns the tenant ID, a GUID.
func (t *Tenant) ID() string { return t.id }

// AddDomain gives the tenant another name that requests may use in place of its
// ID. It panics if it is not a domain name or belongs to another tenant, and if t
// was removed.
func (t *Tenant) AddDomain(domain string) {
	panicIf(t.s.try(func() error {
		if err := t.exists(); err != nil {
			return err
		}
		if err := t.checkDomain(domain); err != nil {
			return err
		}
		t.addDomain(domain)
		return nil
	}))
}

// RemoveDomain takes such a name away: requests that use it are for a tenant
// that is unknown (AADSTS90002). A name that t does not have is ignored.
func (t *Tenant) RemoveDomain(domain string) {
	d := strings.ToLower(domain)
	t.s.update(func() {
		if i := slices.Index(t.domains, d); i >= 0 {
			t.domains = slices.Delete(t.domains, i, i+1)
			delete(t.s.tenants, d)
		}
	})
}

func (t *Tenant) checkDomain(domain string) error {
	if !ident.IsDomain(domain) {
		return fmt.Errorf("%q is not a domain name", domain)
	}
	if owner := t.s.tenants[strings.ToLower(domain)]; owner != nil && owner != t {
		return fmt.Errorf("domain %q belongs to another tenant", domain)
	}
	return nil
}

func (t *Tenant) addDomain(domain string) {
	if d := strings.ToLower(domain); t.s.tenants[d] == nil {
		t.s.tenants[d] = t
		t.domains = append(t.domains, d)
	}
}

// exists returns an error if t has been removed. The caller holds mu.
func (t *Tenant) exists() error {
	if t.s.tenants[t.id] != t {
		return fmt.Errorf("the tenant %s has been removed", t.id)
	}
	return nil
}

// SetDisabled suspends the tenant, or ends that: token requests to it are
// refused with AADSTS5000224.
func (t *Tenant) SetDisabled(disabled bool) { t.s.update(func() { t.suspended = disabled }) }

// SetOtherCloud makes the tenant one of another national cloud, or one of this
// cloud again. A confidential client cannot cross clouds: token requests to such
// a tenant are refused with AADSTS900382.
func (t *Tenant) SetOtherCloud(other bool) { t.s.update(func() { t.otherCloud = other }) }

// SetFederationAllowed says whether the apps registered in t may prove
// themselves with federated credentials at all, which they may by default. If
// not they are refused with AADSTS700223.
func (t *Tenant) SetFederationAllowed(allowed bool) {
	t.s.update(func() { t.noFederation = !allowed })
}

// AllowIssuers makes urls the only outside issuers that the apps registered in
// t may federate with; assertions of others are refused with AADSTS700238.
// Without urls any issuer is allowed, which is the default.
func (t *Tenant) AllowIssuers(urls ...string) {
	allowed := slices.Clone(urls)
	t.s.update(func() { t.issuers = allowed })
}

// Remove deletes the tenant: its ID and its domains are unknown from then on.
// The apps registered in it stay with the other tenants that installed them. A
// second Remove does nothing; to add something to a removed tenant panics.
func (t *Tenant) Remove() {
	t.s.update(func() {
		if t.exists() != nil {
			return
		}
		delete(t.s.tenants, t.id)
		for _, d := range t.domains {
			delete(t.s.tenants, d)
		}
		t.domains = nil
	})
}

// isTenantName reports whether a path can have name in the place of a tenant.
func isTenantName(name string) bool {
	return ident.IsGUID(name) || ident.IsDomain(name) ||
		strings.EqualFold(name, "common") || strings.EqualFold(name, "organizations")
}

// findTenant returns the tenant that a path names.
func (s *Server) findTenant(name string) (*Tenant, *refusal) {
	n := strings.ToLower(name)
	switch {
	case n == emptyGUID:
		return nil, refuse(900021, name).beside("tenant", name)
	case n == "consumers": // the tenant of personal accounts, which is not here
	case !ident.IsGUID(name) && !ident.IsDomain(name):
		return nil, refuse(900023, name).beside("tenant", name, "a GUID", "a domain name")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tenants[n]; t != nil {
		return t, nil
	}
	return nil, refuse(90002, name).beside("tenant", name, known(s.tenants)...)
}

// findTokenTenant returns the tenant that a token request names, if it issues
// tokens.
func (s *Server) findTokenTenant(name string) (*Tenant, *refusal) {
	switch strings.ToLower(name) {
	case "common", "organizations":
		// An app-only request has no user from whom the tenant could follow.
		return nil, refuse(50059).beside("tenant", name, "the ID or the domain name of one")
	case "consumers":
		return nil, refuse(9001023).beside("tenant", name, "the ID or the domain name of one")
	}
	return s.findOpenTenant(name)
}

// findOpenTenant returns the tenant that a path names, if it is in use here.
func (s *Server) findOpenTenant(name string) (*Tenant, *refusal) {
	t, f := s.findTenant(name)
	if f != nil {
		return nil, f
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case t.otherCloud:
		return nil, refuse(900382)
	case t.suspended:
		return nil, refuse(5000224)
	}
	return t, nil
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
