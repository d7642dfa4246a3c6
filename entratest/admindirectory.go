// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What the page shows of the directory.
const (
	// maxListed is how many names of tenants there may be for all to be gone through: a
	// directory of a million is not sorted while somebody waits.
	maxListed = 1000
	// maxObjects bounds the apps and the APIs of a tenant, and the credentials of an app.
	maxObjects = 50
)

// A directoryView is what the page shows of the directory: the tenants, and one of them.
type directoryView struct {
	Tenants []choiceView // some of them, or none if there are too many
	Names   int          // IDs and domain names in all
	Asked   string       // the name of a tenant that there is not
	Tenant  *tenantView
}

type tenantView struct {
	ID, Name           string
	Notes              []string
	Apps               []appView
	APIs               []apiView
	MoreApps, MoreAPIs int
}

type appView struct {
	ID, Home                  string
	Notes, Credentials, Roles []string
}

type apiView struct {
	ID, URI      string
	Notes, Roles []string
}

// directoryView shows a tenant by its ID or domain name, the demo tenant if it is "".
func (s *Server) directoryView(name string) directoryView {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := directoryView{Names: len(s.tenants)}
	if v.Names <= maxListed {
		for key, t := range s.tenants {
			if key == t.id {
				v.Tenants = append(v.Tenants, choiceView{t.id, t.label()})
			}
		}
		slices.SortFunc(v.Tenants, func(a, b choiceView) int { return cmp.Compare(a.Name, b.Name) })
		v.Tenants = v.Tenants[:min(len(v.Tenants), maxObjects)]
	}
	t := s.tenants[strings.ToLower(cmp.Or(name, s.tenant.id))]
	if t == nil {
		v.Asked = shorten(name, maxRecorded)
		return v
	}
	v.Tenant = t.view()
	return v
}

// view is for the caller that holds mu.
func (t *Tenant) view() *tenantView {
	v := &tenantView{ID: t.id, Name: t.label(), Notes: notes(
		note{t.suspended, "suspended"}, note{t.otherCloud, "in another cloud"}, note{t.noFederation, "no federated credentials"},
		note{len(t.issuers) > 0, "only these issuers: " + strings.Join(some(t.issuers), ", ")},
	)}
	var apps []*App
	var apis []*Resource
	for r := range t.principals {
		if a := t.s.apps[r.appID]; a != nil {
			apps = append(apps, a)
		}
		if a := t.s.resources[r.appID]; a != nil {
			apis = append(apis, a)
		}
	}
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(a.appID, b.appID) })
	slices.SortFunc(apis, func(a, b *Resource) int { return cmp.Compare(a.uri, b.uri) })
	v.MoreApps, v.MoreAPIs = max(0, len(apps)-maxObjects), max(0, len(apis)-maxObjects)
	for _, a := range apps[:len(apps)-v.MoreApps] {
		v.Apps = append(v.Apps, a.view(t))
	}
	for _, a := range apis[:len(apis)-v.MoreAPIs] {
		v.APIs = append(v.APIs, a.view(t))
	}
	return v
}

// view shows an app as it is in a tenant. The caller holds mu.
func (a *App) view(t *Tenant) appView {
	p := t.principals[a.registration]
	v := appView{ID: a.appID, Home: a.home.label(), Notes: notes(
		note{a.homeObjectID != "", "managed identity"}, note{a.disabled || p.disabled, "disabled"}, note{a.public, "public client"},
		note{a.singleTenant, "in its own tenant only"}, note{p.blocked != 0, fmt.Sprintf("blocked by AADSTS%d", p.blocked)},
	)}
	if a.home == t {
		v.Home = ""
	}
	client := clientView{app: a, secrets: a.secrets, certificates: a.certificates}
	for i := range a.secrets {
		v.Credentials = append(v.Credentials, client.secretLabel(i))
	}
	for i, c := range a.certificates {
		label := client.certificateLabel(i) + ", " + sha256Thumbprint(c.cert)
		if c.revoked {
			label += ", revoked"
		}
		v.Credentials = append(v.Credentials, label)
	}
	for _, fc := range a.federated {
		v.Credentials = append(v.Credentials, fmt.Sprintf("federated: %s, subject %s, audience %s", fc.Issuer, fc.Subject, fc.Audience))
	}
	v.Credentials = some(v.Credentials)
	for granted := range p.roles {
		if api := t.s.resources[granted.resource.appID]; api != nil {
			v.Roles = append(v.Roles, granted.name+" on "+api.uri)
		}
	}
	slices.Sort(v.Roles)
	v.Roles = some(v.Roles)
	return v
}

// view shows an API as it is in a tenant. The caller holds mu.
func (r *Resource) view(t *Tenant) apiView {
	p := t.principals[r.registration]
	return apiView{ID: r.appID, URI: r.uri, Roles: some(r.roles), Notes: notes(
		note{r.disabled || p.disabled, "disabled"}, note{p.assignmentRequired, "requires an assignment"},
		note{r.singleTenant, "in its own tenant only"}, note{r.continuous, "continuous access"}, note{r.version == 1, "tokens of version 1"},
		note{r.home != t, "of " + r.home.label()},
	)}
}

type note struct {
	is   bool
	text string
}

func notes(all ...note) []string {
	var list []string
	for _, n := range all {
		if n.is {
			list = append(list, n.text)
		}
	}
	return list
}

// some shortens a list.
func some(list []string) []string {
	if more := len(list) - maxObjects; more > 0 {
		return append(slices.Clone(list[:maxObjects]), fmt.Sprintf("and %d more", more))
	}
	return list
}
