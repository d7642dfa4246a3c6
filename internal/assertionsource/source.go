// SPDX-License-Identifier: MIT

// Package assertionsource asks the places that tell a workload who it is: the
// token services of CI systems, the metadata server of Google Cloud, a program, a
// variable. What they give is an assertion that Entra takes for a credential
// (RFC 7521 section 4.2).
//
// A source is comparable and keeps nothing: what it needs is in the environment,
// which is read when it is asked. No error holds an assertion, or the token that a
// source is asked with.
package assertionsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

// A Source gives assertions. It is safe for concurrent use.
type Source interface {
	// String names the source for those who read errors.
	String() string
	// Variables are the names of the environment variables that are read.
	Variables() []string
	// Check says everything that keeps the source from working and can be seen without
	// I/O.
	Check() []error
	// Once reports whether there is one assertion and never another.
	Once() bool
	// Ask returns an assertion for an audience, which not every source can
	// choose. It blocks until there is one or ctx ends. client, if not nil, is what
	// endpoints are asked by.
	Ask(ctx context.Context, client *http.Client, audience string) (string, error)
}

// An Error is what a source answered in place of an assertion.
type Error struct {
	Text   string // the same each time
	Detail string // what the source says, and what its support will ask for
	Cause  error  // of a known type, which holds no request; nil if there is none
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// timeout bounds the asking of an endpoint, attempts included: half of what a token
// request may take.
const timeout = 15 * time.Second

// A question is one request to an endpoint.
type question struct {
	source string
	method string
	url    string
	header http.Header
	bearer string         // what is shown to get an answer; "" for none
	traces []string       // headers of an answer that support will ask for
	hints  map[int]string // what a human does about a status
}

// ask returns the body of the answer 200. Redirects are answers, too: what is shown
// goes to the endpoint and nowhere else. client has no turns that others wait for:
// thousands of token requests may be ahead of those that this assertion is for.
func (q question) ask(ctx context.Context, client *http.Client) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, flight.TimeoutError("no answer within 15 seconds"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, nil)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be asked at the URL that is set", q.source) // err holds the URL, which may hold anything
	}
	req.Header = q.header
	if q.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+q.bearer)
	}
	turn, err := wire.TakeTurn(ctx, client)
	if err != nil {
		return nil, unreachable(q.source, err)
	}
	defer turn.End()
	a := turn.Send(req, wire.Policy{Again: again})
	switch {
	case a.Err != nil:
		return nil, unreachable(q.source, a.Err)
	case a.Status != http.StatusOK:
		return nil, q.refusal(a)
	}
	return a.Body, nil
}

func unreachable(source string, err error) error {
	reason, cause := netfault.Describe(err)
	if errors.Is(err, wire.ErrTooLarge) {
		reason = "the " + wire.ErrTooLarge.Error()
	}
	return &Error{Text: source + ": " + reason, Cause: cause}
}

// again repeats what may pass: too many requests, and what servers and their
// gateways cannot do at the moment.
func again(a wire.Answer) (time.Duration, bool) {
	after, _ := flight.RetryAfter(a.Header, time.Now())
	return after, a.Status == http.StatusTooManyRequests || a.Status >= 500
}

func (q question) refusal(a wire.Answer) error {
	text := fmt.Sprintf("%s answered %d %s", q.source, a.Status, http.StatusText(a.Status))
	if hint := q.hints[a.Status]; hint != "" {
		text += ": " + hint
	}
	var detail []string
	if said := q.said(a.Body); said != "" {
		detail = append(detail, "it says: "+said)
	}
	for _, name := range q.traces {
		if v := a.Header.Get(name); v != "" {
			detail = append(detail, name+": "+ident.OneLine(v, 100))
		}
	}
	return &Error{Text: text, Detail: strings.Join(detail, ", ")}
}

// said returns what an answer that is a refusal says, if that can be shown.
func (q question) said(body []byte) string {
	var answer struct{ Message string }
	text := string(body)
	if json.Unmarshal(body, &answer) == nil {
		text = answer.Message
	}
	if strings.HasPrefix(strings.TrimSpace(text), "<") || mayHoldSecret(text, q.bearer) {
		return ""
	}
	return ident.OneLine(strings.TrimSpace(text), 200)
}

// mayHoldSecret reports whether text could give away what was shown, or a JWT: the
// base64url of `{"` begins each of its first two parts.
func mayHoldSecret(text, shown string) bool {
	return shown != "" && strings.Contains(text, shown) || strings.Contains(text, "eyJ")
}

// member returns a member of an object that must be there and be text.
func (q question) member(body []byte, name string) (string, error) {
	var answer map[string]json.RawMessage
	var value string
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer[name], &value) != nil || value == "" {
		return "", fmt.Errorf("%s answered 200 OK without a token: want JSON with %q", q.source, name)
	}
	return value, nil
}

// faults returns those of errs that are some.
func faults(errs ...error) []error {
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// variable returns a variable without the blanks that came along, or that it is not
// set and why that may be.
func variable(name, why string) (string, error) {
	v := strings.TrimSpace(os.Getenv(name))
	if v == "" {
		return "", fmt.Errorf("%s is not set: %s", name, why)
	}
	return v, nil
}

// secureURL returns the URL that a variable holds, which a bearer token is to be sent
// to: over TLS only. Its value is not in the error.
func secureURL(name, why string) (*url.URL, error) {
	v, err := variable(name, why)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%s is not an https URL", name)
	}
	return u, nil
}

// shown returns what a variable holds that goes into a header.
func shown(name, why string) (string, error) {
	v, err := variable(name, why)
	if err == nil && strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = fmt.Errorf("%s has characters in it that no token has", name)
	}
	return v, err
}
