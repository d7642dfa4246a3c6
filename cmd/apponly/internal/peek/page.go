// SPDX-License-Identifier: MIT

package peek

import (
	"strings"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/ident"
)

// Text is the report for people, as s shows it, at a time.
func (r Report) Text(s screen.Screen, now time.Time) string {
	var b strings.Builder
	row := func(name, colour, text string) {
		if text != "" {
			b.WriteString(s.Row(text, screen.Head{Text: name, Colour: colour, Width: 14}))
		}
	}
	list := func(title string, all []member) {
		b.WriteString(s.Paint(screen.Bold, title) + "\n")
		for _, m := range all {
			row("  "+m.name, "", m.value)
		}
		b.WriteString("\n")
	}
	list("header", members(r.Header))
	switch {
	case r.Encrypted:
		row("claims", screen.Bold, "encrypted (JWE): only the API that the token is for can read them")
	case r.AppOnly == nil:
		list("claims", members(r.Claims))
		row("app-only", screen.Yellow, "cannot be told: "+r.Because)
	default:
		list("claims", members(r.Claims))
		verdict, colour := "yes: ", screen.Green
		if !*r.AppOnly {
			verdict, colour = "no: ", screen.Red
		}
		row("app-only", colour, verdict+r.Because)
		row("roles", screen.Bold, rolesOf(r.Roles))
	}
	if r.Lifetime != nil {
		row("lifetime", screen.Bold, r.Lifetime.text(now))
	}
	for _, warning := range r.Warnings {
		row("warning", screen.Yellow, warning)
	}
	return b.String()
}

func rolesOf(roles []string) string {
	if len(roles) == 0 {
		return "none"
	}
	return ident.OneLine(strings.Join(roles, ", "), maxValue)
}

func (l *Lifetime) text(now time.Time) string {
	whole, left := l.Ends.Sub(l.Begins), l.Ends.Sub(now)
	text := screen.Bar(left, whole)
	switch l.State {
	case "expired":
		return text + " ended " + screen.Span(left) + " ago, on " + screen.Date(l.Ends)
	case "not_yet_valid":
		return text + " begins in " + screen.Span(l.Begins.Sub(now)) + ", on " + screen.Date(l.Begins)
	}
	return text + " " + screen.Span(left) + " of " + screen.Span(whole) + " left, until " + screen.Date(l.Ends)
}
