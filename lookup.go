// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/wire"
)

// lookUp asks the authority for the ID of the tenant that has a domain: it stands in
// the issuer of the domain's OpenID configuration. No credential is sent. See
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc.
func (s *entraSource) lookUp(ctx context.Context, domain string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cloud.Authority()+"/"+domain+"/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		return "", errorf(ErrTenantNotFound, "apponly: the configuration of %s has no URL", domain)
	}
	req.Header.Set("Accept", "application/json")
	turn, err := wire.TakeTurn(ctx, s.http)
	if err != nil {
		return "", unreachable(err).of(domain, s.clientID, "")
	}
	defer turn.End()
	a := turn.Send(req, wire.Policy{Again: worthAgain})
	var e *Error
	switch {
	case a.Status == 0:
		e = unreachable(a.Err)
	case a.Status != http.StatusOK:
		e = classify(a.Status, a.Header, a.Body, ErrOther)
	default:
		if id := tenantIDIn(a.Body); id != "" {
			return id, nil
		}
		e = &Error{Kind: ErrService, HTTPStatus: a.Status}
	}
	e.reason = strings.TrimSuffix("the tenant's ID could not be looked up: "+e.reason, ": ")
	return "", e.of(domain, s.clientID, "")
}

// tenantIDIn returns the tenant ID in the issuer of an OpenID configuration, "" if
// there is none.
func tenantIDIn(body []byte) string {
	var c struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ident.IsGUID(id) {
		return ""
	}
	return strings.ToLower(id)
}
