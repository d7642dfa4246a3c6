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
func (x *exchange) appService(string) answer {
	q := x.r.URL.Query()
	m := x.s.findSite(x.r.Header.Get("X-IDENTITY-HEADER"))
	switch {
	case x.r.Method != http.MethodGet:
		return methodNotAllowed("GET", nil)
	case m == nil:
		return x.siteRefusal(unauthorized, "the header X-IDENTITY-HEADER is not the site's IDENTITY_HEADER")
	case q.Get("api-version") != appServiceVersion:
		return x.siteRefusal(badRequest, "api-version is invalid or missing, want "+appServiceVersion)
	case q.Get("resource") == "":
		return x.siteRefusal(badRequest, "the parameter resource is missing")
	}
	if q.Get("object_id") == "" && q.Get("principal_id") != "" {
		q.Set("object_id", q.Get("principal_id"))
	}
	match, selected := m.matches(q, "mi_res_id")
	if !selected {
		return x.siteRefusal(badRequest, "the site has no system-assigned identity: name one by client_id, object_id or mi_res_id")
	}
	if !match {
		return x.siteRefusal(badRequest, "the site has no such identity")
	}
	token, lifetime, f := x.identityToken(m.t, m.app.appID, q.Get("resource"))
	if f != nil {
		return x.siteRefusal(badRequest, f.description())
	}
	return answer{status: http.StatusOK, body: map[string]string{
		"access_token": token,
		"client_id":    m.app.appID,
		"expires_on":   strconv.FormatInt(x.now.Add(lifetime).Unix(), 10),
		"resource":     q.Get("resource"),
		"token_type":   "Bearer",
	}}
}

func (x *exchange) siteRefusal(status int, message string) answer {
	return answer{status: status, header: map[string]string{"X-CORRELATION-ID": x.correlation}, body: map[string]any{
		"statusCode": status, "message": message, "correlationId": x.correlation,
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
