// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"time"
)

// principal is a service principal: what a tenant knows of an app or a resource
// that is used there. Guarded by the server's mu.
type principal struct {
	appID         string
	objectID      guid
	from          instant
	revokedBefore int64 // tokens with an earlier iat are revoked; Unix seconds
	blocked       int32 // AADSTS number of the policy that blocks it, 0 for none

	disabled           bool
	assignmentRequired bool
	grants             []grant
}

// grant is roles that a client has been given on a resource. There may be
// several for one resource, of different times.
type grant struct {
	resource *Resource
	roles    []string
	from     instant
}

func (p *principal) hasRole(r *Resource, role string, now time.Time) bool {
	return slices.ContainsFunc(p.grants, func(g grant) bool {
		return g.resource == r && g.from.reached(now) && slices.Contains(g.roles, role)
	})
}

// grant adds the roles that p has not been granted yet.
func (p *principal) grant(r *Resource, roles []string, from instant) {
	var added []string
	for _, role := range roles {
		if !slices.Contains(added, role) &&
			!slices.ContainsFunc(p.grants, func(g grant) bool { return g.resource == r && slices.Contains(g.roles, role) }) {
			added = append(added, role)
		}
	}
	if len(added) > 0 {
		p.grants = append(p.grants, grant{r, added, from})
	}
}

// revoke takes roles on a resource away.
func (p *principal) revoke(r *Resource, roles []string) {
	for i := range p.grants {
		if g := &p.grants[i]; g.resource == r {
			g.roles = slices.DeleteFunc(g.roles, func(role string) bool { return slices.Contains(roles, role) })
		}
	}
	p.grants = slices.DeleteFunc(p.grants, func(g grant) bool { return len(g.roles) == 0 })
}

// principals are the service principals of one tenant. Most tenants have two or
// three, so that there is an index only where there are many.
type principals struct {
	list  []principal
	index map[string]int // by app ID; nil while the list is short
}

const indexFrom = 16

func (ps *principals) find(appID string) *principal {
	if ps.index != nil {
		if i, ok := ps.index[appID]; ok {
			return &ps.list[i]
		}
		return nil
	}
	for i := range ps.list {
		if ps.list[i].appID == appID {
			return &ps.list[i]
		}
	}
	return nil
}

func (ps *principals) add(p principal) {
	ps.list = append(ps.list, p)
	switch {
	case ps.index != nil:
		ps.index[p.appID] = len(ps.list) - 1
	case len(ps.list) == indexFrom:
		ps.index = make(map[string]int, 2*indexFrom)
		for i, p := range ps.list {
			ps.index[p.appID] = i
		}
	}
}

func (ps *principals) remove(appID string) {
	p := ps.find(appID)
	if p == nil {
		return
	}
	last := len(ps.list) - 1
	if moved := ps.list[last]; ps.index != nil {
		ps.index[moved.appID] = ps.index[appID]
		delete(ps.index, appID)
	}
	*p = ps.list[last]
	ps.list[last] = principal{} // let go of what it holds
	ps.list = ps.list[:last]
}

// Install makes a service principal for app in t, which is what an
// administrator's consent does for an app of another tenant. Installing it
// again changes nothing. It panics if app is of another Server or was removed.
func (t *Tenant) Install(app *App) {
	t.s.mustOwn(app.s)
	from := t.s.countsFrom()
	t.s.update(func() { t.addPrincipal(&app.entry, from) })
}

// Uninstall takes the service principal of app in t away, and with it the roles
// it was granted there; one that is not there is ignored. It panics if app is of
// another Server.
func (t *Tenant) Uninstall(app *App) {
	t.s.mustOwn(app.s)
	t.s.update(func() { t.removePrincipal(&app.entry) })
}

// Provide makes a service principal for r in t, so that apps there can ask for
// tokens for it. Providing it again changes nothing. It panics if r is of
// another Server or was removed.
func (t *Tenant) Provide(r *Resource) {
	t.s.mustOwn(r.s)
	from := t.s.countsFrom()
	t.s.update(func() { t.addPrincipal(&r.entry, from) })
}

// Withdraw takes the service principal of r in t away, and with it all roles
// that were granted on it there; one that is not there is ignored. It panics if
// r is of another Server.
func (t *Tenant) Withdraw(r *Resource) {
	t.s.mustOwn(r.s)
	t.s.update(func() { t.withdraw(r) })
}

// withdraw takes r from t, roles on it included. The caller holds mu.
func (t *Tenant) withdraw(r *Resource) {
	if !t.removePrincipal(&r.entry) {
		return
	}
	for i := range t.principals.list {
		p := &t.principals.list[i]
		p.grants = slices.DeleteFunc(p.grants, func(g grant) bool { return g.resource == r })
	}
}

// addPrincipal makes the service principal of e in t if there is none. The caller
// holds mu.
func (t *Tenant) addPrincipal(e *entry, from instant) {
	e.mustExist()
	t.mustExist()
	if t.principals.find(e.appID) != nil {
		return
	}
	p := principal{appID: e.appID, objectID: newID(), from: from}
	if app := t.s.apps[e.appID]; app != nil && app.identity && t == e.home {
		// The identity and its service principal are one object, whose ID stays.
		if app.objectID == (guid{}) {
			app.objectID = p.objectID
		}
		p.objectID = app.objectID
		t.s.identities[p.objectID.String()] = app
	}
	t.principals.add(p)
	if t != e.home {
		if e.elsewhere == nil {
			e.elsewhere = make(map[*Tenant]struct{})
		}
		e.elsewhere[t] = struct{}{}
	}
}

// removePrincipal reports whether there was one. That of a removed entry is
// gone already; what has its ID now is another's. The caller holds mu.
func (t *Tenant) removePrincipal(e *entry) bool {
	p := t.principals.find(e.appID)
	if p == nil || e.removed {
		return false
	}
	delete(t.s.identities, p.objectID.String()) // elsewhere it has another
	delete(e.elsewhere, t)
	t.principals.remove(e.appID)
	return true
}

// changePrincipal panics if there is none to change: a test that switches off
// what is not there would pass for the wrong reason. It takes mu itself.
func (t *Tenant) changePrincipal(e *entry, change func(*principal)) {
	t.s.mustOwn(e.s)
	t.s.update(func() {
		p := t.principals.find(e.appID)
		if p == nil || e.removed {
			panic(fmt.Sprintf("entratest: %s has no service principal in the tenant %s", e.appID, t.id))
		}
		change(p)
	})
}

// SetAppDisabled disables the service principal of app in t, or enables it
// again: it gets no tokens there (AADSTS7000112), and those it has are revoked
// as by [Tenant.RevokeTokens]. It panics if the app is not installed in t.
func (t *Tenant) SetAppDisabled(app *App, disabled bool) {
	now := t.s.Now()
	t.changePrincipal(&app.entry, func(p *principal) {
		p.disabled = disabled
		if disabled {
			p.revokedBefore = revokedBefore(now)
		}
	})
}

// SetResourceDisabled disables the service principal of r in t, or enables it
// again: nobody gets a token for it there (AADSTS500014). That is what a lapsed
// subscription looks like. It panics if r is not provided in t.
func (t *Tenant) SetResourceDisabled(r *Resource, disabled bool) {
	t.changePrincipal(&r.entry, func(p *principal) { p.disabled = disabled })
}

// SetAssignmentRequired makes roles on r the condition for a token in t: an app
// without any is refused with AADSTS501051, instead of getting a token without
// roles. It panics if r is not provided in t.
func (t *Tenant) SetAssignmentRequired(r *Resource, required bool) {
	t.changePrincipal(&r.entry, func(p *principal) { p.assignmentRequired = required })
}

// blocks are the policies that can stand between an app with a good credential
// and its token.
var blocks = []int{53003, 530032, 530035, 1000031}

// Block makes a policy of t refuse app its tokens, although its credential is
// good: 53003 for Conditional Access, 530032 for a security policy, 530035 for
// the security defaults, 1000031 for an app that Microsoft has blocked; 0 lifts
// it. It panics for another code, and if app is not installed in t.
func (t *Tenant) Block(app *App, code int) {
	if code != 0 && !slices.Contains(blocks, code) {
		panic(fmt.Sprintf("entratest: AADSTS%d is no policy that blocks an app, want one of %v, or 0", code, blocks))
	}
	t.changePrincipal(&app.entry, func(p *principal) { p.blocked = int32(code) })
}
