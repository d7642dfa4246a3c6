// SPDX-License-Identifier: MIT

package emuconfig

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

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

// into reads a scalar. What is wrong with it is told without the value, since a
// secret may stand in the wrong place.
func into[T any](dst *scalar[T], parse func(*yaml.Node) (T, error)) func(node) {
	return func(v node) {
		dst.Place = v.Place
		if !v.is(yaml.ScalarNode, "a single value") {
			return
		}
		got, err := parse(v.n)
		if err != nil {
			v.errs.add(v.Place, "%v", err)
			return
		}
		dst.v, dst.good = got, true
	}
}

// each reads a list of scalars.
func each[T any](dst *[]scalar[T], parse func(*yaml.Node) (T, error)) func(node) {
	return func(v node) {
		v.items(func(item node) {
			var one scalar[T]
			into(&one, parse)(item)
			*dst = append(*dst, one)
		})
	}
}

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

func asText(n *yaml.Node) (string, error) {
	switch tag := n.ShortTag(); {
	case tag != "!!str" && tag != "!!timestamp":
		return "", errors.New("want text: put it in quotes")
	case n.Value == "":
		return "", errors.New("want text that is not empty")
	}
	return n.Value, nil
}

func asBool(n *yaml.Node) (bool, error) {
	v, err := strconv.ParseBool(strings.ToLower(n.Value))
	if n.ShortTag() != "!!bool" || err != nil {
		return false, errors.New("want true or false")
	}
	return v, nil
}

func asCount(n *yaml.Node) (int, error) {
	v, err := strconv.Atoi(n.Value)
	if n.ShortTag() != "!!int" || err != nil || v < 0 {
		return 0, errors.New("want a whole number")
	}
	return v, nil
}

func asGUID(n *yaml.Node) (string, error) {
	if !ident.IsGUID(n.Value) || strings.Trim(n.Value, "0-") == "" {
		return "", errors.New("want a GUID, not the empty one")
	}
	return strings.ToLower(n.Value), nil
}

func asDomain(n *yaml.Node) (string, error) {
	if !ident.IsDomain(n.Value) {
		return "", errors.New("want a domain name of two labels or more")
	}
	return strings.ToLower(n.Value), nil
}

// asURI takes an app ID URI: what can stand before "/.default" in a scope.
func asURI(n *yaml.Node) (string, error) {
	u, err := url.Parse(n.Value)
	if n.ShortTag() != "!!str" || err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" || strings.ContainsAny(n.Value, " \t\r\n") {
		return "", errors.New("want a URI such as api://orders or https://orders.example")
	}
	return n.Value, nil
}

// maxFederatedField is how many characters Entra takes in a field of a federated
// credential.
const maxFederatedField = 600

func asIssuer(n *yaml.Node) (string, error) {
	u, err := url.Parse(n.Value)
	switch {
	case n.Value == demoName:
	case n.ShortTag() != "!!str" || err != nil || u.Scheme != "https" || u.Host == "" || utf8.RuneCountInString(n.Value) > maxFederatedField:
		return "", fmt.Errorf("want the https URL of an issuer, of %d characters at most", maxFederatedField)
	}
	return n.Value, nil
}

func asFederated(n *yaml.Node) (string, error) {
	if utf8.RuneCountInString(n.Value) > maxFederatedField {
		return "", fmt.Errorf("want %d characters at most", maxFederatedField)
	}
	return asText(n)
}

// forever is longer than any emulator runs, and short enough to add to a time.
const forever = 100 * 365 * 24 * time.Hour

// between takes a duration within bounds.
func between(least, most time.Duration) func(*yaml.Node) (time.Duration, error) {
	return func(n *yaml.Node) (time.Duration, error) {
		switch d, err := time.ParseDuration(n.Value); {
		case err != nil:
			return 0, errors.New("want a duration such as 90s, 30m or 1h30m")
		case d < least:
			return 0, fmt.Errorf("want a duration of %s or more", least)
		case d > most:
			return 0, fmt.Errorf("want a duration of %s at most", most)
		default:
			return d, nil
		}
	}
}

// A date is a time that may depend on when the emulator starts.
type date func(start time.Time) time.Time

// after is the date of a time so long after the start.
func after(d time.Duration) date { return func(start time.Time) time.Time { return start.Add(d) } }

func asDate(n *yaml.Node) (date, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, n.Value); err == nil && !t.IsZero() {
			return func(time.Time) time.Time { return t }, nil
		}
	}
	if d, err := time.ParseDuration(n.Value); err == nil {
		return after(d), nil
	}
	return nil, errors.New("want a date such as 2027-01-31 or 2027-01-31T12:00:00Z, or a duration from now such as -1h")
}
