// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"

	"github.com/apponly/apponly/internal/ident"
)

func checkTenant(id string) (string, error) {
	tenant, err := ident.Tenant(id)
	switch {
	case errors.Is(err, ident.ErrAuthority):
		return "", faultf(ErrAuthorityInvalid, "apponly: %w", err)
	case err != nil:
		return "", faultf(ErrTenantNotFound, "apponly: %w", err)
	}
	return tenant, nil
}

func checkClientID(id string) (string, error) {
	app, err := ident.ClientID(id)
	if err != nil {
		return "", faultf(ErrAppNotFound, "apponly: %w", err)
	}
	return app, nil
}

func checkAllowed(tenants []string) ([]string, error) {
	var allowed []string
	var errs []error
	for _, id := range tenants {
		tenant, err := id, error(nil)
		if id != "*" {
			tenant, err = checkTenant(id)
		}
		if err != nil {
			errs = append(errs, within("Options.AllowedTenants", err))
			continue
		}
		allowed = append(allowed, tenant)
	}
	return allowed, errors.Join(errs...)
}

func checkScope(scope string) error {
	if err := ident.CheckScope(scope); err != nil {
		return faultf(ErrScopeInvalid, "%w", err)
	}
	return nil
}
