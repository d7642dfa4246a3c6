// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxChoices bounds the tenants that a page lets choose from.
const maxChoices = 100

// A consentView is what the consent page shows.
type consentView struct {
	App, Home, Tenant, Site, Form string
	Asked                         []permissionView
	Choices                       []choiceView
	More                          int // tenants that are not among the choices

	// Of a page that says no.
	Code          int
	Text, Support string
	Again         bool // opening the page anew may help
}

type permissionView struct{ Role, API string }

type choiceView struct{ ID, Name string }

func (c *call) consentPage(req consentRequest, asked []requirement) answer {
	v := consentView{
		App:  req.app.appID,
		Home: c.s.tenantLabel(req.app.home),
		Form: c.s.forms.open(c.r.URL.RequestURI(), c.now),
	}
	if u, err := url.Parse(req.redirect); err == nil { // as it did when it was registered
		v.Site = u.Host
	}
	for _, q := range asked {
		for _, role := range q.roles {
			v.Asked = append(v.Asked, permissionView{role, q.resource.uri})
		}
	}
	if req.tenant != nil {
		v.Tenant = c.s.tenantLabel(req.tenant)
	} else {
		v.Choices, v.More = c.s.choices()
	}
	return showConsent(http.StatusOK, v, strings.HasPrefix(req.redirect, "https:"))
}

// refusalPage tells the administrator what is wrong.
func (c *call) refusalPage(f *refusal) answer {
	c.note(f)
	support := "Trace ID " + c.trace + ", correlation ID " + c.correlation + ", " + c.stamp()
	return showConsent(f.status, consentView{Code: f.code, Text: f.description(), Support: support}, true)
}

// formPage tells that a form was not taken.
func (c *call) formPage(status int, text string) answer {
	return showConsent(status, consentView{Text: text + " Nothing was changed.", Again: true}, true)
}

// tenantLabel is how a page calls a tenant.
func (s *Server) tenantLabel(t *Tenant) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return t.label()
}

// label is for the caller that holds mu.
func (t *Tenant) label() string {
	if len(t.domains) == 0 {
		return t.id
	}
	return t.domains[0] + " (" + t.id + ")"
}

// choices are the tenants that an administrator may be of, and how many are left out.
func (s *Server) choices() (list []choiceView, more int) {
	s.mu.RLock()
	for name, t := range s.tenants {
		if name == t.id && !t.suspended && !t.otherCloud {
			list = append(list, choiceView{t.id, t.label()})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b choiceView) int { return cmp.Compare(a.Name, b.Name) })
	more = max(0, len(list)-maxChoices)
	return list[:len(list)-more], more
}

func showConsent(status int, v consentView, secure bool) answer {
	var b strings.Builder
	if err := consentTemplate.Execute(&b, v); err != nil { // what it shows is ours
		panic(err)
	}
	policy := consentPolicy
	if !secure {
		policy += " http:"
	}
	return answer{status: status, body: rawBody{htmlType, b.String()}}.
		with("Content-Security-Policy", policy).
		with("Referrer-Policy", "same-origin"). // with no-referrer the form's Origin would be null
		with("X-Content-Type-Options", "nosniff")
}

const htmlType = "text/html; charset=utf-8"

// consentPolicy lets the page do nothing but look like this and send its form. Chromium
// applies form-action to all redirects that answer a form: to the app's, and to what the
// app redirects to from there, which only the app knows. So it names schemes.
var consentPolicy = pagePolicy(consentStyle) + "; form-action 'self' https:"

// pagePolicy lets a page do nothing but look as its style says.
func pagePolicy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"
}

const consentStyle = `
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 20%, Canvas); --accent: #0b57d0; --on-accent: #fff; }
@media (prefers-color-scheme: dark) { :root { --accent: #a8c7fa; --on-accent: #062e6f; } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1rem/1.5 system-ui, sans-serif;
  background: Canvas; color: CanvasText; }
main { box-sizing: border-box; width: min(36rem, 100% - 2rem); margin: 1rem; padding: 1.5rem 2rem 2rem; border: 1px solid var(--line); border-radius: .6rem; }
.note { margin: 0 0 1rem; padding: .5rem .75rem; border: 1px dashed var(--line); border-radius: .4rem; font-size: .9rem; }
h1 { margin: 0 0 1rem; font-size: 1.4rem; line-height: 1.25; }
h2 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { opacity: .75; }
dd, li, .error { margin: 0; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 1.25rem; }
label { display: block; margin-top: 1.25rem; font-weight: 600; }
select { font: inherit; max-width: 100%; padding: .35rem; }
.answer { margin: 1.5rem 0 0; display: flex; gap: .75rem; }
button { font: inherit; padding: .5rem 1.25rem; border: 1px solid var(--line); border-radius: .4rem; background: Canvas; color: CanvasText; cursor: pointer; }
button.approve { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
small { opacity: .75; overflow-wrap: anywhere; }
`

var consentTemplate = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{if .App}}Approve an app{{else}}The app cannot be approved here{{end}} – emulator of Entra ID</title>
<style>` + consentStyle + `</style>
</head>
<body>
<main>
<p class="note">This is an emulator for tests. Nobody has signed in, and nothing here reaches Microsoft.</p>
{{if .App}}<h1>Approve an app for the whole organization</h1>
<dl>
<dt>App</dt><dd>{{.App}}</dd>
<dt>Published by</dt><dd>{{.Home}}</dd>
{{if .Tenant}}<dt>Organization</dt><dd>{{.Tenant}}</dd>
{{end}}<dt>Answer goes to</dt><dd>{{.Site}}</dd>
</dl>
<h2>What it may do by itself, without a user</h2>
{{if .Asked}}<ul>
{{range .Asked}}<li><strong>{{.Role}}</strong> on {{.API}}</li>
{{end}}</ul>
{{else}}<p>Nothing: it requires no permission.</p>
{{end}}<form method="post">
<input type="hidden" name="form" value="{{.Form}}">
{{if not .Tenant}}<label for="tenant">Organization that you administer</label>
<select id="tenant" name="tenant" required>
<option value="">Choose one</option>
{{range .Choices}}<option value="{{.ID}}">{{.Name}}</option>
{{end}}</select>
{{if .More}}<p><small>There are {{.More}} more: put the ID of the tenant into the address.</small></p>
{{end}}{{end}}<p class="answer">
<button class="approve" name="decision" value="approve">Approve</button>
<button name="decision" value="cancel" formnovalidate>Cancel</button>
</p>
</form>
{{else}}<h1>The app cannot be approved here</h1>
<p class="error">{{.Text}}</p>
{{if .Again}}<p><a href="">Open the page anew</a></p>
{{end}}{{if .Support}}<p><small>{{.Support}}</small></p>
{{end}}{{end}}</main>
</body>
</html>
`))
