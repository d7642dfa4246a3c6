// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"net/url"
	"strings"
)

// A consentRequest is what the address of the consent page says, once that is known to
// be in order.
type consentRequest struct {
	version                          int // of the request: 2 has a scope
	app                              *App
	tenant                           *Tenant // nil: the one that the administrator chooses
	redirect, state, scope, resource string
}

// adminConsent answers the consent page of Entra, in both versions of the request:
// see https://learn.microsoft.com/entra/identity-platform/v2-admin-consent. GET shows
// it, POST is its form.
func (c *call) adminConsent(tenantName string) answer {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return methodNotAllowed("GET, HEAD, POST", nil)
	}
	req, f := c.readConsent(tenantName)
	var asked []requirement
	if f == nil {
		asked, f = c.s.asked(req, c)
	}
	switch {
	case f != nil:
		return c.refusalPage(f)
	case c.r.Method == http.MethodPost:
		return c.decideConsent(req)
	}
	return c.consentPage(req, asked)
}

// asked is what the app asks for: in a tenant if one is named.
func (s *Server) asked(req consentRequest, c *call) ([]requirement, *refusal) {
	k := c.clouds()[0]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if req.tenant == nil {
		return req.app.asks(req.resource), nil
	}
	return req.app.asksIn(req.tenant, k, req.resource, c.now)
}

// consentParameters are those of the request that mean something, in the order in
// which they are missed.
var consentParameters = []string{"client_id", "redirect_uri", "scope", "state"}

// readConsent reads the address of the page. Whatever is wrong with it is told to the
// administrator: as long as app and redirect URI are not known to belong together, an
// answer by redirect would make Entra an open redirector (RFC 6749 section 4.1.2.1).
func (c *call) readConsent(tenantName string) (req consentRequest, f *refusal) {
	version := 1
	if c.route.path == consentPathV2 {
		version = 2
	}
	q, f := readConsentQuery(c.r.URL.RawQuery, version)
	if f != nil {
		return req, f
	}
	req = consentRequest{version: version, redirect: q.Get("redirect_uri"), state: q.Get("state")}
	clientID := q.Get("client_id")
	c.log.ClientID = clientID
	if version == 2 {
		req.scope = q.Get("scope")
		c.log.Scope = req.scope
		if req.resource, f = parseScope(req.scope); f != nil {
			return req, f
		}
	}
	if !isAnyTenant(tenantName, version) {
		if req.tenant, f = c.s.findOpenTenant(tenantName); f != nil {
			return req, f
		}
		c.log.Tenant = req.tenant.id
	}
	req.app, f = c.s.findConsentApp(tenantName, req, clientID, c)
	return req, f
}

// readConsentQuery returns the parameters, all that are needed, each once.
func readConsentQuery(raw string, version int) (url.Values, *refusal) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(9002313, "the query cannot be read")
	}
	for _, name := range consentParameters {
		switch {
		case len(q[name]) > 1:
			return nil, refuse(9002313, "parameter '"+name+"' is there more than once").beside("request", name+" is there more than once")
		case q.Get(name) == "" && name != "state" && (name != "scope" || version == 2):
			return nil, refuse(900144, name).beside(name, "")
		}
	}
	return q, nil
}

// isAnyTenant reports whether the word in a tenant's place leaves it to the account.
// Accounts of any kind, "common", are for version 1 alone.
func isAnyTenant(name string, version int) bool {
	return strings.EqualFold(name, "organizations") || version == 1 && strings.EqualFold(name, "common")
}

// findConsentApp returns the app that a request is about, if it may be used where it
// asks, and be answered where it says.
func (s *Server) findConsentApp(tenantName string, req consentRequest, clientID string, c *call) (*App, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	app := s.apps[strings.ToLower(clientID)]
	switch {
	case app == nil || c.now.Before(app.effectiveFrom):
		return nil, refuse(700016, clientID, tenantName).beside("client_id", clientID, known(s.apps)...)
	case app.singleTenant && req.tenant == nil:
		return nil, refuse(50194, app.appID, strings.ToLower(tenantName)).beside("tenant", tenantName, app.home.label())
	case app.singleTenant && req.tenant != app.home:
		return nil, refuse(700016, clientID, req.tenant.id).beside("tenant", req.tenant.id, app.home.label())
	case app.disabled:
		return nil, refuse(7000112, app.appID)
	case !app.redirectsTo(req.redirect, req.version):
		return nil, refuse(50011, req.redirect, app.appID).beside("redirect_uri", req.redirect, app.redirects...)
	}
	return app, nil
}

// decideConsent does what the form says.
func (c *call) decideConsent(req consentRequest) answer {
	form, problem := c.readConsentForm()
	if problem != nil {
		return *problem
	}
	switch form.Get("decision") {
	case "cancel":
		return c.declined(req, refuse(65004, req.app.appID))
	case "approve":
	default:
		return c.formPage(http.StatusBadRequest, "The form does not say whether to approve the app.")
	}
	if req.tenant == nil {
		t, f := c.s.findOpenTenant(form.Get("tenant"))
		if f != nil {
			return c.refusalPage(f)
		}
		req.tenant, c.log.Tenant = t, t.id
	}
	if f := c.s.consent(req, c); f != nil {
		return c.refusalPage(f)
	}
	q := url.Values{"tenant": {req.tenant.id}, "admin_consent": {"True"}}
	if req.version == 2 {
		q.Set("scope", req.scope)
	}
	return redirectTo(req, q)
}

// consent installs the app and grants it what it asks for, or nothing of it.
func (s *Server) consent(req consentRequest, c *call) *refusal {
	k := c.clouds()[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, f := req.app.asksIn(req.tenant, k, req.resource, c.now)
	if f != nil {
		return f
	}
	if s.apps[req.app.appID] != req.app || req.tenant.addPrincipal(req.app.registration) != nil {
		return refuse(700016, req.app.appID, req.tenant.id) // one of the two was removed meanwhile
	}
	for _, q := range asked {
		req.tenant.principals[req.app.registration].grant(q.resource, q.roles, s.effectiveFrom())
	}
	return nil
}

// declined sends the browser back with an error. As at Entra, the answer does not name
// the tenant, and says admin_consent all the same.
func (c *call) declined(req consentRequest, f *refusal) answer {
	c.note(f)
	q := url.Values{
		"error": {f.oauth}, "error_description": {c.describe(f)}, "error_uri": {c.errorURI(f)},
		"admin_consent": {"True"},
	}
	if f.code == 65004 {
		q.Set("error_subcode", "cancel")
	}
	return redirectTo(req, q)
}

// redirectTo answers the app, by the browser.
func redirectTo(req consentRequest, q url.Values) answer {
	if req.state != "" {
		q.Set("state", req.state)
	}
	join := "?"
	if strings.Contains(req.redirect, "?") {
		join = "&"
	}
	return answer{status: http.StatusFound}.with("Location", req.redirect+join+q.Encode()).with("Referrer-Policy", "no-referrer")
}

// refusedConsent is what a fault makes of a request. What concerns the administrator's
// account goes to the app, if the request may be answered there.
func (c *call) refusedConsent(f *refusal) answer {
	if f.oauth == accessDenied {
		if req, wrong := c.readConsent(c.tenant); wrong == nil {
			return c.declined(req, f)
		}
	}
	return c.refusalPage(f)
}
