// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The consent pages that are out: so many, and for so long.
const (
	maxForms     = 1000
	formLifetime = time.Hour
)

// consentForms are the pages that are out. Each is good for one answer to the request
// that it was made for: who sends a form in twice, or another page's, is told so.
type consentForms struct {
	mu  sync.Mutex
	out []consentForm // the oldest first
}

type consentForm struct {
	token   string
	request [sha256.Size]byte // hashed, as it may be long
	ends    time.Time
}

// open returns the token of a new page.
func (l *consentForms) open(request string, now time.Time) string {
	f := consentForm{rand.Text(), sha256.Sum256([]byte(request)), now.Add(formLifetime)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) == maxForms {
		l.out = slices.Delete(l.out, 0, 1)
	}
	l.out = append(l.out, f)
	return f.token
}

// close reports whether a token is that of a page for request, and ends it.
func (l *consentForms) close(token, request string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.out, func(f consentForm) bool { return f.token == token })
	if i < 0 {
		return false
	}
	f := l.out[i]
	l.out = slices.Delete(l.out, i, i+1)
	return f.request == sha256.Sum256([]byte(request)) && now.Before(f.ends)
}

// readConsentForm reads what the administrator has decided. problem is the answer if
// that cannot be believed: the form was sent by another site, or is not one that is out.
func (c *call) readConsentForm() (form url.Values, problem *answer) {
	fail := func(ans answer) (url.Values, *answer) { return nil, &ans }
	site := c.r.Header.Get("Sec-Fetch-Site") // which not every browser sends
	if !isOrigin(c.r.Header.Get("Origin"), c.base) || site != "" && site != "same-origin" {
		return fail(c.formPage(http.StatusForbidden, "Another site has sent this form."))
	}
	form, f := c.readForm("form")
	if f != nil {
		return fail(c.refusalPage(f))
	}
	if !c.s.forms.close(form.Get("form"), c.r.URL.RequestURI(), c.now) {
		return fail(c.formPage(http.StatusBadRequest, "This form has been sent already, or is too old."))
	}
	return form, nil
}
