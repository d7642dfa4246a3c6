// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	imdsPath    = "/metadata/identity/oauth2/token"
	imdsVersion = "2018-02-01"
)

// imds answers as the Instance Metadata Service does.
func (c *call) imds(string) answer {
	q := c.r.URL.Query()
	switch {
	case c.r.Method != http.MethodGet:
		return methodNotAllowed("GET", map[string]string{"error": "method not allowed"})
	case !strings.EqualFold(c.r.Header.Get("Metadata"), "true"):
		return imdsRefusal("invalid_request", "the header Metadata: true is missing")
	case len(c.r.Header.Values("X-Forwarded-For")) > 0:
		// Whoever forwards a request for somebody else must not get the token.
		return imdsRefusal("invalid_request", "a forwarded request is not answered")
	case q.Get("api-version") != imdsVersion:
		return answer{status: badRequest, body: map[string]any{
			"error":           "api-version is invalid or missing",
			"newest-versions": []string{imdsVersion},
		}}
	case q.Get("resource") == "":
		return imdsRefusal("invalid_request", "the parameter resource is missing")
	}

	c.s.mu.RLock()
	all := slices.Clone(c.s.sources.identities)
	c.s.mu.RUnlock()
	var found []*ManagedIdentity
	for _, m := range all {
		if match, _ := m.matches(q, "msi_res_id"); match {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return imdsRefusal("invalid_request", "Identity not found")
	case 1:
	default:
		return imdsRefusal("invalid_request", "several user-assigned identities: name one by client_id, object_id or msi_res_id")
	}

	m := found[0]
	token, lifetime, f := c.identityToken(m.t, m.app.appID, q.Get("resource"))
	if f != nil {
		return imdsRefusal(f.oauth, f.description())
	}
	// Numbers are strings here, unlike at the token endpoint.
	seconds := strconv.FormatInt(int64(lifetime/time.Second), 10)
	return answer{status: http.StatusOK, body: map[string]string{
		"access_token":   token,
		"client_id":      m.app.appID,
		"expires_in":     seconds,
		"expires_on":     strconv.FormatInt(c.now.Add(lifetime).Unix(), 10),
		"ext_expires_in": seconds,
		"not_before":     strconv.FormatInt(c.now.Unix(), 10),
		"refresh_token":  "",
		"resource":       q.Get("resource"),
		"token_type":     "Bearer",
	}}
}

func imdsRefusal(oauth, description string) answer {
	return answer{status: badRequest, body: map[string]string{"error": oauth, "error_description": description}}
}
