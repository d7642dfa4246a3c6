// SPDX-License-Identifier: MIT

package consent

import (
	"net/http"
	"time"
)

// Callback returns the handler of the redirect URL. It calls done, which answers the
// browser, once it knows that the answer belongs to a request of this flow, made by
// the same browser and not answered before; nil: it shows a page of its own, which
// says what happened. Whatever else comes gets a page with status 400, and done is not
// called.
//
// A program in the browser's place can keep the cookie and come again, until the time is
// up. With [Config.Link] nothing says which browser it is, and how often it comes. So
// done may be called more than once for a consent, also at the same time.
func (f *Flow) Callback(done func(http.ResponseWriter, *http.Request, Result)) http.Handler {
	if done == nil {
		done = showResult
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		if !allowGet(w, r) {
			return
		}
		s, res, ok := f.read(r, time.Now())
		if !ok {
			writePage(w, http.StatusBadRequest, stalePage)
			return
		}
		if !f.link {
			http.SetCookie(w, f.cookie(s, -time.Second))
		}
		done(w, r, res)
	})
}

// read reads a callback: first the state, without which nothing counts.
func (f *Flow) read(r *http.Request, now time.Time) (s *state, res Result, ok bool) {
	q, ok := parseQuery(r.URL.RawQuery)
	if !ok {
		return nil, res, false
	}
	s, ok = f.open(q.Get("state"), now)
	if !ok || !f.link && !f.fromBrowser(r, s) {
		return nil, res, false
	}
	return s, s.result(q), true
}

// protect sets the headers of every answer: what the address holds goes nowhere else
// and stays nowhere.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}
