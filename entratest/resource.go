// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
)

// Resource is an API that tokens are issued for: its app ID URIs and the app
// roles it defines.
type Resource struct {
	*registration
	uri string

	// Guarded by s.mu.
	keys       []string // of its URIs
	roles      []string
	version    int // of its access tokens
	disabled   bool
	continuous bool
	noIDType   bool // does not ask for idtyp
	noXMSCC    bool // does not ask for xms_cc
}

// NewResource registers an API with an app ID URI and the app roles it
// defines, and provides it in t. An empty uri gives it the one that Entra
// suggests, "api://" and its app ID. It panics if another API that is registered
// in t has the URI.
func (t *Tenant) NewResource(uri string, roles ...string) *Resource {
	return must(t.newResource(ident.NewGUID(), uri, roles))
}

// NewResourceID is [Tenant.NewResource] with an app ID of the caller's choice,
// a GUID but not the empty one, kept in lower case. It also panics if appID is no
// such GUID, or that of another app or resource.
func (t *Tenant) NewResourceID(appID, uri string, roles ...string) *Resource {
	return must(t.newResource(appID, uri, roles))
}

// Expose makes the app an API as well, which is how a service and the scope of its own
// are one registration: its client ID is the API's app ID, and its service principal in
// every tenant is that of both. An empty uri gives the API the one that Entra suggests,
// "api://" and the client ID. It panics if the app is an API already, was removed or is a
// managed identity, and if another API that is registered in the same tenant has the URI.
func (a *App) Expose(uri string, roles ...string) *Resource { return must(a.expose(uri, roles)) }

func (a *App) expose(uri string, roles []string) (*Resource, error) {
	return newAPI(a.registration, uri, roles, func() error {
		switch {
		case a.homeObjectID != "":
			return fmt.Errorf("%s is a managed identity, which is no API", a.appID)
		case a.removed:
			return fmt.Errorf("%s has been removed", a.appID)
		case a.s.resources[a.appID] != nil:
			return fmt.Errorf("%s is an API already", a.appID)
		}
		return a.home.exists()
	})
}

func (t *Tenant) newResource(appID, uri string, roles []string) (*Resource, error) {
	r := &registration{s: t.s, home: t, appID: strings.ToLower(appID)}
	return newAPI(r, uri, roles, r.claim)
}

// newAPI makes a registration an API, if check lets it.
func newAPI(reg *registration, uri string, roles []string, check func() error) (*Resource, error) {
	r := &Resource{registration: reg, uri: cmp.Or(uri, "api://"+reg.appID), roles: slices.Clone(roles), version: 2}
	return orNil(r, reg.s.try(func() error {
		if err := check(); err != nil {
			return err
		}
		if err := r.addURI(r.uri); err != nil {
			return err
		}
		r.s.resources[r.appID] = r
		return r.home.addPrincipal(reg)
	}))
}

// Remove deletes the registration, and with it the service principals of r and
// the roles that were granted on it: nobody gets a token for it any more
// (AADSTS500011), and [Resource.Protect] refuses those that are out. If it is an app as
// well ([App.Expose]), that is gone, too. A second
// Remove does nothing; to provide a removed API panics.
func (r *Resource) Remove() { r.remove() }

// URI returns the app ID URI that r was made with.
func (r *Resource) URI() string { return r.uri }

// AppID returns the app ID, a GUID: the audience of version 2 tokens.
func (r *Resource) AppID() string { return r.appID }

// Scope returns the scope of an app-only request for r: its URI and "/.default".
// After a URI that ends in a slash there are two of them, as there have to be.
func (r *Resource) Scope() string { return r.uri + "/.default" }

// Roles returns the app roles that r defines.
func (r *Resource) Roles() []string {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return slices.Clone(r.roles)
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

// RemoveRoles makes r define fewer app roles, and revokes them where they were
// granted; one that it does not define is ignored. Tokens that were issued stay as
// they are.
func (r *Resource) RemoveRoles(roles ...string) {
	r.s.update(func() {
		r.roles = slices.DeleteFunc(r.roles, func(role string) bool { return slices.Contains(roles, role) })
		for _, t := range r.s.tenants {
			for _, p := range t.principals {
				p.revoke(r, roles)
			}
		}
	})
}

// SetTokenVersion chooses the version of the tokens for r, 1 or 2, which is the
// default. As at Entra the resource decides this, not the endpoint that is asked.
// It panics for another version.
func (r *Resource) SetTokenVersion(v int) { panicIf(r.setTokenVersion(v)) }

func (r *Resource) setTokenVersion(v int) error {
	if v != 1 && v != 2 {
		return fmt.Errorf("token_version is %d, want 1 or 2", v)
	}
	r.s.update(func() { r.version = v })
	return nil
}

// The optional claims that an API may ask for.
const (
	claimIDType       = "idtyp"
	claimCapabilities = "xms_cc"
)

// SetOptionalClaims chooses which of the claims are in the tokens for r that
// Entra puts there only for an API that asks for them in its registration:
// "idtyp", which says that a token is app-only, and "xms_cc", which says that the
// client can answer claims challenges. Here an API asks for both by default;
// without names it asks for none. SetOptionalClaims panics for another name.
// See https://learn.microsoft.com/entra/identity-platform/optional-claims-reference.
//
// [Resource.Protect] goes by what there is: without idtyp, a token is app-only if
// its oid and its sub are the same; without xms_cc no client is challenged.
func (r *Resource) SetOptionalClaims(names ...string) {
	for _, name := range names {
		if name != claimIDType && name != claimCapabilities {
			panicIf(fmt.Errorf("%q is no optional claim that is known here, want %s or %s", name, claimIDType, claimCapabilities))
		}
	}
	r.s.update(func() {
		r.noIDType = !slices.Contains(names, claimIDType)
		r.noXMSCC = !slices.Contains(names, claimCapabilities)
	})
}

// SetMultiTenant says whether r can be used in tenants other than the one it is
// registered in, which is the default. In them an API that is not multi-tenant
// is unknown (AADSTS500011), provided or not.
func (r *Resource) SetMultiTenant(multi bool) { r.s.update(func() { r.singleTenant = !multi }) }

// SetDisabled disables r in all tenants, or enables it again: nobody gets a
// token for it (AADSTS50001). [Tenant.SetResourceDisabled] does so in one.
func (r *Resource) SetDisabled(disabled bool) { r.s.update(func() { r.disabled = disabled }) }

// SetContinuousAccess makes r an API that takes part in continuous access
// evaluation (CAE), as Microsoft Graph does; off is the default. Clients that
// declare cp1 then get tokens that live for 20 to 28 hours, with a refresh_in of
// half of that, unless [Server.SetTokenLifetime] and [Server.SetRefreshIn] say
// otherwise.
func (r *Resource) SetContinuousAccess(on bool) { r.s.update(func() { r.continuous = on }) }

// target is the resource of a token, as it was when the token was asked for.
type target struct {
	requested  string // the resource as the scope names it
	appID      string
	version    int
	roles      []string
	continuous bool
	noIDType   bool
	noXMSCC    bool
}

// findResource looks up what a scope names, for a client that proved who it is.
func (s *Server) findResource(t *Tenant, client clientView, k cloud.Cloud, name string, now time.Time) (target, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := t.principals[client.app.registration]
	if p == nil || p.objectID != client.objectID {
		// It was removed while its proof was verified. What has its ID now, if
		// anything, has other roles.
		if s.apps[client.app.appID] == nil {
			return target{}, refuse(700016, client.app.appID, t.id)
		}
		return target{}, refuse(7000229, client.app.appID, t.id)
	}
	r, rp := t.resourceNamed(k, name)
	if r == nil || now.Before(rp.effectiveFrom) {
		return target{}, refuse(500011, name, t.id).beside("resource", name, t.knownResources()...)
	}
	tgt := target{
		requested: name, appID: r.appID, version: r.version, continuous: r.continuous,
		noIDType: r.noIDType, noXMSCC: r.noXMSCC,
	}
	for _, role := range r.roles { // in the order of definition
		if p.hasRole(r, role, now) {
			tgt.roles = append(tgt.roles, role)
		}
	}
	switch {
	case r.disabled:
		return target{}, refuse(50001, name)
	case rp.disabled:
		return target{}, refuse(500014, name)
	case rp.assignmentRequired && len(tgt.roles) == 0:
		return target{}, refuse(501051, client.app.appID, name).beside("roles", "", r.roles...)
	}
	return tgt, nil
}

// resourceURI is an app ID URI of the resources registered in one tenant. What a
// template deploys everywhere has the same URI in every tenant.
type resourceURI struct {
	key  string
	home *Tenant
}

// AddURI gives r another app ID URI that scopes may name it by. Letter case
// matters, a slash at the end does not. One that it has already changes nothing.
// AddURI panics if another API that is registered in the same tenant has the URI,
// which Entra does not allow either.
func (r *Resource) AddURI(uri string) {
	panicIf(r.s.try(func() error {
		if r.removed {
			return fmt.Errorf("%s has been removed", r.appID)
		}
		return r.addURI(uri)
	}))
}

func (r *Resource) addURI(uri string) error {
	key := resourceURI{resourceKey(uri), r.home}
	switch owner := r.s.uris[key]; owner {
	case r:
	case nil:
		r.s.uris[key] = r
		r.keys = append(r.keys, key.key)
	default:
		return fmt.Errorf("another API of the tenant %s has the URI %q", r.home.id, uri)
	}
	return nil
}

// RemoveURI takes an app ID URI away: scopes with it name nothing
// (AADSTS500011). One that r does not have is ignored. The app ID, and "api://"
// and the app ID, go on to name r.
func (r *Resource) RemoveURI(uri string) {
	key := resourceKey(uri)
	r.s.update(func() {
		if i := slices.Index(r.keys, key); i >= 0 {
			r.keys = slices.Delete(r.keys, i, i+1)
			delete(r.s.uris, resourceURI{key, r.home})
		}
	})
}

// resourceKey is what URIs are looked up by. A slash at the end does not make it
// another resource; it only makes another audience in the token.
func resourceKey(uri string) string { return strings.TrimSuffix(uri, "/") }

// namedAppID returns what is an app ID if a scope names the resource by its app ID,
// with or without "api://". Letter case does not matter in GUIDs.
func namedAppID(name string) string {
	return strings.ToLower(strings.TrimPrefix(resourceKey(name), "api://"))
}

// named reports whether a scope can name r so. The caller holds mu.
func (r *Resource) named(name string) bool { return r.namedIn(anyCloud, name) }

// namedIn is named at the authority of a cloud.
func (r *Resource) namedIn(k cloud.Cloud, name string) bool {
	key := resourceKey(name)
	return namedAppID(name) == r.appID || slices.Contains(r.keys, key) || r.microsoft != nil && r.microsoft.hasURI(k, key)
}

// resourceNamed returns what a scope names in t when a cloud is asked, and its service
// principal there; nil if it names nothing that can be used in t. One of Microsoft's is
// found last: whoever registers it with roles of his own means that. The caller holds mu.
func (t *Tenant) resourceNamed(k cloud.Cloud, name string) (*Resource, *principal) {
	if r, p := t.registeredAs(name); r != nil {
		return r, p
	}
	return t.usable(t.s.microsoftResource(k, name))
}

func (t *Tenant) registeredAs(name string) (*Resource, *principal) {
	if r := t.s.resources[namedAppID(name)]; r != nil {
		return t.usable(r)
	}
	key := resourceKey(name)
	if r, p := t.usable(t.s.uris[resourceURI{key, t}]); r != nil {
		return r, p
	}
	// Of those registered in other tenants, one that is provided here: the same
	// every time if there are several.
	var found *Resource
	for reg := range t.principals {
		r := t.s.uris[resourceURI{key, reg.home}]
		if r == nil || r.registration != reg || found != nil && found.appID < r.appID {
			continue
		}
		if usable, _ := t.usable(r); usable != nil {
			found = r
		}
	}
	return t.usable(found)
}

// usable returns r with its service principal in t, nil if t cannot use it.
func (t *Tenant) usable(r *Resource) (*Resource, *principal) {
	if r == nil || r.singleTenant && r.home != t {
		return nil, nil
	}
	p := t.principals[r.registration]
	switch {
	case p == nil && r.microsoft != nil:
		return r, everywhere
	case p == nil:
		return nil, nil
	}
	return r, p
}
