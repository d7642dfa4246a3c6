// SPDX-License-Identifier: MIT

package main

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
)

// scalar is a value with its place. One that could not be read has a place but is
// not good: so that one fault is not told as two.
type scalar[T any] struct {
	at
	v    T
	good bool
}

// or returns the value if it is good, else another one.
func (s scalar[T]) or(other T) T {
	if s.good {
		return s.v
	}
	return other
}

// into reads a scalar. What is wrong with it is told without the value: a
// secret may stand in the wrong place.
func into[T any](dst *scalar[T], parse func(s, tag string) (T, error)) func(node) {
	return func(v node) {
		dst.at = v.at
		if !v.is(yaml.ScalarNode, "a single value") {
			return
		}
		got, err := parse(v.n.Value, v.n.ShortTag())
		if err != nil {
			v.errs.add(v.at, "%v", err)
		}
		dst.v, dst.good = got, err == nil
	}
}

// each reads a list of scalars.
func each[T any](dst *[]scalar[T], parse func(s, tag string) (T, error)) func(node) {
	return func(v node) {
		v.items(func(item node) {
			var one scalar[T]
			into(&one, parse)(item)
			*dst = append(*dst, one)
		})
	}
}

// objects reads a list of mappings.
func objects[T any](dst *[]*T, parse func(node, *T)) func(node) {
	return func(v node) {
		v.items(func(item node) {
			one := new(T)
			parse(item, one)
			*dst = append(*dst, one)
		})
	}
}

func asText(s, tag string) (string, error) {
	switch {
	case tag != "!!str" && tag != "!!timestamp":
		return "", errors.New("want text: put it in quotes")
	case s == "":
		return "", errors.New("want text that is not empty")
	}
	return s, nil
}

func asBool(s, tag string) (bool, error) {
	v, err := strconv.ParseBool(strings.ToLower(s))
	if tag != "!!bool" || err != nil {
		return false, errors.New("want true or false")
	}
	return v, nil
}

func asCount(s, tag string) (int, error) {
	n, err := strconv.Atoi(s)
	if tag != "!!int" || err != nil || n < 0 {
		return 0, errors.New("want a whole number")
	}
	return n, nil
}

var guidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func asGUID(s, _ string) (string, error) {
	if s = strings.ToLower(s); !guidPattern.MatchString(s) || strings.Trim(s, "0-") == "" {
		return "", errors.New("want a GUID, not the empty one")
	}
	return s, nil
}

var domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)

func asDomain(s, _ string) (string, error) {
	if s = strings.ToLower(s); len(s) > 253 || !domainPattern.MatchString(s) {
		return "", errors.New("want a domain name of two labels or more")
	}
	return s, nil
}

// asURI takes an app ID URI: what can stand before "/.default" in a scope.
func asURI(s, tag string) (string, error) {
	u, err := url.Parse(s)
	if tag != "!!str" || err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" || strings.ContainsAny(s, " \t\r\n") {
		return "", errors.New("want a URI such as api://orders or https://orders.example")
	}
	return s, nil
}

func asIssuer(s, tag string) (string, error) {
	if s == demoName {
		return s, nil
	}
	u, err := url.Parse(s)
	if tag != "!!str" || err != nil || u.Scheme != "https" || u.Host == "" || utf8.RuneCountInString(s) > maxFederatedField {
		return "", fmt.Errorf("want the https URL of an issuer, of %d characters at most", maxFederatedField)
	}
	return s, nil
}

// maxFederatedField is how many characters Entra takes in a field of a federated
// credential.
const maxFederatedField = 600

func asFederated(s, tag string) (string, error) {
	s, err := asText(s, tag)
	if err == nil && utf8.RuneCountInString(s) > maxFederatedField {
		err = fmt.Errorf("want %d characters at most", maxFederatedField)
	}
	return s, err
}

func asDuration(s, _ string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("want a duration such as 90s, 30m or 1h30m")
	}
	return d, nil
}

// forever is longer than any emulator runs, and short enough to add to a time.
const forever = 100 * 365 * 24 * time.Hour

// between is asDuration within bounds.
func between(least, most time.Duration) func(s, tag string) (time.Duration, error) {
	return func(s, tag string) (time.Duration, error) {
		d, err := asDuration(s, tag)
		switch {
		case err != nil:
		case d < least:
			err = fmt.Errorf("want a duration of %s or more", least)
		case d > most:
			err = fmt.Errorf("want a duration of %s at most", most)
		}
		return d, err
	}
}

// A date is a fixed time, or one relative to the start of the emulator.
type date struct {
	fixed  time.Time
	offset time.Duration
}

func (d date) from(now time.Time) time.Time {
	if d.fixed.IsZero() {
		return now.Add(d.offset)
	}
	return d.fixed
}

func asDate(s, _ string) (date, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && !t.IsZero() {
			return date{fixed: t}, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return date{offset: d}, nil
	}
	return date{}, errors.New("want a date such as 2027-01-31 or 2027-01-31T12:00:00Z, or a duration from now such as -1h")
}
