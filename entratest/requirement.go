// SPDX-License-Identifier: MIT

package entratest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apponly/apponly/cloud"
)

// requirement is what an app asks for on one API.
type requirement struct {
	resource *Resource
	roles    []string // in the order in which they were required
}

// Require puts roles on r into the app's registration: an administrator who consents
// grants them. The page for that is at [cloud.Cloud.Authority], the tenant and
// "/adminconsent" or "/v2.0/adminconsent", as at Entra; it installs the app in the
// administrator's tenant ([Tenant.Install]) and grants the roles ([Resource.Grant]),
// both after the time of [Server.SetPropagation].
//
// Require panics without roles, if r does not define one of them, was removed or is of
// another Server.
func (a *App) Require(r *Resource, roles ...string) { panicIf(a.require(r, roles)) }

func (a *App) require(r *Resource, roles []string) error {
	if r.s != a.s {
		return errOtherServer
	}
	if len(roles) == 0 {
		return errors.New("no role is required")
	}
	return a.s.try(func() error {
		if r.removed {
			return fmt.Errorf("%s has been removed", r.appID)
		}
		if err := r.defines(roles); err != nil {
			return err
		}
		i := slices.IndexFunc(a.requires, func(q requirement) bool { return q.resource == r })
		if i < 0 {
			i = len(a.requires)
			a.requires = append(a.requires, requirement{resource: r})
		}
		for _, role := range roles {
			if q := &a.requires[i]; !slices.Contains(q.roles, role) {
				q.roles = append(q.roles, role)
			}
		}
		return nil
	})
}

// defines returns an error unless r has all of the roles. The caller holds mu.
func (r *Resource) defines(roles []string) error {
	for _, name := range roles {
		if !slices.Contains(r.roles, name) {
			return fmt.Errorf("%s defines no role %q", r.uri, name)
		}
	}
	return nil
}

// asks returns what the app asks an administrator for, in whichever tenant: with the
// resource of a scope, on that alone. Roles that an API no longer defines are left out.
// The caller holds mu.
func (a *App) asks(resource string) []requirement {
	var asked []requirement
	for _, q := range a.requires {
		if resource == "" || q.resource.named(resource) {
			roles := slices.DeleteFunc(slices.Clone(q.roles), func(role string) bool { return !slices.Contains(q.resource.roles, role) })
			asked = append(asked, requirement{q.resource, roles})
		}
	}
	return asked
}

// asksIn is asks in a tenant, in which all APIs have to be. The caller holds mu.
func (a *App) asksIn(t *Tenant, k cloud.Cloud, resource string, now time.Time) ([]requirement, *refusal) {
	if resource != "" {
		r, p := t.resourceNamed(k, resource)
		if r == nil && !t.s.isRegistered(resource) {
			return nil, refuse(500011, resource, t.id)
		}
		if r == nil || now.Before(p.effectiveFrom) {
			return nil, refuse(650052, a.appID, resource, t.id)
		}
		asked := slices.DeleteFunc(a.asks(""), func(q requirement) bool { return q.resource != r })
		return asked, nil
	}
	asked := a.asks("")
	for _, q := range asked {
		if r, p := t.usable(q.resource); r == nil || now.Before(p.effectiveFrom) {
			return nil, refuse(650052, a.appID, q.resource.uri, t.id)
		}
	}
	return asked, nil
}

// isRegistered reports whether a scope can name an API of any tenant so. The caller
// holds mu.
func (s *Server) isRegistered(name string) bool {
	if s.resources[namedAppID(name)] != nil || s.microsoftResource(anyCloud, name) != nil {
		return true
	}
	for uri := range s.uris {
		if uri.key == resourceKey(name) {
			return true
		}
	}
	return false
}
