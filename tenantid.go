// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"slices"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// tenantIDs are the IDs of the tenants that a client knows by their domain names.
type tenantIDs struct {
	memory *domains
	source *entraSource
}

// of returns the ID of a domain, looked up if it is not known.
func (t *tenantIDs) of(ctx context.Context, domain string) (string, error) {
	key := domainKey{t.source.cloud, domain, t.source.http}
	id, err := t.memory.id(ctx, key, func(ctx context.Context) (string, error) { return t.source.lookUp(ctx, domain) })
	if err != nil && ctx.Err() != nil {
		err = &contextError{scope: "tenant " + domain, err: ctx.Err(), cause: context.Cause(ctx)}
	}
	return id, err
}

// named returns the view for a tenant that a caller names by its ID, while this client
// may know it by a domain name only: the same tenant under another name is allowed like
// it, and has its tokens.
func (c *Client) named(ctx context.Context, tenantID string) (*Client, error) {
	s, id := c.shared, strings.ToLower(tenantID)
	view, err := c.Tenant(tenantID)
	if !ident.IsGUID(id) || err == nil && (view == s.root || slices.Contains(s.allowed, id)) {
		return view, err
	}
	for _, domain := range c.domains() {
		found, failure := s.tenantIDs.of(ctx, domain)
		switch {
		case found != "" && domain == s.root.tokens.Tenant:
			s.ownID.Store(&found)
		case failure != nil && err != nil:
			err = failure // it may be this one: not known is not the same as not allowed
		}
		if found == id {
			return c.Tenant(domain)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return view, err
}

// domains returns the domain names that this client knows tenants by, some at most.
func (c *Client) domains() []string {
	const limit = 20
	var names []string
	for _, tenant := range append([]string{c.tokens.Tenant, c.shared.root.tokens.Tenant}, c.shared.allowed...) {
		if ident.IsDomain(tenant) && !slices.Contains(names, tenant) && len(names) < limit {
			names = append(names, tenant)
		}
	}
	return names
}
