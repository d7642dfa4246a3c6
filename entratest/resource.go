// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Resource is an API that tokens are issued for: its app ID URIs and the app
// roles it defines.
type Resource struct {
	s     *Server
	home  *Tenant
	uri   string
	appID string

	// Guarded by s.mu.
	roles        []string
	version      int // of its access tokens
	singleTenant bool
	disabled     bool
	continuous   bool
}

// NewResource registers an API with an app ID URI and the app roles it
// defines, and provides it in t. An empty uri gives it the one that Entra
// suggests, "api://" and its app ID.
func (t *Tenant) NewResource(uri string, roles ...string) *Resource {
	return t.newResource(newGUID(), uri, roles)
}

func (t *Tenant) newResource(appID, uri string, roles []string) *Resource {
	r := &Resource{s: t.s, home: t, uri: uri, appID: appID, roles: slices.Clone(roles), version: 2}
	if r.uri == "" {
		r.uri = "api://" + r.appID
	}
	t.s.update(func() { t.s.resources[r.appID] = []*Resource{r} })
	r.AddURI(r.uri)
	t.Provide(r)
	return r
}

// URI returns the app ID URI that it was made with.
func (r *Resource) URI() string { return r.uri }

// AppID returns the app ID, a GUID: the audience of version 2 tokens.
func (r *Resource) AppID() string { return r.appID }

// Scope returns the scope of an app-only request for r: its URI and
// "/.default". A URI that ends in a slash therefore gives two of them, and has
// to.
func (r *Resource) Scope() string { return r.uri + "/.default" }

// Roles returns the app roles that r defines.
func (r *Resource) Roles() []string {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return slices.Clone(r.roles)
}

// AddURI gives r another app ID URI that scopes may name it by.
func (r *Resource) AddURI(uri string) {
	key := resourceKey(uri)
	r.s.update(func() {
		if !slices.Contains(r.s.resources[key], r) {
			r.s.resources[key] = append(r.s.resources[key], r)
		}
	})
}

// resourceKey is what resources are looked up by. A slash at the end does not
// select another resource, it selects another audience: the one it is asked for
// with.
func resourceKey(uri string) string { return strings.TrimSuffix(uri, "/") }

// resourceKeys are those of what a scope names: an app ID URI, an app ID, or
// "api://" and an app ID.
func resourceKeys(name string) []string {
	return []string{resourceKey(name), strings.TrimPrefix(strings.ToLower(name), "api://")}
}

// AddRoles makes r define more app roles.
func (r *Resource) AddRoles(roles ...string) {
	r.s.update(func() {
		for _, role := range roles {
			if !slices.Contains(r.roles, role) {
				r.roles = append(r.roles, role)
			}
		}
	})
}

func (r *Resource) defines(role string) bool {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return slices.Contains(r.roles, role)
}

// named tells whether a scope can name r so. The caller holds mu.
func (r *Resource) named(name string) bool {
	return slices.ContainsFunc(resourceKeys(name), func(key string) bool { return slices.Contains(r.s.resources[key], r) })
}

// SetTokenVersion chooses the claims of the tokens for r, 1 or 2; 2 is the
// default. It is the resource that decides this, not the endpoint asked.
func (r *Resource) SetTokenVersion(v int) {
	if v != 1 && v != 2 {
		panic(fmt.Sprintf("entratest: token version %d, want 1 or 2", v))
	}
	r.s.update(func() { r.version = v })
}

// SetMultiTenant says whether r can be used in tenants other than the one it is
// registered in, which is the default. In them an API that is not multi-tenant
// is unknown (AADSTS500011), provided or not.
func (r *Resource) SetMultiTenant(multi bool) { r.s.update(func() { r.singleTenant = !multi }) }

// SetDisabled disables r in all tenants, or enables it again: nobody gets a
// token for it (AADSTS50001). [Tenant.SetResourceDisabled] does so in one.
func (r *Resource) SetDisabled(disabled bool) { r.s.update(func() { r.disabled = disabled }) }

// SetContinuousAccess makes r an API that takes part in continuous access
// evaluation, as Microsoft Graph does; off is the default. Clients that declare
// cp1 then get tokens that live for 20 to 28 hours, with a refresh_in of half of
// that, unless [Server.SetTokenLifetime] and [Server.SetRefreshIn] say otherwise.
func (r *Resource) SetContinuousAccess(on bool) { r.s.update(func() { r.continuous = on }) }

// Grant gives app the roles on r in t. Tokens issued from now on carry them.
// Both need a service principal in t ([Tenant.Install], [Tenant.Provide]), and
// r must define the roles; Grant panics otherwise, as a test that grants
// nothing by mistake would be hard to read.
func (r *Resource) Grant(t *Tenant, app *App, roles ...string) {
	t.s.mustOwn(r.s)
	t.changePrincipal(app.s, app.clientID, func(p *principal) {
		if t.principals.find(r.appID) == nil {
			panic("entratest: Grant needs the resource to have a service principal in the tenant")
		}
		for _, role := range roles {
			if !slices.Contains(r.roles, role) {
				panic(fmt.Sprintf("entratest: %s defines no role %q", r.uri, role))
			}
		}
		i := slices.IndexFunc(p.grants, func(g grant) bool { return g.resource == r })
		if i < 0 {
			i = len(p.grants)
			p.grants = append(p.grants, grant{resource: r})
		}
		for _, role := range roles {
			if g := &p.grants[i]; !slices.Contains(g.roles, role) {
				g.roles = append(g.roles, role)
			}
		}
	})
}

// Revoke takes the roles from app again. Tokens that were issued stay as they
// are.
func (r *Resource) Revoke(t *Tenant, app *App, roles ...string) {
	r.s.update(func() {
		p := t.principals.find(app.clientID)
		if p == nil {
			return
		}
		for i := range p.grants {
			if g := &p.grants[i]; g.resource == r {
				g.roles = slices.DeleteFunc(g.roles, func(role string) bool { return slices.Contains(roles, role) })
			}
		}
	})
}

// target is what a token is to be issued for, at one moment.
type target struct {
	requested  string // the resource as the scope names it
	appID      string
	version    int
	roles      []string
	continuous bool
}

// findResource looks up what a scope names.
func (s *Server) findResource(t *Tenant, clientID, name string, now time.Time) (target, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	client := t.principals.find(clientID)
	for _, key := range resourceKeys(name) {
		for _, r := range s.resources[key] {
			p := t.principals.find(r.appID)
			if p == nil || !p.from.reached(now) || r.singleTenant && r.home != t {
				continue
			}
			tgt := target{requested: name, appID: r.appID, version: r.version, continuous: r.continuous}
			if client != nil { // taken away since, perhaps
				granted := client.rolesOn(r)
				for _, role := range r.roles { // in the order of definition
					if slices.Contains(granted, role) {
						tgt.roles = append(tgt.roles, role)
					}
				}
			}
			switch {
			case r.disabled:
				return target{}, refuse(50001, name)
			case p.disabled:
				return target{}, refuse(500014, name)
			case p.assignmentRequired && len(tgt.roles) == 0:
				return target{}, refuse(501051, clientID, name)
			}
			return tgt, nil
		}
	}
	return target{}, refuse(500011, name, t.id)
}
