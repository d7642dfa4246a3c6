// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

func lookAtIdentifiers(_ context.Context, p *patient) finding {
	return judgeIdentifiers(p.env, p.Scope)
}

// judgeIdentifiers judges the form of what names tenant, app and API: the scope that was
// given.
func judgeIdentifiers(e inside.Environment, scope string) finding {
	if f, found := firstFault(e, inside.Identifiers); found {
		return f
	}
	if err := ident.CheckScope(scope); scope != "" && err != nil {
		return fault("--scope: "+err.Error(), apponly.ErrScopeInvalid.Remedy(), string(apponly.ErrScopeInvalid))
	}
	var parts []string
	if e.TenantID != "" && e.Credential != "managed-identity" {
		parts = append(parts, "tenant "+e.TenantID)
	}
	if e.ClientID != "" {
		parts = append(parts, "client "+e.ClientID)
	}
	api := "scope " + scope
	if scope == "" {
		api = "Microsoft Graph"
	}
	text := strings.Join(append(parts, api), ", ")
	if e.ClientID != "" && strings.EqualFold(e.ClientID, e.TenantID) {
		return warn("tenant and client have the same ID, "+e.ClientID, "Look both up on the app registration's overview: one of them was copied twice.")
	}
	return ok(text)
}
