// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// A Rule lets in callers that meet all of its conditions. Rules are alternatives.
type Rule struct {
	// Tenant is the ID of the caller's tenant. Exactly one of Tenant and TenantFunc is
	// set.
	Tenant string
	// TenantFunc says whether a tenant is let in, such as that of a customer in a
	// database. Its error means that nobody knows, [ErrTenantUnknown]. It is asked
	// for each token that other rules do not let in, of tenants that Entra vouches
	// for, and must be safe for concurrent use.
	//
	// A role in a token was granted by an administrator of the token's tenant, which
	// anybody can have: a function that knows no tenant from another lets everybody
	// in who grants himself the role.
	TenantFunc func(ctx context.Context, tenantID string) (bool, error)
	// Client is the client ID of the calling app; "": any app of the tenant, and then
	// Roles is required.
	Client string
	// Roles are app roles of this API, any one of which is enough; nil: none is
	// needed, and then Client is required.
	Roles []string
}

// checked returns the rule in canonical form, or all that is wrong with it.
func (r Rule) checked() (Rule, error) {
	var errs []error
	if (r.Tenant == "") == (r.TenantFunc == nil) {
		errs = append(errs, errors.New("exactly one of Tenant and TenantFunc has to be set"))
	}
	if r.Tenant != "" && !ident.IsGUID(r.Tenant) {
		errs = append(errs, fmt.Errorf("the Tenant %s is not a GUID: a token has its tenant's ID, never a domain name", ident.Quote(r.Tenant)))
	}
	if r.Client != "" && !ident.IsGUID(r.Client) {
		errs = append(errs, fmt.Errorf("the Client %s is not a GUID: want the application (client) ID of the calling app", ident.Quote(r.Client)))
	}
	switch {
	case r.Client == "" && len(r.Roles) == 0:
		errs = append(errs, errors.New("neither Client nor Roles is set: any app of the tenant could call, as Entra issues tokens to all of them"))
	case r.Roles != nil && len(r.Roles) == 0:
		errs = append(errs, errors.New("Roles is empty and not nil: no role would be enough"))
	case slices.ContainsFunc(r.Roles, func(role string) bool { return role == "" || strings.ContainsAny(role, " \t\r\n") }):
		errs = append(errs, errors.New("Roles has one that is empty or has white space in it, which no app role has"))
	}
	r.Tenant, r.Client, r.Roles = strings.ToLower(r.Tenant), strings.ToLower(r.Client), slices.Clone(r.Roles)
	return r, errors.Join(errs...)
}

// forTenant reports whether the rule is for a tenant.
func (r *Rule) forTenant(ctx context.Context, tenant string) (bool, error) {
	if r.TenantFunc == nil {
		return r.Tenant == tenant, nil
	}
	return r.TenantFunc(ctx, tenant)
}

// admits reports whether the app is one that the rule is for.
func (r *Rule) admits(c *Caller) bool {
	return (r.Client == "" || r.Client == c.ClientID) && (r.Roles == nil || slices.ContainsFunc(r.Roles, c.HasRole))
}

// admit lets a caller in by one of rules, those with functions last. refusal, if any,
// is why none may let it in; the tenant is what a caller is told of first.
func admit(ctx context.Context, rules []Rule, c *Caller, refusal Kind) (kind Kind, cause error) {
	ours := false
	for i := range rules {
		r := &rules[i]
		match, err := r.forTenant(ctx, c.TenantID)
		switch {
		case err != nil:
			cause = err
		case !match:
		case refusal == "" && r.admits(c):
			return "", nil
		default:
			ours = true
		}
	}
	switch {
	case refusal != "" && (ours || cause != nil): // whatever the tenant is
		return refusal, nil
	case cause != nil:
		return ErrTenantUnknown, cause
	case !ours:
		return ErrTenant, nil
	}
	return ErrNotAllowed, nil
}
