// SPDX-License-Identifier: MIT

package emuconfig

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/yamlfile"
	"github.com/apponly/apponly/entratest"
)

func (l *loader) tenant(t *tenant) {
	if !t.ID.given() && len(t.Domains) == 0 {
		l.Add(t.Place, "want an id or domains: nobody could name this tenant")
	}
	claim(l, l.tenants, &t.ID, t)
	for i := range t.Domains {
		claim(l, l.tenants, &t.Domains[i], t)
	}
	made, err := l.load.AddTenant(t.ID.v, values(t.Domains)...)
	l.ok(t, err)
	t.made = cmp.Or(made, l.sts.Tenant())
	l.told("ID of tenant", cmp.Or(values(t.Domains)...), t.ID, t.made.ID())
	t.made.SetDisabled(t.Disabled.v)
}

func (l *loader) app(a *app) {
	claim(l, l.apps, &a.Name, a)
	if a.ClientID.v != a.Name.v { // an app may be called like its ID
		claim(l, l.apps, &a.ClientID, a)
	}
	made, err := l.load.NewApp(l.home(a.Home), a.ClientID.v)
	l.ok(a, err)
	a.made = cmp.Or(made, l.sts.App())
	l.told("client ID of app", a.Name.v, a.ClientID, a.made.ClientID())
	a.made.SetMultiTenant(a.MultiTenant.or(true))
	a.made.SetDisabled(a.Disabled.v)
	l.once(a.RedirectURIs)
	for _, uri := range a.RedirectURIs {
		if uri.good {
			l.ok(uri, l.load.AddRedirectURI(a.made, uri.v))
		}
	}
	for _, s := range a.Secrets {
		l.secret(a.made, s)
	}
	for _, c := range a.Certificates {
		if pem := l.readFile(c.File); pem != nil {
			l.ok(c.File, l.load.AddCertificatePEM(a.made, pem))
		}
	}
	l.federated(a)
}

// federated adds the federated credentials of an app. The emulator takes the same one
// again, as jobs may bring it; in one list it is a mistake.
func (l *loader) federated(a *app) {
	lines := map[entratest.FederatedCredential]int{}
	for _, f := range a.Federated {
		if !f.Issuer.good || !f.Subject.good {
			continue
		}
		if f.Issuer.v == demoName {
			f.Issuer.v = l.sts.Issuer().URL()
		}
		fc := entratest.FederatedCredential{Issuer: f.Issuer.v, Subject: f.Subject.v, Audience: f.Audience.or(l.sts.Cloud().ExchangeAudience())}
		if lines[fc] > 0 {
			l.Add(f.Place, "is the one in line %d", lines[fc])
			continue
		}
		lines[fc] = f.Line
		l.ok(f, l.load.AddFederatedCredential(a.made, fc))
	}
}

func (l *loader) secret(a *entratest.App, s secret) {
	// Without a start it is good from ever, or it would not be when somebody
	// sets the emulator's clock back.
	var start time.Time
	end := s.NotAfter.or(after(365 * 24 * time.Hour))(l.now)
	if s.NotBefore.good {
		start = s.NotBefore.v(l.now)
	}
	switch {
	case !s.NotBefore.good || start.Before(end):
		l.ok(s, l.load.AddSecret(a, s.Value.v, start, end))
	case s.NotAfter.good:
		l.Add(s.NotAfter.Place, "is not after not_before")
	case !s.NotAfter.given():
		l.Add(s.NotBefore.Place, "is not before the end, which is a year from the start unless not_after says another")
	}
}

func (l *loader) resource(r *resource) {
	name := resourceName(r.URI)
	if claim(l, l.resources, &name, r); !name.good {
		r.URI.v = "" // the emulator makes one up
	}
	l.once(r.Roles)
	home := l.home(r.Home)
	made, err := l.api(home, r)
	l.ok(r, err)
	r.made = cmp.Or(made, l.sts.API())
	l.told("app ID of resource", r.URI.v, r.AppID, r.made.AppID())
	l.ok(r, l.load.SetTokenVersion(r.made, r.TokenVersion.or(2)))
	r.made.SetMultiTenant(r.MultiTenant.or(true))
	if r.AssignmentRequired.v {
		l.ok(r, l.load.SetAssignmentRequired(home, r.made, true))
	}
}

// api makes a resource. One with the ID of an app is the same registration.
func (l *loader) api(home *entratest.Tenant, r *resource) (*entratest.Resource, error) {
	a := l.apps[r.AppID.v]
	if !r.AppID.good || a == nil || a.ClientID.v != r.AppID.v {
		return l.load.NewResource(home, r.AppID.v, r.URI.v, values(r.Roles)...)
	}
	if r.Home.good && l.tenants[strings.ToLower(r.Home.v)] != l.tenants[strings.ToLower(a.Home.v)] {
		l.Add(r.Home.Place, "is not the tenant of the app with this ID, in line %d", a.Home.Line)
	}
	if r.MultiTenant.given() && r.MultiTenant.or(true) != a.MultiTenant.or(true) {
		l.Add(r.MultiTenant.Place, "is not as for the app with this ID, in line %d", a.Line)
	}
	r.MultiTenant = a.MultiTenant
	return l.load.Expose(a.made, r.URI.v, values(r.Roles)...)
}

// resourceName is what a URI is looked up by: a slash at its end selects another
// audience, but no other resource.
func resourceName(uri scalar[string]) scalar[string] {
	uri.v = strings.TrimSuffix(uri.v, "/")
	return uri
}

// home returns the tenant that something is registered in; of a reference to
// nothing the demo's.
func (l *loader) home(ref scalar[string]) *entratest.Tenant {
	if t := find(l, l.tenants, ref, "tenant"); t != nil {
		return t.made
	}
	return l.sts.Tenant()
}

func (l *loader) issuer(i issuer) {
	url := i.URL
	claim(l, l.issuers, &i.URL, i.URL.Place)
	if keys := l.readFile(i.JWKS); keys != nil && url.good && url.v != demoName {
		_, err := l.sts.AddIssuer(url.v, keys)
		l.ok(i.JWKS, err)
	}
}

func (l *loader) install(i install) {
	if i.App.given() == i.Resource.given() {
		l.Add(i.Place, "want an app or a resource, one of them")
	}
	a := find(l, l.apps, i.App, "app")
	r := find(l, l.resources, resourceName(i.Resource), "resource")
	for _, name := range i.Tenants {
		t := find(l, l.tenants, name, "tenant")
		if t != nil && a != nil {
			l.alone(a.registration, t, name)
			l.ok(name, l.load.Install(t.made, a.made))
		}
		if t != nil && r != nil {
			l.alone(r.registration, t, name)
			l.ok(name, l.load.Provide(t.made, r.made))
			l.ok(name, l.load.SetAssignmentRequired(t.made, r.made, r.AssignmentRequired.v))
		}
	}
}

// alone refuses to install in a tenant what is for its own.
func (l *loader) alone(r registration, t *tenant, name scalar[string]) {
	if !r.MultiTenant.or(true) && l.tenants[strings.ToLower(r.Home.v)] != t {
		l.Add(name.Place, "it is for its own tenant alone: multi_tenant is false in line %d", r.MultiTenant.Line)
	}
}

// require adds what an app asks an administrator for on one resource.
func (l *loader) require(a *app, q requirement) {
	if r := l.rolesOf(q); r != nil && len(l.Faults) == 0 {
		l.ok(q, l.load.Require(a.made, r.made, values(q.Roles)...))
	}
}

func (l *loader) grant(g grant) {
	a := find(l, l.apps, g.App, "app")
	t := find(l, l.tenants, g.Tenant, "tenant")
	r := l.rolesOf(g.requirement)
	if a == nil || r == nil || len(l.Faults) > 0 {
		return
	}
	if t == nil {
		t, g.Tenant.Place = &tenant{made: l.home(a.Home)}, g.Place
	}
	if err := l.load.Grant(r.made, t.made, a.made, values(g.Roles)...); err != nil {
		inFile := strings.NewReplacer( // where the file may have left the IDs to chance
			a.made.ClientID(), "the app "+yamlfile.Clean(g.App.v),
			r.made.AppID(), "the resource "+yamlfile.Clean(g.Resource.v),
			t.made.ID(), yamlfile.Clean(cmp.Or(g.Tenant.v, a.Home.v, demoName)))
		l.Add(g.Tenant.Place, "%s: see installs", inFile.Replace(err.Error()))
	}
}

// rolesOf returns the resource of roles, and refuses those that it does not define.
// Microsoft's have those that are granted.
func (l *loader) rolesOf(q requirement) *resource {
	l.once(q.Roles)
	if made, err := l.load.Microsoft(q.Resource.v); err == nil && l.resources[resourceName(q.Resource).v] == nil {
		made.AddRoles(values(q.Roles)...)
		return &resource{made: made}
	}
	r := find(l, l.resources, resourceName(q.Resource), "resource")
	for _, role := range q.Roles {
		if r != nil && role.good && !slices.Contains(r.made.Roles(), role.v) {
			l.Add(role.Place, "the resource %s defines no role %q", yamlfile.Clean(q.Resource.v), yamlfile.Clean(role.v))
		}
	}
	return r
}
