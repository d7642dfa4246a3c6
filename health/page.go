// SPDX-License-Identifier: MIT

package health

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/ident"
)

// Page shows what checks find to a person: the verdict, each scope with what is wrong and
// what to do about it, and what is known of the cache, the credential and the clock. Nothing
// on it can be pressed, and it renews itself every ten seconds.
//
// It names tenants, apps and scopes. Serve it where a debugger may listen, not to the
// internet.
func Page(title string, checks ...*Check) http.Handler {
	return reading(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if err := pageTemplate.Execute(&body, newPage(title, checks, time.Now())); err != nil {
			http.Error(w, "the page cannot be written", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		write(w, r, http.StatusOK, "text/html; charset=utf-8", body.Bytes())
	})
}

//go:embed page.css
var style string

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(style) }, // ours
}).Parse(pageText))

// policy lets the page do nothing but look like this.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// A page is what is on it.
type page struct {
	Title   string
	Verdict Verdict
	Until   moment // when it becomes not-ready
	Good    int    // scopes that are not not-ready
	Scopes  int
	Checks  []checkRows
	Facts   []fact
	Built   string
	AsOf    moment
}

// checkRows are the rows of a check.
type checkRows struct {
	Tenant, App string
	Rows        []row
}

type row struct {
	Reason
	Ends, Next moment
	Shared     bool
	Why, Link  string
}

// A moment is told by its distance and by the clock.
type moment struct {
	At  time.Time
	now time.Time
}

func (m moment) Relative() string { return relative(m.At, m.now) }
func (m moment) Clock() string    { return m.At.UTC().Format("2006-01-02 15:04:05 UTC") }
func (m moment) Machine() string  { return m.At.UTC().Format(time.RFC3339) }
func (m moment) Known() bool      { return !m.At.IsZero() }
func (m moment) Due() bool        { return !m.At.After(m.now) }

// A fact stands below the table.
type fact struct {
	Name, Value, Note string
	At                moment // in place of Value
	Bad               bool
}

func newPage(title string, checks []*Check, now time.Time) page {
	p := page{Title: title, Verdict: Ready, AsOf: moment{now, now}}
	if len(checks) == 0 {
		checks = []*Check{nil} // which says that it is
	}
	var all []apponly.TokenStatus
	seen := map[*apponly.Cache]bool{}
	var stats apponly.CacheStats
	for _, c := range checks {
		result, status := c.look(now)
		all = append(all, status...)
		p.add(c, result, status)
		if c == nil {
			continue
		}
		if cache := c.Client.Cache(); !seen[cache] {
			seen[cache] = true
			stats = sum(stats, cache.Stats())
		}
	}
	p.Facts = append(tokenFacts(all, now), cacheFacts(stats)...)
	p.Built = built()
	return p
}

func (p *page) add(c *Check, result Result, status []apponly.TokenStatus) {
	p.Verdict = worse(p.Verdict, result.Verdict)
	at := func(t time.Time) moment { return moment{t, p.AsOf.At} }
	if until := at(result.Until); until.Known() && (!p.Until.Known() || until.At.Before(p.Until.At)) {
		p.Until = until
	}
	var rows checkRows
	if c != nil {
		rows.Tenant, rows.App = c.Client.TenantID(), c.Client.ClientID()
	}
	of := map[string]apponly.TokenStatus{}
	for _, s := range status {
		of[s.Scope] = s
	}
	for _, reason := range result.Reasons {
		if reason.Scope != "" {
			p.Scopes++
			if reason.Verdict != NotReady {
				p.Good++
			}
		}
		rows.Rows = append(rows.Rows, row{
			Reason: reason, Ends: at(reason.ExpiresOn), Next: at(reason.NextTry),
			Shared: of[reason.Scope].Shared, Why: why(reason, of[reason.Scope].LastError), Link: link(reason.Kind),
		})
	}
	p.Checks = append(p.Checks, rows)
}

// why tells what is wrong in the words of the error, if there is one.
func why(reason Reason, err error) string {
	if e, ok := errors.AsType[*apponly.Error](err); ok {
		return cause(e)
	}
	return reason.Text
}

// link leads to what there is to read about a kind.
func link(kind apponly.Kind) string {
	if kind == "" || kind == apponly.ErrConfiguration {
		return ""
	}
	return troubleshooting + string(kind)
}

// cause is the text of an error without what stands around it.
func cause(e *apponly.Error) string {
	about := *e
	about.TenantID, about.ClientID, about.Scope = "", "", ""
	text, _, _ := strings.Cut(about.Error(), "; see ")
	return ident.OneLine(strings.TrimPrefix(text, "apponly: "), maxText)
}

// troubleshooting is where the text of an error points to.
const troubleshooting = "https://github.com/apponly/apponly/blob/main/TROUBLESHOOTING.md#"

func sum(a, b apponly.CacheStats) apponly.CacheStats {
	a.Entries += b.Entries
	a.Exchanges += b.Exchanges
	a.Evictions += b.Evictions
	a.SharedHits += b.SharedHits
	a.SharedMisses += b.SharedMisses
	a.SharedFailures += b.SharedFailures
	a.SharedRejected += b.SharedRejected
	a.SharedUnavailable = a.SharedUnavailable || b.SharedUnavailable
	return a
}
