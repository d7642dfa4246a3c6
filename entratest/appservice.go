// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"strconv"
)

const (
	appServicePath    = "/msi/token"
	appServiceVersion = "2019-08-01"
)

// appService answers as the token service beside an App Service site does.
func (c *call) appService(string) answer {
	q := c.r.URL.Query()
	m := c.s.findSite(c.r.Header.Get("X-IDENTITY-HEADER"))
	switch {
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", nil)
	case m == nil:
		return c.siteRefusal(unauthorized, "the header X-IDENTITY-HEADER is not the site's IDENTITY_HEADER")
	case q.Get("api-version") != appServiceVersion:
		return c.siteRefusal(badRequest, "api-version is invalid or missing, want "+appServiceVersion)
	case q.Get("resource") == "":
		return c.siteRefusal(badRequest, "the parameter resource is missing")
	}
	if q.Get("object_id") == "" && q.Get("principal_id") != "" {
		q.Set("object_id", q.Get("principal_id"))
	}
	match, selected := m.matches(q, "mi_res_id")
	if !selected {
		return c.siteRefusal(badRequest, "the site has no system-assigned identity: name one by client_id, object_id or mi_res_id")
	}
	if !match {
		return c.siteRefusal(badRequest, "the site has no such identity")
	}
	token, lifetime, f := c.identityToken(m.t, m.app.appID, q.Get("resource"))
	if f != nil {
		return c.siteRefusal(badRequest, f.description())
	}
	return answer{status: http.StatusOK, body: map[string]string{
		"access_token": token,
		"client_id":    m.app.appID,
		"expires_on":   strconv.FormatInt(c.now.Add(lifetime).Unix(), 10),
		"resource":     q.Get("resource"),
		"token_type":   "Bearer",
	}}
}

func (c *call) siteRefusal(status int, message string) answer {
	return answer{status: status, header: map[string]string{"X-CORRELATION-ID": c.correlation}, body: map[string]any{
		"statusCode": status, "message": message, "correlationId": c.correlation,
	}}
}

func (s *Server) findSite(header string) *ManagedIdentity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.sources.identities {
		if sameSecret(m.header, header) {
			return m
		}
	}
	return nil
}
