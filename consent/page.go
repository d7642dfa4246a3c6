// SPDX-License-Identifier: MIT

package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// A page is what somebody reads who has never heard of OAuth.
type page struct {
	Title, Text, Next string
	Good              bool
	Code              int
}

var stalePage = page{
	Title: "This link does not work any more",
	Text:  "The request to approve the app has been used already, is too old, or was begun in another browser.",
	Next:  "Start again from the application that sent you here.",
}

// pageOf says what became of a consent.
func pageOf(res Result) page {
	if res.Granted {
		return page{
			Title: "Thank you", Good: true,
			Text: "The approval has been received. The app is set up for your organization within a few minutes.",
			Next: "You can close this window.",
		}
	}
	p := page{Title: "The app was not approved", Code: res.Err.Code}
	switch res.Err.Kind {
	case ErrCancelled:
		p.Text, p.Next = "You have declined. Nothing was changed in your organization.", "To approve the app after all, start again from the application that sent you here."
	case ErrWrongAccount:
		p.Text, p.Next = "The account that you signed in with belongs to another organization.", "Start again, and sign in with an administrator's account of the organization that the app is for."
	case ErrNotSubscribed:
		p.Text, p.Next = "Your organization does not have a service that the app needs.", "Ask whoever provides the app which service that is, and start again once your organization has it."
	case ErrTenantMismatch:
		p.Text, p.Next = "The approval is not for the organization that it was asked for.", "Start again, and sign in with an administrator's account of the organization that the app is for."
	default:
		p.Text, p.Next = "Microsoft Entra ID has refused the approval.", "Ask an administrator of your organization who may approve apps, or whoever provides the app."
	}
	return p
}

func showResult(w http.ResponseWriter, _ *http.Request, res Result) {
	writePage(w, http.StatusOK, pageOf(res))
}

const style = `
:root { color-scheme: light dark; --accent: #b3261e; }
.good { --accent: #1e6b3a; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1.05rem/1.6 system-ui, sans-serif;
  background: Canvas; color: CanvasText; }
main { max-width: 32rem; margin: 1.5rem; padding: 2rem 2.25rem; border: 1px solid color-mix(in srgb, CanvasText 18%, Canvas);
  border-top: .35rem solid var(--accent); border-radius: .6rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 .75rem; }
small { opacity: .75; }
@media (prefers-color-scheme: dark) { :root { --accent: #f2b8b5; } .good { --accent: #8fd6a5; } }
`

var pageTemplate = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"{{if .Good}} class="good"{{end}}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>` + style + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
<p>{{.Next}}</p>
{{if .Code}}<p><small>Microsoft's number for this: AADSTS{{.Code}}</small></p>
{{end}}</main>
</body>
</html>
`))

// policy lets the page do nothing but look like this.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

func writePage(w http.ResponseWriter, status int, p page) {
	protect(w.Header())
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, p) // to a browser that may have gone
}
