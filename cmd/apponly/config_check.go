// SPDX-License-Identifier: MIT

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
)

// names finds what a configuration refers to, and sees what is there twice.
type names struct {
	tenants   map[string]*tenantConfig   // by ID and domain
	apps      map[string]*appConfig      // by name and client ID
	resources map[string]*resourceConfig // by URI, see resourceName
	appIDs    map[string]at              // of apps and resources alike
}

// newNames knows the demo of an emulator, which a configuration may refer to.
func newNames(sts *entratest.Server) *names {
	t := &tenantConfig{live: sts.Tenant()}
	in := map[*tenantConfig]bool{t: true}
	api := &resourceConfig{home: t, in: in, live: sts.API()}
	for _, role := range sts.API().Roles() {
		api.roles = append(api.roles, scalar[string]{v: role, good: true})
	}
	return &names{
		tenants:   map[string]*tenantConfig{demoName: t},
		apps:      map[string]*appConfig{demoName: {home: t, in: maps.Clone(in), live: sts.App()}},
		resources: map[string]*resourceConfig{demoName: api},
		appIDs:    map[string]at{},
	}
}

// check looks at everything that has to fit together, and resolves what refers
// to something. What the emulator would panic about is a fault of the file.
func (c *config) check(n *names) {
	c.checkTenants(n)
	c.checkApps(n)
	c.checkResources(n)
	c.checkIssuers()
	c.checkInstalls(n)
	c.checkGrants(n)
	for _, f := range c.faults {
		// A fault may also be for tenants and apps that are not there.
		if ref := strings.ToLower(f.tenant.v); n.tenants[ref] != nil || !guidPattern.MatchString(ref) && ref != "common" && ref != "organizations" {
			f.where = find(c.errs, n.tenants, f.tenant, "tenant")
		}
		if ref := strings.ToLower(f.clientID.v); n.apps[ref] != nil || !guidPattern.MatchString(ref) {
			f.who = find(c.errs, n.apps, f.clientID, "app")
		}
	}
	if t := c.throttle; t != nil && t.requests.good && t.requests.v == 0 {
		c.errs.add(t.requests.at, "want 1 or more; leave throttle out to have none")
	}
}

// find looks up a reference. One that was not given finds nothing, silently:
// if it is required, that is said already.
func find[T any](errs *configErrors, known map[string]*T, ref scalar[string], what string) *T {
	if !ref.good {
		return nil
	}
	if got := known[ref.v]; got != nil {
		return got
	}
	lower := strings.ToLower(ref.v) // IDs and domains know no letter case
	if got := known[lower]; got != nil && (guidPattern.MatchString(lower) || domainPattern.MatchString(lower)) {
		return got
	}
	errs.add(ref.at, "there is no %s %q in this file", what, clean(ref.v))
	return nil
}

// claim puts a value under a name, which must be free.
func claim[T any](errs *configErrors, known map[string]*T, name scalar[string], value *T, line func(*T) int) {
	if !name.good {
		return
	}
	switch other := known[name.v]; {
	case name.v == demoName:
		errs.add(name.at, "%q is the emulator's own", demoName)
	case other != nil:
		errs.add(name.at, "%q is taken in line %d", clean(name.v), line(other))
	default:
		known[name.v] = value
	}
}

func (c *config) claimAppID(n *names, id scalar[string]) {
	if !id.good {
		return
	}
	if other, taken := n.appIDs[id.v]; taken {
		c.errs.add(id.at, "the ID is that of %s in line %d", other.key, other.line)
		return
	}
	n.appIDs[id.v] = id.at
}

func (c *config) checkTenants(n *names) {
	line := func(t *tenantConfig) int { return t.line }
	for _, t := range c.tenants {
		if t.id.line == 0 && len(t.domains) == 0 {
			c.errs.add(t.at, "want an id or domains: nobody could name this tenant")
		}
		claim(c.errs, n.tenants, t.id, t, line)
		for _, d := range t.domains {
			claim(c.errs, n.tenants, d, t, line)
		}
	}
}

// maxFederated is how many federated credentials Entra takes per app.
const maxFederated = 20

func (c *config) checkApps(n *names) {
	now := time.Now()
	line := func(a *appConfig) int { return a.line }
	for _, a := range c.apps {
		claim(c.errs, n.apps, a.name, a, line)
		c.claimAppID(n, a.clientID)
		if a.clientID.good && n.apps[a.clientID.v] == nil {
			n.apps[a.clientID.v] = a
		}
		a.home = find(c.errs, n.tenants, a.tenant, "tenant")
		a.in = map[*tenantConfig]bool{a.home: true}
		for _, s := range a.secrets {
			if !s.notBefore.good {
				continue
			}
			switch end := s.end(now); {
			case s.notBefore.v.from(now).Before(end):
			case s.notAfter.line == 0:
				c.errs.add(s.notBefore.at, "is not before the end, which is a year from the start unless not_after says another")
			case s.notAfter.good:
				c.errs.add(s.notAfter.at, "is not after not_before")
			}
		}
		trusted := map[[2]string]int{}
		for i, f := range a.federated {
			if i == maxFederated {
				c.errs.add(f.at, "Entra takes no more than %d federated credentials per app", maxFederated)
			}
			if !f.issuer.good || !f.subject.good {
				continue
			}
			key := [2]string{f.issuer.v, f.subject.v}
			if trusted[key] > 0 {
				c.errs.add(f.at, "issuer and subject are those of line %d", trusted[key])
				continue
			}
			trusted[key] = f.line
		}
	}
}

func (c *config) checkResources(n *names) {
	line := func(r *resourceConfig) int { return r.line }
	for _, r := range c.resources {
		claim(c.errs, n.resources, resourceName(r.uri), r, line)
		c.claimAppID(n, r.appID)
		r.home = find(c.errs, n.tenants, r.tenant, "tenant")
		r.in = map[*tenantConfig]bool{r.home: true}
		c.checkTwice(r.roles)
		if v := r.tokenVersion; v.good && v.v != 1 && v.v != 2 {
			c.errs.add(v.at, "want 1 or 2")
		}
	}
}

// resourceName is a URI without a slash at its end, which selects another
// audience and no other resource.
func resourceName(uri scalar[string]) scalar[string] {
	uri.v = strings.TrimSuffix(uri.v, "/")
	return uri
}

func (c *config) checkTwice(values []scalar[string]) {
	seen := map[string]bool{}
	for _, v := range values {
		if v.good && seen[v.v] {
			c.errs.add(v.at, "%q is there twice", clean(v.v))
		}
		seen[v.v] = true
	}
}

func (c *config) checkIssuers() {
	seen := map[string]int{}
	for _, i := range c.issuers {
		switch {
		case !i.url.good:
		case i.url.v == demoName:
			c.errs.add(i.url.at, "%q is the emulator's own", demoName)
		case seen[i.url.v] > 0:
			c.errs.add(i.url.at, "is in line %d already", seen[i.url.v])
		default:
			seen[i.url.v] = i.url.line
		}
	}
}

func (c *config) checkInstalls(n *names) {
	for _, i := range c.installs {
		if (i.app.line > 0) == (i.resource.line > 0) {
			c.errs.add(i.at, "want an app or a resource, one of them")
		}
		i.who = find(c.errs, n.apps, i.app, "app")
		i.what = find(c.errs, n.resources, resourceName(i.resource), "resource")
		for _, name := range i.tenants {
			t := find(c.errs, n.tenants, name, "tenant")
			if t == nil {
				continue
			}
			i.where = append(i.where, t)
			if i.who != nil {
				i.who.in[t] = true
				c.checkAtHome(name.at, i.who.multiTenant, t == i.who.home)
			}
			if i.what != nil {
				i.what.in[t] = true
				c.checkAtHome(name.at, i.what.multiTenant, t == i.what.home)
			}
		}
	}
}

func (c *config) checkAtHome(p at, multiTenant scalar[bool], home bool) {
	if !multiTenant.or(true) && !home {
		c.errs.add(p, "it is for its own tenant alone: multi_tenant is false in line %d", multiTenant.line)
	}
}

func (c *config) checkGrants(n *names) {
	for _, g := range c.grants {
		g.who = find(c.errs, n.apps, g.app, "app")
		g.what = find(c.errs, n.resources, resourceName(g.resource), "resource")
		g.where = find(c.errs, n.tenants, g.tenant, "tenant")
		c.checkTwice(g.roles)
		if g.what != nil {
			for _, role := range g.roles {
				if role.good && !slices.ContainsFunc(g.what.roles, func(r scalar[string]) bool { return r.v == role.v }) {
					c.errs.add(role.at, "the resource %s defines no role %q", clean(g.resource.v), clean(role.v))
				}
			}
		}
		if g.who == nil || g.what == nil || g.where == nil && g.tenant.line > 0 {
			continue
		}
		if g.where == nil {
			g.where = g.who.home
		}
		place := g.tenant.at
		if g.tenant.line == 0 {
			place = g.at
		}
		if g.where != nil && !g.who.in[g.where] {
			c.errs.add(place, "the app is not in that tenant: see installs")
		}
		if g.where != nil && !g.what.in[g.where] {
			c.errs.add(place, "the resource is not in that tenant: see installs")
		}
	}
}

// readFiles reads the files that the configuration names.
func (c *config) readFiles() {
	for _, a := range c.apps {
		for _, cert := range a.certificates {
			data, ok := c.readFile(cert.file)
			if !ok {
				continue
			}
			var err error
			if cert.cert, err = firstCertificate(data); err != nil {
				c.errs.add(cert.file.at, "%v", err)
			}
		}
	}
	for _, i := range c.issuers {
		data, ok := c.readFile(i.jwks)
		if ok && !json.Valid(data) {
			c.errs.add(i.jwks.at, "the file is not JSON")
		}
		i.keys = data
	}
}

func (c *config) readFile(name scalar[string]) ([]byte, bool) {
	if !name.good {
		return nil, false
	}
	path := name.v
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, path)
	}
	data, err := readFile(path)
	if err != nil {
		c.errs.add(name.at, "%v", err)
		return nil, false
	}
	return data, true
}

// firstCertificate returns the app's certificate of a PEM file: the first one,
// whatever keys and issuers are around it.
func firstCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("the file holds no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the certificate in the file: %w", err)
			}
			return cert, nil
		}
	}
}
