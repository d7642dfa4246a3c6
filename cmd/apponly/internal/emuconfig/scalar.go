// SPDX-License-Identifier: MIT

package emuconfig

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/cmd/apponly/internal/yamlfile"
	"github.com/apponly/apponly/internal/ident"
)

// A scalar is a value with its place. One that could not be read has a place but
// is not good, so that no second fault follows from it.
type scalar[T any] struct {
	Place
	v    T // zero if it is not good
	good bool
}

// or returns the value if it is good, else another one.
func (s scalar[T]) or(other T) T {
	if s.good {
		return s.v
	}
	return other
}

// given reports whether there is a value, good or not.
func (s scalar[T]) given() bool { return s.Line > 0 }

// values are the good ones of a list.
func values(list []scalar[string]) []string {
	var good []string
	for _, s := range list {
		if s.good {
			good = append(good, s.v)
		}
	}
	return good
}

// DecodeNode implements [yamlfile.Decoder].
func (s *scalar[T]) DecodeNode(e *Error, n *yaml.Node, p Place, kind string) {
	s.Place = p
	if v, ok := e.Scalar(n, p, kinds[kind]); ok {
		s.v, s.good = v.(T), true
	}
}

// forever is longer than any emulator runs, and short enough to add to a time.
const forever = 100 * 365 * 24 * time.Hour

var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// kinds is how scalars are read, by what the tags call them.
var kinds = map[string]yamlfile.Kind{
	"text": yamlfile.Text,
	"bool": yamlfile.Bool,
	"count": yamlfile.Want("a whole number, 0 or more", func(n *yaml.Node) (any, bool) {
		v, err := strconv.Atoi(n.Value)
		return v, err == nil && v >= 0 && n.ShortTag() == "!!int"
	}),
	"chance": yamlfile.Want("a number over 0, up to 1", func(n *yaml.Node) (any, bool) {
		v, err := strconv.ParseFloat(n.Value, 64)
		return v, err == nil && v > 0 && v <= 1
	}),
	"verbatim": func(n *yaml.Node) (any, error) { return n.Value, nil },
	"guid": yamlfile.Want("a GUID, not the empty one", func(n *yaml.Node) (any, bool) {
		return strings.ToLower(n.Value), ident.IsGUID(n.Value) && strings.Trim(n.Value, "0-") != ""
	}),
	"domain": yamlfile.Want("a domain name of two labels or more", func(n *yaml.Node) (any, bool) {
		return strings.ToLower(n.Value), ident.IsDomain(n.Value)
	}),
	// What can end the name of a file, on every system.
	"name": yamlfile.Want("a name of letters, digits, dots, dashes and underscores, 40 at most", func(n *yaml.Node) (any, bool) {
		return n.Value, fileName.MatchString(n.Value) && n.ShortTag() == "!!str"
	}),
	// What can stand before "/.default" in a scope.
	"uri": yamlfile.Want("a URI such as api://orders or https://orders.example", func(n *yaml.Node) (any, bool) {
		u, err := url.Parse(n.Value)
		return n.Value, n.ShortTag() == "!!str" && err == nil && u.Scheme != "" && u.Host+u.Opaque != "" && !strings.ContainsAny(n.Value, " \t\r\n")
	}),
	"issuer": yamlfile.Want("the https URL of an issuer, of 600 characters at most", func(n *yaml.Node) (any, bool) {
		u, err := url.Parse(n.Value)
		return n.Value, n.Value == demoName ||
			n.ShortTag() == "!!str" && err == nil && u.Scheme == "https" && u.Host != "" && utf8.RuneCountInString(n.Value) <= 600
	}),
	"date": yamlfile.Want("a date such as 2027-01-31 or 2027-01-31T12:00:00Z, or a duration from now such as -1h", func(n *yaml.Node) (any, bool) {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, n.Value); err == nil && !t.IsZero() {
				return date(func(time.Time) time.Time { return t }), true
			}
		}
		d, err := time.ParseDuration(n.Value)
		return after(d), err == nil
	}),
	"lifetime": between(time.Second, forever),
	"offset":   between(-forever, forever),
	"delay":    between(0, forever),
	"period":   between(time.Millisecond, forever),
	"wait":     between(time.Second, time.Hour),
}

// between takes a duration within bounds.
func between(least, most time.Duration) yamlfile.Kind {
	return func(n *yaml.Node) (any, error) {
		switch d, err := time.ParseDuration(n.Value); {
		case err != nil:
			return nil, errors.New("want a duration such as 90s, 30m or 1h30m")
		case d < least:
			return nil, fmt.Errorf("want a duration of %s or more", least)
		case d > most:
			return nil, fmt.Errorf("want a duration of %s at most", most)
		default:
			return d, nil
		}
	}
}

// A date is a time that may depend on when the emulator starts.
type date func(start time.Time) time.Time

// after is the date of a time so long after the start.
func after(d time.Duration) date { return func(start time.Time) time.Time { return start.Add(d) } }
