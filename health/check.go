// SPDX-License-Identifier: MIT

package health

import (
	"errors"
	"slices"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/internal/ident"
)

// A Check is what a process needs to work: tokens of one client, in its tenant, for some
// scopes. Other tenants are other views of the client ([apponly.Client.Tenant]), with a
// Check each. Its fields must not change once it is in use; it is then safe for
// concurrent use.
//
// A Check that cannot be right, without a Client or a scope, is not-ready and says why:
// a probe is no place to panic.
type Check struct {
	Client *apponly.Client
	// Scopes are those that the process cannot do without. What else the client has
	// tokens for does not count.
	Scopes []string
	// MinValid is for how long a token must be good if it is not renewed; 0 means two
	// minutes. It is the time to take the process out of service before its calls fail.
	MinValid time.Duration
}

// A Verdict says what to do with a process.
type Verdict string

// The verdicts.
const (
	// Ready: it can work.
	Ready Verdict = "ready"
	// Degraded: it can work, and somebody should look why tokens are not renewed.
	Degraded Verdict = "degraded"
	// NotReady: its calls fail, or are about to.
	NotReady Verdict = "not-ready"
)

// worse returns the worse of two verdicts.
func worse(a, b Verdict) Verdict {
	order := []Verdict{Ready, Degraded, NotReady}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

// A Result is what a [Check] has found. The names of its members in JSON do not change.
type Result struct {
	// Verdict is the worst of those in Reasons.
	Verdict Verdict `json:"verdict"`
	// Until is when it becomes not-ready if every request fails from now on, zero if it
	// is. The time of the result means: with the next failure.
	Until time.Time `json:"until,omitzero"`
	// Reasons has one for each scope, in the order of [Check].Scopes, and before them
	// one for each thing that is wrong with the Check itself, without a scope.
	Reasons []Reason `json:"reasons"`
}

// A Reason is what was found of one scope.
type Reason struct {
	Scope   string             `json:"scope,omitempty"`
	Verdict Verdict            `json:"verdict"`
	State   apponly.TokenState `json:"state,omitempty"`
	// ExpiresOn is when the token ends, zero if there is none. NextTry is when it is
	// asked for next: the past if it is, or waits for a caller.
	ExpiresOn time.Time `json:"expires_on,omitzero"`
	NextTry   time.Time `json:"next_try,omitzero"`
	// Failures counts the requests that have failed since the last success.
	Failures int `json:"failures,omitempty"`
	// Kind and Text are those of the last failure, or of what is wrong with the Check.
	// Text, in one line and without secrets, also says what is missing if nothing has
	// failed. Remedy is what to do about it.
	Kind   apponly.Kind `json:"kind,omitempty"`
	Text   string       `json:"text,omitempty"`
	Remedy string       `json:"remedy,omitempty"`
}

// Now judges by what is known at this moment. It blocks on nothing and causes no token
// request.
func (c *Check) Now() Result {
	r, _ := c.look(time.Now())
	return r
}

const defaultMinValid = 2 * time.Minute

// look also returns the status that the result was made of.
func (c *Check) look(now time.Time) (r Result, status []apponly.TokenStatus) {
	r.Verdict = Ready
	if r.Reasons = c.misuse(); len(r.Reasons) > 0 {
		r.Verdict = NotReady
		return r, nil
	}
	minValid := c.MinValid
	if minValid == 0 {
		minValid = defaultMinValid
	}
	status = c.Client.Status()
	var until []time.Time
	for i, scope := range c.Scopes {
		if slices.Contains(c.Scopes[:i], scope) {
			continue
		}
		reason := reasonFor(scope, status, minValid, now)
		r.Verdict = worse(r.Verdict, reason.Verdict)
		r.Reasons = append(r.Reasons, reason)
		until = append(until, reason.until(minValid, now))
	}
	if r.Verdict != NotReady {
		r.Until = slices.MinFunc(until, time.Time.Compare).UTC()
	}
	return r, status
}

// misuse says what is wrong with the Check itself.
func (c *Check) misuse() (all []Reason) {
	wrong := func(is bool, text string) bool {
		if is {
			all = append(all, Reason{Verdict: NotReady, Kind: apponly.ErrConfiguration, Text: "health: " + text})
		}
		return is
	}
	if wrong(c == nil, "the Check is nil") {
		return all
	}
	wrong(c.Client.Cache() == nil, "Client of the Check is nil or was not made by apponly.New")
	wrong(len(c.Scopes) == 0, "Scopes of the Check is empty; it names those that the process cannot do without")
	wrong(c.MinValid < 0, "MinValid of the Check is negative")
	return all
}

// reasonFor judges a scope by what is known of it. Status lists what the cache holds, which
// lacks a scope that nobody has asked for yet, or that has left for want of room.
func reasonFor(scope string, status []apponly.TokenStatus, minValid time.Duration, now time.Time) Reason {
	if err := ident.CheckScope(scope); err != nil {
		return Reason{
			Scope: scope, Verdict: NotReady, State: apponly.TokenMissing,
			Kind: apponly.ErrScopeInvalid, Text: ident.OneLine("health: "+err.Error(), maxText), Remedy: apponly.ErrScopeInvalid.Remedy(),
		}
	}
	i := slices.IndexFunc(status, func(s apponly.TokenStatus) bool { return s.Scope == scope })
	if i < 0 {
		return Reason{Scope: scope, Verdict: NotReady, State: apponly.TokenMissing, Text: "not asked for yet", Remedy: "Let KeepWarm or Warm ask for this scope when the process starts."}
	}
	s := status[i]
	r := Reason{
		Scope: scope, State: s.State, ExpiresOn: s.ExpiresOn.UTC(), NextTry: s.NextTry.UTC(), Failures: s.Failures,
		Verdict: judge(s.State, s.Failures > 0, s.ExpiresOn.Sub(now) >= minValid),
	}
	switch {
	case s.LastError != nil:
		r.blame(s.LastError)
	case r.State == apponly.TokenMissing:
		r.Text = "the first request is under way"
	case r.State == apponly.TokenExpired:
		r.Text, r.Remedy = "nobody has asked for it lately; the next call does", "Let KeepWarm renew the token without traffic."
	case r.Verdict == Degraded:
		r.Text, r.Remedy = "less is left of it than MinValid, and it is not due to be renewed", "Set MinValid of the Check to less than a token has left when it is renewed."
	}
	return r
}

// maxText is longer than any error of the root.
const maxText = 2000

func (r *Reason) blame(err error) {
	r.Text = ident.OneLine(err.Error(), maxText)
	if e, ok := errors.AsType[*apponly.Error](err); ok {
		r.Kind, r.Remedy = e.Kind, e.Kind.Remedy()
	}
}

// judge is the table in the documentation of the package.
func judge(state apponly.TokenState, failing, lasts bool) Verdict {
	usable := state == apponly.TokenFresh || state == apponly.TokenStale
	switch {
	case usable && lasts && !failing, state == apponly.TokenStale && !failing:
		return Ready
	case usable && (lasts || !failing), state == apponly.TokenExpired && !failing:
		return Degraded
	}
	return NotReady
}

// until is when the scope becomes not-ready if nothing succeeds: when its token has too
// little left and a request has failed.
func (r *Reason) until(minValid time.Duration, now time.Time) time.Time {
	at := r.ExpiresOn.Add(-minValid)
	for _, t := range []time.Time{now, r.NextTry} {
		if r.Failures == 0 && t.After(at) {
			at = t
		}
	}
	return at
}
