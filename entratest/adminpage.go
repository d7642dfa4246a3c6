// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxShown bounds the requests on the page.
const maxShown = 100

//go:embed adminpage.html
var adminText string

//go:embed adminpage.css
var adminStyle string

//go:embed adminpage.js
var adminJS string

var adminTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(adminStyle) }, // ours
}).Parse(adminText))

// adminPolicy lets the page look like this, run its own script, which follows the events,
// and send its forms.
var adminPolicy = pagePolicy(adminStyle) + "; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'"

// An adminView is what the page shows.
type adminView struct {
	Authority, Now  string
	Refused         bool // only these are shown
	Query           url.Values
	Requests        []requestView
	State           stateView
	Directory       directoryView
	Error           string // of a form
	Form            url.Values
	Endpoints, Ways []string
}

// A requestView is one request of the list.
type requestView struct {
	numberedRequest
	Class, Title, At, Text string
}

// A stateView is what changes beside the requests.
type stateView struct {
	Counters Counters
	Refusals int
	Throttle string
	Offset   string // of the clock, "" if it is right
	Switches []faultSwitch
	Faults   []faultView // that are none of the switches
}

func adminPage(s *Server, r *http.Request, _ []byte) (any, error) {
	return s.adminPage(http.StatusOK, r.URL.Query(), nil, nil), nil
}

// adminPage returns the page, with what was wrong with a form, if something was.
func (s *Server) adminPage(status int, query, form url.Values, err error) answer {
	v := adminView{
		Authority: s.Cloud().Authority(), Now: s.Now().UTC().Format(time.RFC3339),
		Refused: query.Get("only") == "refused", Query: query, State: s.stateView(), Directory: s.directoryView(query.Get("tenant")),
		Form: form, Endpoints: endpointNames(), Ways: connections,
	}
	if err != nil {
		v.Error = err.Error()
	}
	list, last := s.requests.newest(0, maxShown, v.Refused)
	for _, r := range list {
		v.Requests = append(v.Requests, newRequestView(r))
	}
	// What is not in the list yet comes by the stream.
	query.Set("after", fmt.Sprint(last))
	return answer{status: status, body: rawBody{htmlType, render("page", v)}}.
		with("Content-Security-Policy", adminPolicy).
		with("Cross-Origin-Opener-Policy", "same-origin").
		with("Referrer-Policy", "same-origin") // with no-referrer the forms' Origin would be null
}

func adminScript(*Server, *http.Request, []byte) (any, error) {
	return answer{status: http.StatusOK, body: rawBody{"text/javascript; charset=utf-8", adminJS}}, nil
}

// render executes a part of the page.
func render(part string, v any) string {
	var b strings.Builder
	if err := adminTemplate.ExecuteTemplate(&b, part, v); err != nil { // what it shows is ours
		panic(err)
	}
	return b.String()
}

// Address is that of the page with one of its parameters changed, or without it.
func (v adminView) Address(name, value string) string {
	q := url.Values{}
	for _, name := range []string{"only", "tenant"} {
		if value := v.Query.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	return adminPrefix + "?" + q.Encode()
}

// Events is where the script finds what comes after this page.
func (v adminView) Events() string {
	q := url.Values{"after": {v.Query.Get("after")}}
	if v.Refused {
		q.Set("only", "refused")
	}
	return adminPrefix + "events?" + q.Encode()
}

// newRequestView tells a request in few words.
func newRequestView(r numberedRequest) requestView {
	v := requestView{numberedRequest: r, Class: "accepted", At: r.Time.UTC().Format("15:04:05.000")}
	if r.refused() {
		v.Class = "refused"
	}
	// The tenant stands below, and everything else in a path is short.
	v.Title = cmp.Or(strings.TrimPrefix(r.Path, "/"), r.Path, r.Host)
	if tenant, endpoint := splitPath(r.Path); endpoint != "" && (isTenantName(tenant) || tenant == hidden) {
		v.Title = endpoint
	}
	if row, ok := rowOf(r.Code); ok {
		// Not with what the request has: the comparisons tell that, if it may be shown.
		v.Text = strings.NewReplacer("'%s'.", "…", "'%s'", "…", "%s.", "…", "%s", "…").Replace(row.text)
	}
	return v
}

// Answer is what was answered, in a word.
func (v requestView) Answer() string {
	if v.Status == 0 {
		return "no answer"
	}
	return fmt.Sprint(v.Status)
}

func (s *Server) stateView() stateView {
	v := stateView{Counters: s.Counters(), Refusals: s.requests.refused()}
	if t := s.throttle.get(); t.Requests > 0 {
		v.Throttle = fmt.Sprintf("%d requests in %v, then 429", t.Requests, t.Per)
	}
	if offset := time.Duration(s.clockOffset.Load()).Round(time.Second); offset != 0 {
		v.Offset = strings.Replace("+"+offset.String(), "+-", "−", 1)
	}
	v.Switches, v.Faults = switches(s.faults.list())
	return v
}
