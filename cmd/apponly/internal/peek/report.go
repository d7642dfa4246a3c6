// SPDX-License-Identifier: MIT

package peek

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
	"github.com/apponly/apponly/verify"
)

// A Report is what a token says, and what to think of it.
type Report struct {
	Encrypted bool            `json:"encrypted"`
	Header    json.RawMessage `json:"header"`
	Claims    json.RawMessage `json:"claims"` // null if the token is encrypted
	// AppOnly says whether it is an app's own, null if that cannot be told; Because says
	// what says so.
	AppOnly  *bool     `json:"app_only"`
	Because  string    `json:"because"`
	Roles    []string  `json:"roles"`
	Lifetime *Lifetime `json:"lifetime"` // null if the token does not say
	Warnings []string  `json:"warnings"`
}

// A Lifetime is when a token is good.
type Lifetime struct {
	State  string    `json:"state"` // valid, expired or not_yet_valid
	Begins time.Time `json:"begins"`
	Ends   time.Time `json:"ends"`
}

// Inspect reports what is in a token at a time. Nothing that it says is proved: the
// signature is not looked at.
func Inspect(text string, now time.Time) (Report, error) {
	token := Trim(text)
	t, err := Parse(token)
	if err != nil {
		return Report{}, err
	}
	r := Report{Encrypted: t.Encrypted(), Header: t.Header, Claims: t.Claims, Roles: []string{}}
	read, err := inside.ReadToken(token)
	if refused, ok := errors.AsType[*verify.Error](err); ok {
		r.Because = strings.TrimPrefix(refused.Error(), "verify: ")
		r.Warnings = []string{"Package verify lets nobody in with it. " + refused.Kind.Remedy(), opaque("")}
		return r, nil
	}
	if err != nil {
		return Report{}, err
	}
	r.AppOnly, r.Because, r.Lifetime = &read.AppOnly, read.Because, lifetimeOf(read, now)
	r.Roles = append(r.Roles, read.Roles...)
	r.Warnings = warnings(r, read)
	return r, nil
}

func lifetimeOf(t inside.Token, now time.Time) *Lifetime {
	l := &Lifetime{State: "valid", Begins: t.NotBefore.UTC(), Ends: t.Expires.UTC()}
	if t.NotBefore.IsZero() {
		l.Begins = t.IssuedAt.UTC()
	}
	switch {
	case t.Expires.IsZero() || l.Begins.IsZero():
		return nil
	case !now.Before(l.Ends):
		l.State = "expired"
	case now.Before(l.Begins):
		l.State = "not_yet_valid"
	}
	return l
}

// warnings say what is odd, and in the end what is true of every token.
func warnings(r Report, t inside.Token) (all []string) {
	switch {
	case r.Lifetime == nil:
		all = append(all, "It does not say from when to when it is good.")
	case r.Lifetime.State == "expired":
		all = append(all, "It has expired.")
	case r.Lifetime.State == "not_yet_valid":
		all = append(all, "It is not valid yet, by the clock of this machine.")
	}
	if t.AppOnly && len(t.Roles) == 0 {
		all = append(all, "It has no roles: nobody has granted the app anything of this API, and Entra issues tokens to it all the same.")
	}
	return append(all, opaque(t.Audience))
}

// opaque says what a client has to do with a token, which is nothing; see
// https://learn.microsoft.com/entra/identity-platform/access-tokens.
func opaque(audience string) string {
	api := "the API that it is for"
	if audience != "" {
		api += ", " + ident.OneLine(audience, 200) + ","
	}
	return fmt.Sprintf("Nothing of this is verified, and only %s may depend on it: a token for an API that is not your own can have another form tomorrow, or be encrypted.", api)
}

// A member is one of an object, in the order of the text.
type member struct{ name, value string }

// members returns those of an object in words. A name that is there twice is.
func members(object json.RawMessage) (all []member) {
	d := json.NewDecoder(strings.NewReader(string(object)))
	d.Token() // the brace; Parse has seen to it that it is one
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return all
		}
		text, _ := name.(string)
		all = append(all, member{ident.OneLine(text, 40), valueOf(text, value)})
	}
	return all
}

// maxValue is as much as somebody reads of a claim.
const maxValue = 1000

func valueOf(name string, raw json.RawMessage) string {
	var text string
	var seconds int64
	switch {
	case json.Unmarshal(raw, &text) == nil && string(raw) != "null":
		return ident.OneLine(text, maxValue)
	case (name == "exp" || name == "nbf" || name == "iat") && json.Unmarshal(raw, &seconds) == nil && seconds > 0 && seconds < 1<<36:
		return fmt.Sprintf("%d, %s", seconds, screen.Date(time.Unix(seconds, 0)))
	}
	return ident.OneLine(string(raw), maxValue)
}
