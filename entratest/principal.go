// SPDX-License-Identifier: MIT

package entratest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// principal is a service principal: what a tenant knows of an app or a resource
// that is used there. Guarded by the server's mu.
type principal struct {
	objectID           string
	effectiveFrom      time.Time
	revokedBefore      int64 // tokens with an earlier iat are revoked; Unix seconds
	blocked            int   // AADSTS number of the policy that blocks it, 0 for none
	disabled           bool
	assignmentRequired bool
	roles              map[role]time.Time // that it has been granted, with when they take effect
}

// role is an app role of a resource.
type role struct {
	resource *registration
	name     string
}

func (p *principal) hasRole(r *Resource, name string, now time.Time) bool {
	effectiveFrom, granted := p.roles[role{r.registration, name}]
	return granted && !now.Before(effectiveFrom)
}

// grant leaves a role that p has already as it is: it may be in effect.
func (p *principal) grant(r *Resource, names []string, effectiveFrom time.Time) {
	if p.roles == nil {
		p.roles = make(map[role]time.Time)
	}
	for _, name := range names {
		if _, granted := p.roles[role{r.registration, name}]; !granted {
			p.roles[role{r.registration, name}] = effectiveFrom
		}
	}
}

// revoke takes roles on a resource away.
func (p *principal) revoke(r *Resource, names []string) {
	for _, name := range names {
		delete(p.roles, role{r.registration, name})
	}
}

// Install makes a service principal for app in t, which is what an
// administrator's consent does for an app of another tenant. Installing it
// again changes nothing. It panics if app is of another Server or was removed.
func (t *Tenant) Install(app *App) { panicIf(t.add(app.registration)) }

// Uninstall takes the service principal of app in t away, and with it the roles
// it was granted there; one that is not there is ignored. It panics if app is of
// another Server.
func (t *Tenant) Uninstall(app *App) { panicIf(t.remove(app.registration)) }

// Provide makes a service principal for r in t, so that apps there can ask for
// tokens for it. Providing it again changes nothing. It panics if r is of
// another Server or was removed.
func (t *Tenant) Provide(r *Resource) { panicIf(t.add(r.registration)) }

// Withdraw takes the service principal of r in t away, and with it all roles
// that were granted on it there; one that is not there is ignored. It panics if
// r is of another Server.
func (t *Tenant) Withdraw(r *Resource) { panicIf(t.remove(r.registration)) }

var errOtherServer = errors.New("object belongs to another Server")

func (t *Tenant) add(r *registration) error {
	if r.s != t.s {
		return errOtherServer
	}
	return t.s.try(func() error { return t.addPrincipal(r) })
}

func (t *Tenant) remove(r *registration) error {
	if r.s != t.s {
		return errOtherServer
	}
	t.s.update(func() { t.removePrincipal(r) })
	return nil
}

// addPrincipal makes the service principal of r in t if there is none. The caller
// holds mu.
func (t *Tenant) addPrincipal(r *registration) error {
	if r.removed {
		return fmt.Errorf("%s has been removed", r.appID)
	}
	if err := t.exists(); err != nil {
		return err
	}
	if t.principals[r] != nil {
		return nil
	}
	p := &principal{objectID: ident.NewGUID()}
	if r.microsoft == nil { // which has been there all along
		p.effectiveFrom = t.s.effectiveFrom()
	}
	if t == r.home && r.homeObjectID != "" {
		p.objectID = r.homeObjectID
	}
	t.principals[r] = p
	return nil
}

// removePrincipal also takes away what was granted on it. The caller holds mu.
func (t *Tenant) removePrincipal(r *registration) {
	if t.principals[r] == nil {
		return
	}
	delete(t.principals, r)
	for _, p := range t.principals {
		maps.DeleteFunc(p.roles, func(granted role, _ time.Time) bool { return granted.resource == r })
	}
}

// principalOf returns an error if there is none: a test that switches off what
// is not there would pass for the wrong reason. The caller holds mu.
func (t *Tenant) principalOf(r *registration) (*principal, error) {
	if r.s != t.s {
		return nil, errOtherServer
	}
	if r.microsoft != nil {
		if err := t.addPrincipal(r); err != nil {
			return nil, err
		}
	}
	if p := t.principals[r]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s has no service principal in the tenant %s", r.appID, t.id)
}

func (t *Tenant) changePrincipal(r *registration, change func(*principal)) error {
	return t.s.try(func() error {
		p, err := t.principalOf(r)
		if err == nil {
			change(p)
		}
		return err
	})
}

// SetAppDisabled disables the service principal of app in t, or enables it
// again: it gets no tokens there (AADSTS7000112), and those it has are revoked
// as by [Tenant.RevokeTokens]. It panics if the app is not installed in t.
func (t *Tenant) SetAppDisabled(app *App, disabled bool) {
	panicIf(t.changePrincipal(app.registration, func(p *principal) {
		p.disabled = disabled
		if disabled {
			p.revokedBefore = t.s.revocation()
		}
	}))
}

// SetResourceDisabled disables the service principal of r in t, or enables it
// again: nobody gets a token for it there (AADSTS500014). That is what a lapsed
// subscription looks like. It panics if r is not provided in t.
func (t *Tenant) SetResourceDisabled(r *Resource, disabled bool) {
	panicIf(t.changePrincipal(r.registration, func(p *principal) { p.disabled = disabled }))
}

// SetAssignmentRequired makes roles on r the condition for a token in t: an app
// without any is refused with AADSTS501051, instead of getting a token without
// roles. It panics if r is not provided in t.
func (t *Tenant) SetAssignmentRequired(r *Resource, required bool) {
	panicIf(t.setAssignmentRequired(r, required))
}

func (t *Tenant) setAssignmentRequired(r *Resource, required bool) error {
	return t.changePrincipal(r.registration, func(p *principal) { p.assignmentRequired = required })
}

// blockCodes are the numbers of the policies that can stand between an app with a
// good credential and its token.
var blockCodes = []int{53003, 530032, 530035, 1000031}

// Block makes a policy of t refuse app its tokens, although its credential is
// good: 53003 for Conditional Access, 530032 for a security policy, 530035 for
// the security defaults, 1000031 for an app that Microsoft has blocked; 0 lifts
// it. It panics for another code, and if app is not installed in t.
func (t *Tenant) Block(app *App, code int) {
	if code != 0 && !slices.Contains(blockCodes, code) {
		panicIf(fmt.Errorf("AADSTS%d is no policy that blocks an app, want one of %v, or 0", code, blockCodes))
	}
	panicIf(t.changePrincipal(app.registration, func(p *principal) { p.blocked = code }))
}

// Grant gives app the roles on r in t. Tokens issued from now on carry them, or
// from when [Server.SetPropagation] lets them be seen.
//
// App and r need a service principal in t ([Tenant.Install], [Tenant.Provide]),
// and r must define the roles; Grant panics otherwise, as a test that grants
// nothing by mistake would be hard to read.
func (r *Resource) Grant(t *Tenant, app *App, roles ...string) { panicIf(r.grant(t, app, roles)) }

func (r *Resource) grant(t *Tenant, app *App, roles []string) error {
	return t.s.try(func() error {
		p, err := t.principalOf(app.registration)
		if err == nil {
			_, err = t.principalOf(r.registration)
		}
		if err != nil {
			return err
		}
		if err := r.defines(roles); err != nil {
			return err
		}
		p.grant(r, roles, t.s.effectiveFrom())
		return nil
	})
}

// Revoke takes the roles from app again; those it does not have are ignored.
// Tokens that were issued stay as they are. It panics if one of the three is of
// another Server.
func (r *Resource) Revoke(t *Tenant, app *App, roles ...string) {
	if t.s != r.s || app.s != r.s {
		panicIf(errOtherServer)
	}
	r.s.update(func() {
		if p := t.principals[app.registration]; p != nil {
			p.revoke(r, roles)
		}
	})
}

// RevokeTokens makes the tokens that app got in t so far worthless to APIs that
// take part in continuous access evaluation ([Resource.Protect]): they answer
// with a claims challenge until the app sends a token that was asked for with
// the claims in it. Entra does this when a service principal is disabled,
// deleted or at risk. It panics if the app is not installed in t.
//
// Times in tokens are whole seconds. All tokens of the second in which the
// revocation falls count as revoked, and one that is asked for with the claims
// of the challenge carries the next second as its iat and nbf, even if that is
// still less than a second away.
//
// A revocation is at its time by the emulator's clock. If [Server.SetClockOffset]
// puts that back afterwards, the revocation lies in the future: the token that
// answers the challenge is issued at that time, and an API takes it for one that
// is not yet valid until the clock is there.
func (t *Tenant) RevokeTokens(app *App) {
	panicIf(t.changePrincipal(app.registration, func(p *principal) { p.revokedBefore = t.s.revocation() }))
}

// revocation returns the first second, in Unix time, whose tokens are good after
// a revocation now.
func (s *Server) revocation() int64 { return s.Now().Unix() + 1 }

// revoked reports whether a token no longer counts, by its tid, its azp or appid,
// its oid and its iat. To count, a token has to be issued at since or later.
func (s *Server) revoked(tid, appID, objectID string, issuedAt time.Time) (since time.Time, revoked bool) {
	gone := time.Unix(s.revocation(), 0)
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, app := s.tenants[tid], s.apps[appID]
	if t == nil || app == nil {
		return gone, true
	}
	p := t.principals[app.registration]
	if p == nil || p.disabled || app.disabled || p.objectID != objectID {
		return gone, true // the last is the token of a service principal that was deleted and made anew
	}
	if p.revokedBefore == 0 {
		return time.Time{}, false
	}
	return time.Unix(p.revokedBefore, 0), issuedAt.Unix() < p.revokedBefore
}

// SetPropagation makes what is added from now on count only after d, by the
// emulator's clock: apps, secrets, certificates, federated credentials, service
// principals ([Tenant.Install], [Tenant.Provide]) and roles ([Resource.Grant]).
// Entra's nodes learn of them one by one, in seconds or minutes, and documents
// no limit; what is taken away is gone at once here. Zero, the default, is no
// delay.
func (s *Server) SetPropagation(d time.Duration) {
	s.update(func() { s.propagation = max(d, 0) })
}

// effectiveFrom returns when something that is added now begins to count. The
// caller holds mu.
func (s *Server) effectiveFrom() time.Time {
	if s.propagation == 0 {
		return time.Time{}
	}
	return s.Now().Add(s.propagation).Round(0) // by the wall clock, which is the one that SetClockOffset sets
}
