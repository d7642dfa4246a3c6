// SPDX-License-Identifier: MIT

package doctor

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

func lookAtPermissions(_ context.Context, p *patient) finding {
	claims, readable := readToken(p.token.Value())
	if !readable {
		return ok("the token is opaque: only its API can read it")
	}
	return judgePermissions(claims, p.env, p.Scope)
}

// tokenClaims are those of an access token that tell what it is good for. Nobody
// but its API may rely on them; they are looked at here for a human.
type tokenClaims struct {
	Audience string   `json:"aud"`
	Tenant   string   `json:"tid"`
	AppID    string   `json:"appid"`
	Party    string   `json:"azp"`
	Object   string   `json:"oid"`
	Subject  string   `json:"sub"`
	IDType   string   `json:"idtyp"`
	Scope    *string  `json:"scp"`
	Roles    []string `json:"roles"`
}

// readToken returns the claims of a token that is a JWT.
func readToken(token string) (c tokenClaims, readable bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(payload, &c) == nil
}

// judgePermissions judges what a token for scope says.
func judgePermissions(c tokenClaims, e inside.Environment, scope string) finding {
	const wrong = "What answers the token requests is not the Entra of this app: check the authority host and what stands between."
	client := cmp.Or(c.Party, c.AppID)
	switch {
	case !fits(c.Audience, scope):
		return fault(fmt.Sprintf("the token is for %s, not for %s", quote(c.Audience), quote(scope)), wrong, "")
	case e.Credential != "managed-identity" && ident.IsGUID(e.TenantID) && !strings.EqualFold(c.Tenant, e.TenantID):
		return fault(fmt.Sprintf("the token is of the tenant %s, not of %s", quote(c.Tenant), e.TenantID), wrong, "")
	case e.ClientID != "" && !strings.EqualFold(client, e.ClientID):
		return fault(fmt.Sprintf("the token is of the app %s, not of %s", quote(client), e.ClientID), wrong, "")
	case !appOnly(c):
		return fault("the token is not app-only: it is a user's", wrong, "")
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

// appOnly reports whether a token is an app's own, as package verify judges it.
func appOnly(c tokenClaims) bool {
	switch {
	case c.Scope != nil:
		return false
	case c.IDType != "":
		return c.IDType == "app"
	}
	return len(c.Roles) > 0 || c.Subject != "" && c.Subject == c.Object
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
