// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
	_ "github.com/apponly/apponly/verify" // which reads the token
)

func lookAtPermissions(_ context.Context, p *patient) finding {
	token, err := inside.ReadToken(p.token.Value())
	if err != nil {
		return ok("only its API can read it: " + strings.TrimPrefix(err.Error(), "verify: "))
	}
	return judgePermissions(token, p.env, p.scope)
}

// judgePermissions judges what a token for scope says.
func judgePermissions(c inside.Token, e inside.Environment, scope string) finding {
	const wrong = "What answers the token requests is not the Entra of this app: check the authority host and what stands between."
	switch {
	case !fits(c.Audience, scope):
		return fault(fmt.Sprintf("the token is for %s, not for %s", quote(c.Audience), quote(scope)), wrong, "")
	case e.Credential != "managed-identity" && ident.IsGUID(e.TenantID) && !strings.EqualFold(c.TenantID, e.TenantID):
		return fault(fmt.Sprintf("the token is of the tenant %s, not of %s", quote(c.TenantID), e.TenantID), wrong, "")
	case e.ClientID != "" && !strings.EqualFold(c.ClientID, e.ClientID):
		return fault(fmt.Sprintf("the token is of the app %s, not of %s", quote(c.ClientID), e.ClientID), wrong, "")
	case !c.AppOnly:
		return fault("the token is not app-only: "+c.Because, wrong, "")
	case len(c.Roles) == 0:
		return warn("app-only, for "+ident.OneLine(c.Audience, 100)+", but it has no roles: Entra issues tokens to apps that nobody has granted anything",
			"Add an application permission of the API to the app registration and have an administrator consent, or assign an app role to the service principal. The next token has it.")
	}
	return ok(fmt.Sprintf("app-only, for %s: %s", ident.OneLine(c.Audience, 100), list(c.Roles)))
}

// fits reports whether an audience can be that of a scope: a token of version 1 has
// the URI that was asked for, one of version 2 the app ID, which only a scope of
// that form tells.
func fits(audience, scope string) bool {
	resource := strings.TrimSuffix(scope, "/.default")
	id := strings.TrimPrefix(resource, "api://")
	if ident.IsGUID(audience) {
		return !ident.IsGUID(id) || strings.EqualFold(audience, id)
	}
	if ident.IsGUID(resource) { // a token of version 1 may have the URI of that app
		return audience != ""
	}
	return strings.EqualFold(strings.TrimRight(audience, "/"), strings.TrimRight(resource, "/"))
}

// list names roles, some if there are many.
func list(roles []string) string {
	const most = 6
	var names []string
	for _, r := range roles[:min(len(roles), most)] {
		names = append(names, ident.OneLine(r, 60))
	}
	if more := len(roles) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
