// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"
)

// Resource is an API that tokens are issued for: an app ID URI and the app
// roles it defines.
type Resource struct {
	s     *Server
	uri   string
	appID string
	roles []string

	version int // of its access tokens; guarded by s.mu
}

// NewResource registers an API with an app ID URI and the app roles it
// defines, and provides it in t. An empty uri gives it the one that Entra
// suggests, "api://" and its app ID.
func (t *Tenant) NewResource(uri string, roles ...string) *Resource {
	r := &Resource{s: t.s, uri: uri, appID: newGUID(), roles: slices.Clone(roles), version: 2}
	if r.uri == "" {
		r.uri = "api://" + r.appID
	}
	t.s.mu.Lock()
	t.s.resources = append(t.s.resources, r)
	t.s.mu.Unlock()
	t.Provide(r)
	return r
}

// URI returns the app ID URI.
func (r *Resource) URI() string { return r.uri }

// AppID returns the app ID, a GUID: the audience of version 2 tokens.
func (r *Resource) AppID() string { return r.appID }

// Scope returns the scope of an app-only request for r: its URI and
// "/.default". A URI that ends in a slash therefore gives two of them, and has
// to.
func (r *Resource) Scope() string { return r.uri + "/.default" }

// SetTokenVersion chooses the claims of the tokens for r, 1 or 2; 2 is the
// default. It is the resource that decides this, not the endpoint asked.
func (r *Resource) SetTokenVersion(v int) {
	if v != 1 && v != 2 {
		panic(fmt.Sprintf("entratest: token version %d, want 1 or 2", v))
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.version = v
}

// Grant gives app the roles on r in t. Tokens issued from now on carry them.
// Both need a service principal in t ([Tenant.Install], [Tenant.Provide]), and
// r must define the roles; Grant panics otherwise, as a test that grants
// nothing by mistake would be hard to read.
func (r *Resource) Grant(t *Tenant, app *App, roles ...string) {
	t.s.mustOwn(r.s)
	t.s.mustOwn(app.s)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if t.principals[app.clientID] == "" || t.principals[r.appID] == "" {
		panic("entratest: Grant needs app and resource to have a service principal in the tenant")
	}
	key := grantKey{app, r}
	if t.grants[key] == nil {
		t.grants[key] = make(map[string]bool)
	}
	for _, role := range roles {
		if !slices.Contains(r.roles, role) {
			panic(fmt.Sprintf("entratest: %s defines no role %q", r.uri, role))
		}
		t.grants[key][role] = true
	}
}

// Revoke takes the roles from app again. Tokens that were issued stay as they
// are.
func (r *Resource) Revoke(t *Tenant, app *App, roles ...string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, role := range roles {
		delete(t.grants[grantKey{app, r}], role)
	}
}

// target is what a token is to be issued for, at one moment.
type target struct {
	requested string // the resource as the scope names it
	appID     string
	version   int
	roles     []string
}

// findResource looks up what a scope names: an app ID URI, an app ID, or
// "api://" and an app ID.
func (s *Server) findResource(t *Tenant, app *App, name string) (target, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.resources {
		if !r.named(name) || t.principals[r.appID] == "" {
			continue
		}
		tgt := target{requested: name, appID: r.appID, version: r.version}
		for _, role := range r.roles { // in the order of definition
			if t.grants[grantKey{app, r}][role] {
				tgt.roles = append(tgt.roles, role)
			}
		}
		return tgt, nil
	}
	return target{}, refuse(500011, name, t.id)
}

func (r *Resource) named(name string) bool {
	// A slash at the end does not select another resource, it selects another
	// audience: the one it is asked for with.
	if strings.TrimSuffix(name, "/") == strings.TrimSuffix(r.uri, "/") {
		return true
	}
	id := strings.ToLower(name)
	return strings.TrimPrefix(id, "api://") == r.appID
}
