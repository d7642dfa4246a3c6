// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"
)

// holders are the resources that have a URI, by the tenant they are registered
// in. Mostly there is one; but what a template deploys everywhere has the same
// URI in every tenant.
type holders struct {
	one    *Resource
	byHome map[*Tenant]*Resource // instead of one, if there are more
}

func (h *holders) in(home *Tenant) *Resource {
	if h.one != nil && h.one.home == home {
		return h.one
	}
	return h.byHome[home]
}

func (h *holders) add(r *Resource) {
	switch {
	case h.one == nil && h.byHome == nil:
		h.one = r
		return
	case h.byHome == nil:
		h.byHome = map[*Tenant]*Resource{h.one.home: h.one}
		h.one = nil
	}
	h.byHome[r.home] = r
}

// AddURI gives r another app ID URI that scopes may name it by. Letter case
// matters, a slash at the end does not. One that it has already changes nothing.
// AddURI panics if another API that is registered in the same tenant has the
// URI: as at Entra a scope could not name it.
func (r *Resource) AddURI(uri string) {
	r.s.update(func() {
		r.mustExist()
		r.addURI(uri)
	})
}

// RemoveURI takes an app ID URI away: scopes with it name nothing
// (AADSTS500011). One that r does not have is ignored. The app ID, and "api://"
// and the app ID, go on to name r.
func (r *Resource) RemoveURI(uri string) { r.s.update(func() { r.removeURI(resourceKey(uri)) }) }

func (r *Resource) addURI(uri string) {
	key := resourceKey(uri)
	h := r.s.uris[key]
	if h == nil {
		h = new(holders)
		r.s.uris[key] = h
	}
	switch h.in(r.home) {
	case r:
		return
	case nil:
	default:
		panic(fmt.Sprintf("entratest: another API of the tenant %s has the URI %q", r.home.id, uri))
	}
	h.add(r)
	r.keys = append(r.keys, key)
}

func (r *Resource) removeURI(key string) {
	i := slices.Index(r.keys, key)
	if i < 0 {
		return
	}
	r.keys = slices.Delete(r.keys, i, i+1)
	h := r.s.uris[key]
	delete(h.byHome, r.home)
	if h.one == r || h.one == nil && len(h.byHome) == 0 {
		delete(r.s.uris, key)
	}
}

// resourceKey is what URIs are looked up by. A slash at the end does not select
// another resource, it selects another audience: the one it is asked for with.
func resourceKey(uri string) string { return strings.TrimSuffix(uri, "/") }

// namedAppID returns the app ID that a scope names a resource by, as it is or
// behind "api://", if it does so. GUIDs have no letter case.
func namedAppID(name string) string {
	return strings.ToLower(strings.TrimPrefix(resourceKey(name), "api://"))
}

// named tells whether a scope can name r so. The caller holds mu.
func (r *Resource) named(name string) bool {
	return namedAppID(name) == r.appID || slices.Contains(r.keys, resourceKey(name))
}

// resourceNamed returns what a scope names in t, and its service principal
// there; nil if it names nothing that can be used in t. The caller holds mu.
func (t *Tenant) resourceNamed(name string) (*Resource, *principal) {
	if r := t.s.resources[namedAppID(name)]; r != nil {
		return t.usable(r)
	}
	h := t.s.uris[resourceKey(name)]
	switch {
	case h == nil:
		return nil, nil
	case h.one != nil:
		return t.usable(h.one)
	}
	if r, p := t.usable(h.byHome[t]); r != nil {
		return r, p
	}
	// Of those registered elsewhere, one that is provided here: whichever is
	// shorter is gone through, the tenants that have the URI or what t has. If
	// there are several, it is always the same.
	var found *Resource
	consider := func(r *Resource) {
		if r, _ := t.usable(r); r != nil && (found == nil || r.appID < found.appID) {
			found = r
		}
	}
	if len(h.byHome) < len(t.principals.list) {
		for _, r := range h.byHome {
			consider(r)
		}
	} else {
		for i := range t.principals.list {
			if r := t.s.resources[t.principals.list[i].appID]; r != nil && h.byHome[r.home] == r {
				consider(r)
			}
		}
	}
	return t.usable(found)
}

// usable returns r with its service principal in t, nil if t cannot use it.
func (t *Tenant) usable(r *Resource) (*Resource, *principal) {
	if r == nil || r.singleTenant && r.home != t {
		return nil, nil
	}
	p := t.principals.find(r.appID)
	if p == nil {
		return nil, nil
	}
	return r, p
}
