// SPDX-License-Identifier: MIT

package consent_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/consent"
)

// What the browser brings back, and what it comes to. A "" that is not granted is a
// page with status 400.
func TestCallbacks(t *testing.T) {
	const granted = consent.Kind("granted")
	spoiled := func(change func([]byte) []byte) change {
		return func(q url.Values) { q.Set("state", string(change([]byte(q.Get("state"))))) }
	}
	rows := []struct {
		name   string
		change change
		want   consent.Kind
		code   int
	}{
		{"as Entra answers", nothing, granted, 0},
		{"without the scope", del("scope"), granted, 0},
		{"another scope", set("scope", "x y z"), granted, 0},
		{"true in lower case", set("admin_consent", "true"), granted, 0},
		{"TRUE", set("admin_consent", "TRUE"), granted, 0},
		{"the tenant in upper case", set("tenant", strings.ToUpper(customer)), granted, 0},
		{"unknown parameters", all(add("x", "1"), add("x", "2"), add("session_state", "y")), granted, 0},
		{"an empty parameter", set("", ""), granted, 0},

		{"admin_consent False", set("admin_consent", "False"), consent.ErrRefused, 0},
		{"admin_consent 1", set("admin_consent", "1"), consent.ErrRefused, 0},
		{"admin_consent yes", set("admin_consent", "yes"), consent.ErrRefused, 0},
		{"admin_consent with a blank", set("admin_consent", "True "), consent.ErrRefused, 0},
		{"admin_consent with a long s", set("admin_consent", "Tru\u0435"), consent.ErrRefused, 0},
		{"no admin_consent", del("admin_consent"), consent.ErrRefused, 0},
		{"an empty admin_consent", set("admin_consent", ""), consent.ErrRefused, 0},

		{"another tenant", set("tenant", stranger), consent.ErrTenantMismatch, 0},
		{"no tenant", del("tenant"), consent.ErrTenantMismatch, 0},
		{"an empty tenant", set("tenant", ""), consent.ErrTenantMismatch, 0},
		{"a domain", set("tenant", "customer.example"), consent.ErrTenantMismatch, 0},
		{"organizations", set("tenant", "organizations"), consent.ErrTenantMismatch, 0},
		{"a tenant in braces", set("tenant", "{"+customer+"}"), consent.ErrTenantMismatch, 0},
		{"a tenant with a blank", set("tenant", customer+" "), consent.ErrTenantMismatch, 0},
		{"a tenant with a path", set("tenant", customer+"/x"), consent.ErrTenantMismatch, 0},
		{"markup for a tenant", set("tenant", "<script>alert(1)</script>"), consent.ErrTenantMismatch, 0},

		{"declined", refused("access_denied", "AADSTS65004: User declined to consent to access the app."), consent.ErrCancelled, 65004},
		{"declined, as documented", refused("consent_required", "AADSTS65004: The resource owner denied the request."), consent.ErrCancelled, 65004},
		{"cancelled", all(refused("access_denied", ""), set("error_subcode", "cancel")), consent.ErrCancelled, 0},
		{"cancelled in capitals", all(refused("x", ""), set("error_subcode", "CANCEL")), consent.ErrCancelled, 0},
		{"access_denied without a number", refused("access_denied", "The user has denied access."), consent.ErrCancelled, 0},
		{"ACCESS_DENIED", refused("ACCESS_DENIED", ""), consent.ErrCancelled, 0},
		{"access_denied for something else", refused("access_denied", "AADSTS90094: An administrator has set a policy."), consent.ErrRefused, 90094},
		{"an account of another tenant", refused("access_denied", "AADSTS50020: User account 'a@b' from identity provider does not exist in tenant."), consent.ErrWrongAccount, 50020},
		{"an API that is not there", refused("invalid_client", "AADSTS650052: The app is trying to access a service."), consent.ErrNotSubscribed, 650052},
		{"permission_denied", refused("permission_denied", "The admin canceled the request"), consent.ErrRefused, 0},
		{"an unknown number", refused("invalid_request", "AADSTS9999999: no"), consent.ErrRefused, 9999999},
		{"a number that is none", refused("invalid_request", "AADSTSabc: no"), consent.ErrRefused, 0},
		{"an endless number", refused("invalid_request", "AADSTS"+strings.Repeat("9", 4000)), consent.ErrRefused, 0},
		{"a number of twenty digits", refused("invalid_request", "AADSTS99999999999999999999"), consent.ErrRefused, 0},
		{"a negative number", refused("invalid_request", "AADSTS-65004"), consent.ErrRefused, 0},
		{"an error beside a tenant", set("error", "access_denied"), consent.ErrCancelled, 0},
		{"an empty error", set("error", ""), consent.ErrRefused, 0},
		{"an error with line breaks", refused("a\r\nSet-Cookie: x=y", "x"), consent.ErrRefused, 0},
		{"markup", refused("<script>", "<script>alert(1)</script>"), consent.ErrRefused, 0},
		{"a description alone", all(set("error_description", "AADSTS65004: x"), nothing), granted, 0},

		{"no state", del("state"), "", 0},
		{"an empty state", set("state", ""), "", 0},
		{"a state of text", set("state", "hello"), "", 0},
		{"a state in base64", set("state", "aGVsbG8gd29ybGQ"), "", 0},
		{"a state of zeros", set("state", strings.Repeat("A", 200)), "", 0},
		{"a state cut short", spoiled(func(b []byte) []byte { return b[:len(b)-1] }), "", 0},
		{"a state cut in half", spoiled(func(b []byte) []byte { return b[:len(b)/2] }), "", 0},
		{"a longer state", spoiled(func(b []byte) []byte { return append(b, 'A') }), "", 0},
		{"a padded state", spoiled(func(b []byte) []byte { return append(b, '=') }), "", 0},
		{"a state with a line break", spoiled(func(b []byte) []byte { return append(b[:10:10], append([]byte("\n"), b[10:]...)...) }), "", 0},
		{"another nonce", spoiled(func(b []byte) []byte { b[0] ^= 1; return b }), "", 0},
		{"a later end", spoiled(func(b []byte) []byte { b[31] = 'z'; return b }), "", 0},
		{"another tenant in the state", spoiled(func(b []byte) []byte { b[40] ^= 1; return b }), "", 0},
		{"another code", spoiled(func(b []byte) []byte { b[len(b)-3] ^= 1; return b }), "", 0},
		{"two states", add("state", "x"), "", 0},
		{"two tenants", add("tenant", customer), "", 0},
		{"two consents", add("admin_consent", "True"), "", 0},
		{"two errors", all(add("error", "a"), add("error", "b")), "", 0},
		{"two descriptions", all(add("error_description", "a"), add("error_description", "b")), "", 0},
		{"two scopes", add("scope", "x"), "", 0},
		{"two subcodes", all(add("error_subcode", "a"), add("error_subcode", "b")), "", 0},
		{"two error URIs", all(add("error_uri", "a"), add("error_uri", "b")), "", 0},
		{"a query of 20 KiB", set("x", strings.Repeat("x", 20<<10)), "", 0},
		{"an error without a state", all(refused("access_denied", "AADSTS65004"), del("state")), "", 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			j := begin(t, newFlow(t, nil), customer, "order 7")
			q := j.good()
			row.change(q)
			res, w := j.callback(http.MethodGet, q.Encode())
			if row.want == "" {
				if res != nil || w.Code != http.StatusBadRequest || len(w.Result().Cookies()) > 0 {
					t.Errorf("told %+v, status %d, cookies %v", res, w.Code, w.Result().Cookies())
				}
				return
			}
			if res == nil {
				t.Fatalf("status %d, not told", w.Code)
			}
			if res.Granted && (errors.Is(res.Err, consent.ErrRefused) || res.Err.Error() != "<nil>" || res.Err.LogValue().Any() != nil) {
				t.Errorf("an error that is none: %v", res.Err)
			}
			if res.Data != "order 7" || res.RequestedTenant != customer || res.Granted != (row.want == granted) || res.Granted != (res.Err == nil) {
				t.Errorf("%+v", res)
			}
			if !res.Granted && (!errors.Is(res.Err, row.want) || res.Err.Code != row.code || strings.ContainsAny(res.Err.Error()+res.Err.OAuthError, "\r\n")) {
				t.Errorf("%v, want %v", res.Err, row.want)
			}
			if !res.Granted && (row.code == 0) == strings.Contains(res.Err.Error(), "AADSTS") {
				t.Errorf("text %q", res.Err)
			}
			if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", h)
			}
			if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" || c[0].Name != j.cookies[0].Name {
				t.Errorf("the cookie is not cleared: %v", c)
			}
		})
	}
	if len(rows) < 60 {
		t.Errorf("%d rows", len(rows))
	}
}

// Whoever is not the browser that began, and whatever is not a GET, is turned away.
func TestWhoMayComeBack(t *testing.T) {
	f := newFlow(t, nil)
	j, second := begin(t, f, customer, ""), begin(t, f, customer, "")
	own := j.cookies
	for name, cookies := range map[string][]*http.Cookie{
		"no cookie":                     nil,
		"that of another consent":       second.cookies,
		"its name with another's value": {{Name: own[0].Name, Value: second.cookies[0].Value}},
		"an empty one":                  {{Name: own[0].Name}},
		"the value under a plain name":  {{Name: strings.TrimPrefix(own[0].Name, "__Host-"), Value: own[0].Value}},
		"a value that is cut":           {{Name: own[0].Name, Value: own[0].Value[1:]}},
		"the value of the state's own":  {{Name: own[0].Name, Value: j.state}},
	} {
		j.cookies = cookies
		if res, w := j.callback(http.MethodGet, j.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
			t.Errorf("%s: told %+v, status %d", name, res, w.Code)
		}
	}
	j.cookies = own
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if res, w := j.callback(method, j.good().Encode()); res != nil || w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
			t.Errorf("%s: told %+v, status %d", method, res, w.Code)
		}
	}
	// Another flow's state is no state: another app, address, API, cloud or key, and one
	// that is sent around.
	for name, change := range map[string]func(*consent.Config){
		"app":      func(c *consent.Config) { c.ClientID = stranger },
		"redirect": func(c *consent.Config) { c.RedirectURL += "/2" },
		"scope":    func(c *consent.Config) { c.Scope = "" },
		"cloud":    func(c *consent.Config) { c.Cloud = cloud.China },
		"key":      func(c *consent.Config) { c.Keys = [][]byte{key2} },
		"link":     func(c *consent.Config) { c.Link = true },
	} {
		j := begin(t, newFlow(t, change), customer, "")
		j.flow = f
		if res, w := j.callback(http.MethodGet, j.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
			t.Errorf("state of another %s: told %+v, status %d", name, res, w.Code)
		}
	}
	for _, more := range []string{"&x=%zz", "&x;y", "&%"} {
		j := begin(t, f, customer, "")
		if res, w := j.callback(http.MethodGet, j.good().Encode()+more); res != nil || w.Code != http.StatusBadRequest {
			t.Errorf("a query that ends in %s: told %+v, status %d", more, res, w.Code)
		}
	}
	plain := begin(t, f, customer, "")
	plain.flow = newFlow(t, func(c *consent.Config) { c.Link = true })
	if res, w := plain.callback(http.MethodGet, plain.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
		t.Errorf("a state that is held to a browser, as a link's: told %+v, status %d", res, w.Code)
	}
	// Nor do two flows meet of which one's redirect goes on where the other's scope begins.
	one := begin(t, newFlow(t, func(c *consent.Config) { c.RedirectURL, c.Scope = redirect+"/x", "api://y/.default" }), customer, "")
	one.flow = newFlow(t, func(c *consent.Config) { c.RedirectURL, c.Scope = redirect+"/", "xapi://y/.default" })
	if res, w := one.callback(http.MethodGet, one.good().Encode()); res != nil || w.Code != http.StatusBadRequest {
		t.Errorf("told %+v, status %d", res, w.Code)
	}
	// With both cookies in the browser both consents end well, in any order.
	both := []*http.Cookie{own[0], second.cookies[0]}
	for _, k := range []*journey{second, j} {
		k.cookies = both
		if res, _ := k.callback(http.MethodGet, k.good().Encode()); res == nil || !res.Granted {
			t.Errorf("two at a time: %+v", res)
		}
	}
}
