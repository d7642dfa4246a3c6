// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"
)

// resourceURI is an app ID URI of the resources registered in one tenant. What a
// template deploys everywhere has the same URI in every tenant.
type resourceURI struct {
	key  string
	home *Tenant
}

// AddURI gives r another app ID URI that scopes may name it by. Letter case
// matters, a slash at the end does not. One that it has already changes nothing.
// AddURI panics if another API that is registered in the same tenant has the
// URI: as at Entra a scope could not name it.
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

// resourceKey is what URIs are looked up by. A slash at the end does not select
// another resource, it selects another audience: the one it is asked for with.
func resourceKey(uri string) string { return strings.TrimSuffix(uri, "/") }

// namedAppID returns the app ID that a scope names a resource by, as it is or
// behind "api://", if it does so. GUIDs have no letter case.
func namedAppID(name string) string {
	return strings.ToLower(strings.TrimPrefix(resourceKey(name), "api://"))
}

// named reports whether a scope can name r so. The caller holds mu.
func (r *Resource) named(name string) bool {
	return namedAppID(name) == r.appID || slices.Contains(r.keys, resourceKey(name))
}

// resourceNamed returns what a scope names in t, and its service principal
// there; nil if it names nothing that can be used in t. The caller holds mu.
func (t *Tenant) resourceNamed(name string) (*Resource, *principal) {
	if r := t.s.resources[namedAppID(name)]; r != nil {
		return t.usable(r)
	}
	key := resourceKey(name)
	if r, p := t.usable(t.s.uris[resourceURI{key, t}]); r != nil {
		return r, p
	}
	// Of those registered elsewhere, one that is provided here. If there are
	// several, it is always the same.
	var found *Resource
	for reg := range t.principals {
		r := t.s.uris[resourceURI{key, reg.home}]
		if r == nil || &r.registration != reg || found != nil && found.appID < r.appID {
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
	if r == nil || r.singleTenant && r.home != t || t.principals[&r.registration] == nil {
		return nil, nil
	}
	return r, t.principals[&r.registration]
}
