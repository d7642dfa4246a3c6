// SPDX-License-Identifier: MIT

package consent_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Each outcome has a page that does nothing but tell, and repeats nothing of what the
// browser brought.
func TestPages(t *testing.T) {
	f := newFlow(t, nil)
	seen := map[string]bool{}
	for _, row := range []struct {
		change change
		status int
	}{
		{nothing, 200}, {refused("access_denied", "AADSTS65004: <b>x</b>"), 200}, {refused("access_denied", "AADSTS50020: <b>x</b>"), 200},
		{refused("x", "AADSTS650052: <b>x</b>"), 200}, {refused("<b>x</b>", "<b>x</b>"), 200}, {set("tenant", stranger), 200}, {del("state"), 400},
	} {
		j := begin(t, f, customer, "<b>x</b>")
		q := j.good()
		row.change(q)
		r := httptest.NewRequest("GET", redirect+"?"+q.Encode(), nil)
		r.AddCookie(j.cookies[0])
		w := httptest.NewRecorder()
		f.Callback(nil).ServeHTTP(w, r)
		body := w.Body.String()
		h := w.Header()
		if w.Code != row.status || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; ") {
			t.Errorf("%d %v", w.Code, h)
		}
		if strings.Contains(body, "<b>") || strings.Contains(body, stranger) || strings.Contains(body, "<script") || !strings.Contains(body, `lang="en"`) || strings.Count(body, "<h1>") != 1 || seen[body] {
			t.Errorf("page %s", body)
		}
		seen[body] = true
	}
}

func FuzzCallback(f *testing.F) {
	flow := newFlow(f, nil)
	address, setCookie, err := flow.URL(customer, "data")
	if err != nil {
		f.Fatal(err)
	}
	u, _ := url.Parse(address)
	state := u.Query().Get("state")
	cookie := mustCookie(f, setCookie)
	f.Add("state="+state+"&admin_consent=True&tenant="+customer, "")
	f.Add("state="+state+"&error=access_denied&error_description=AADSTS65004", "x")
	f.Add("state=&admin_consent=True&tenant="+customer, cookie.Value)
	f.Fuzz(func(t *testing.T, query, value string) {
		j := &journey{t: t, flow: flow, state: state, cookies: []*http.Cookie{cookie}}
		if value != "" {
			j.cookies = []*http.Cookie{{Name: cookie.Name, Value: value}}
		}
		res, w := j.callback(http.MethodGet, query)
		q, err := url.ParseQuery(query)
		switch {
		case res == nil && w.Code != http.StatusBadRequest:
			t.Errorf("status %d", w.Code)
		case res != nil && (err != nil || q.Get("state") != state || value != "" && value != cookie.Value || res.Data != "data"):
			t.Errorf("told %+v", res)
		case res != nil && res.Granted && (q.Has("error") || !strings.EqualFold(q.Get("admin_consent"), "true") || !strings.EqualFold(q.Get("tenant"), customer)):
			t.Errorf("granted by %s", query)
		}
	})
}
