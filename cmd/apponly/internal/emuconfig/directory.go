// SPDX-License-Identifier: MIT

package emuconfig

import (
	"cmp"
	"slices"
	"strings"

	"github.com/apponly/apponly/entratest"
)

type tenant struct {
	Place
	*entratest.Tenant
}

// A registration is what an app and a resource have in common.
type registration struct {
	Place
	multiTenant scalar[bool]
	in          []*entratest.Tenant // where it is, the one it is registered in first; empty if that is not known
}

type app struct {
	registration
	*entratest.App
}

type resource struct {
	registration
	*entratest.Resource
	assignmentRequired bool
}

func (l *loader) tenant(v node) {
	t := &tenant{v.Place, l.sts.Tenant()}
	var id scalar[string]
	var domains []scalar[string]
	var disabled scalar[bool]
	v.object(fields{
		"id":       into(&id, asGUID),
		"domains":  each(&domains, asDomain),
		"disabled": into(&disabled, asBool),
	})
	if !id.given() && len(domains) == 0 {
		l.errs.add(v.Place, "want an id or domains: nobody could name this tenant")
	}
	claim(l, l.tenants, &id, t)
	for i := range domains {
		claim(l, l.tenants, &domains[i], t)
	}
	if made, err := l.load.AddTenant(id.v, values(domains)...); l.ok(v.Place, err) {
		t.Tenant = made
	}
	if !id.given() {
		l.random = append(l.random, RandomID{"ID of tenant", cmp.Or(values(domains)...), t.ID()})
	}
	t.SetDisabled(disabled.v)
}

// register reads where something is registered. It returns a tenant in any case.
func (l *loader) register(r *registration, ref scalar[string]) *entratest.Tenant {
	t := find(l, l.tenants, ref, "tenant")
	if t == nil {
		return l.sts.Tenant()
	}
	r.in = append(r.in, t.Tenant)
	return t.Tenant
}

// claimAppID is claim for the IDs of apps and resources: Entra keeps both in one
// name space.
func (l *loader) claimAppID(id *scalar[string]) {
	other, taken := l.appIDs[id.v]
	switch {
	case !id.good:
	case taken:
		l.errs.add(id.Place, "the ID is that of %s in line %d", other.Key, other.Line)
		*id = scalar[string]{Place: id.Place}
	default:
		l.appIDs[id.v] = id.Place
	}
}

func (l *loader) app(v node) {
	a := &app{registration{Place: v.Place}, l.sts.App()}
	var name, clientID, home scalar[string]
	var disabled scalar[bool]
	var redirects []scalar[string]
	var requires, secrets, certificates, federated node
	v.object(fields{
		"name":          into(&name, asText),
		"client_id":     into(&clientID, asGUID),
		"tenant":        into(&home, asText),
		"multi_tenant":  into(&a.multiTenant, asBool),
		"disabled":      into(&disabled, asBool),
		"redirect_uris": each(&redirects, asText),
		"requires":      later(&requires),
		"secrets":       later(&secrets),
		"certificates":  later(&certificates),
		"federated":     later(&federated),
	}, "name", "tenant")
	claim(l, l.apps, &name, a)
	l.claimAppID(&clientID)
	if clientID.good && l.apps[clientID.v] == nil { // an app may be called like that
		l.apps[clientID.v] = a
	}
	if made, err := l.load.NewApp(l.register(&a.registration, home), clientID.v); l.ok(v.Place, err) {
		a.App = made
	}
	if !clientID.given() {
		l.random = append(l.random, RandomID{"client ID of app", name.v, a.ClientID()})
	}
	a.SetMultiTenant(a.multiTenant.or(true))
	a.SetDisabled(disabled.v)
	l.checkTwice(redirects)
	for _, uri := range redirects {
		if uri.good {
			l.ok(uri.Place, l.load.AddRedirectURI(a.App, uri.v))
		}
	}
	l.requires = append(l.requires, func() { requires.items(func(v node) { l.require(v, a) }) })
	secrets.items(func(v node) { l.secret(v, a) })
	certificates.items(func(v node) { l.certificate(v, a) })
	l.federated(federated, a)
}

func (l *loader) resource(v node) {
	r := &resource{registration: registration{Place: v.Place}, Resource: l.sts.API()}
	var uri, appID, home scalar[string]
	var roles []scalar[string]
	var version scalar[int]
	var assignmentRequired scalar[bool]
	v.object(fields{
		"uri":                 into(&uri, asURI),
		"app_id":              into(&appID, asGUID),
		"tenant":              into(&home, asText),
		"roles":               each(&roles, asText),
		"token_version":       into(&version, asCount),
		"multi_tenant":        into(&r.multiTenant, asBool),
		"assignment_required": into(&assignmentRequired, asBool),
	}, "uri", "tenant")
	name := resourceName(uri)
	if claim(l, l.resources, &name, r); !name.good {
		uri.v = "" // the emulator makes one up
	}
	l.claimAppID(&appID)
	l.checkTwice(roles)
	t := l.register(&r.registration, home)
	if made, err := l.load.NewResource(t, appID.v, uri.v, values(roles)...); l.ok(v.Place, err) {
		r.Resource = made
	}
	if !appID.given() {
		l.random = append(l.random, RandomID{"app ID of resource", uri.v, r.AppID()})
	}
	if l.load.SetTokenVersion(r.Resource, version.or(2)) != nil {
		l.errs.add(version.Place, "want 1 or 2")
	}
	r.SetMultiTenant(r.multiTenant.or(true))
	r.assignmentRequired = assignmentRequired.v
	l.ok(v.Place, l.load.SetAssignmentRequired(t, r.Resource, r.assignmentRequired))
}

// resourceName is what a URI is looked up by: a slash at its end selects another
// audience, but no other resource.
func resourceName(uri scalar[string]) scalar[string] {
	uri.v = strings.TrimSuffix(uri.v, "/")
	return uri
}

// checkTwice refuses values that are in a list already.
func (l *loader) checkTwice(list []scalar[string]) {
	seen := map[string]bool{}
	for _, v := range list {
		if v.good && seen[v.v] {
			l.errs.add(v.Place, "%q is there twice", clean(v.v))
		}
		seen[v.v] = true
	}
}

func (l *loader) install(v node) {
	var appName, uri scalar[string]
	var tenants []scalar[string]
	v.object(fields{
		"app":      into(&appName, asText),
		"resource": into(&uri, asText),
		"tenants":  each(&tenants, asText),
	}, "tenants")
	if appName.given() == uri.given() {
		l.errs.add(v.Place, "want an app or a resource, one of them")
	}
	a := find(l, l.apps, appName, "app")
	r := find(l, l.resources, resourceName(uri), "resource")
	for _, name := range tenants {
		t := find(l, l.tenants, name, "tenant")
		if t != nil && a != nil {
			l.enter(&a.registration, t, name.Place)
			l.ok(name.Place, l.load.Install(t.Tenant, a.App))
		}
		if t != nil && r != nil {
			l.enter(&r.registration, t, name.Place)
			l.ok(name.Place, l.load.Provide(t.Tenant, r.Resource))
			l.ok(name.Place, l.load.SetAssignmentRequired(t.Tenant, r.Resource, r.assignmentRequired))
		}
	}
}

// enter notes that something is in a tenant.
func (l *loader) enter(r *registration, t *tenant, p Place) {
	if len(r.in) > 0 && r.in[0] != t.Tenant && !r.multiTenant.or(true) {
		l.errs.add(p, "it is for its own tenant alone: multi_tenant is false in line %d", r.multiTenant.Line)
	}
	if len(r.in) > 0 {
		r.in = append(r.in, t.Tenant)
	}
}

func (l *loader) grant(v node) {
	var appName, uri, where scalar[string]
	var roles []scalar[string]
	v.object(fields{
		"app":      into(&appName, asText),
		"resource": into(&uri, asText),
		"tenant":   into(&where, asText),
		"roles":    each(&roles, asText),
	}, "app", "resource", "roles")
	a := find(l, l.apps, appName, "app")
	r := find(l, l.resources, resourceName(uri), "resource")
	t := find(l, l.tenants, where, "tenant")
	l.checkRoles(r, uri, roles)
	if a == nil || r == nil || len(a.in) == 0 || len(r.in) == 0 || t == nil && where.given() {
		return
	}
	if t == nil {
		t = &tenant{v.Place, a.in[0]}
		where.Place = v.Place
	}
	if !slices.Contains(a.in, t.Tenant) {
		l.errs.add(where.Place, "the app is not in that tenant: see installs")
	}
	if !slices.Contains(r.in, t.Tenant) {
		l.errs.add(where.Place, "the resource is not in that tenant: see installs")
	}
	if len(l.errs.Faults) == 0 {
		l.ok(v.Place, l.load.Grant(r.Resource, t.Tenant, a.App, values(roles)...))
	}
}

// checkRoles refuses roles that a resource does not define.
func (l *loader) checkRoles(r *resource, uri scalar[string], roles []scalar[string]) {
	l.checkTwice(roles)
	for _, role := range roles {
		if r != nil && role.good && !slices.Contains(r.Roles(), role.v) {
			l.errs.add(role.Place, "the resource %s defines no role %q", clean(uri.v), clean(role.v))
		}
	}
}

// require reads what an app asks an administrator for on one resource.
func (l *loader) require(v node, a *app) {
	var uri scalar[string]
	var roles []scalar[string]
	v.object(fields{"resource": into(&uri, asText), "roles": each(&roles, asText)}, "resource", "roles")
	r := find(l, l.resources, resourceName(uri), "resource")
	l.checkRoles(r, uri, roles)
	if r != nil && len(l.errs.Faults) == 0 {
		l.ok(v.Place, l.load.Require(a.App, r.Resource, values(roles)...))
	}
}
