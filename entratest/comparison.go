// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// A Comparison is one that decided about a request: what the request has beside what the
// emulator knows. It holds no secret, nor anything made from one: of a secret it says which
// of the app's it is, or that it is none of them.
type Comparison struct {
	// What was compared: the name of the parameter ("scope"), of the claim or header of the
	// assertion ("aud", "x5t"), or "tenant", "secret", "certificate", "credential",
	// "signature", "lifetime", "resource", "roles", "throttle", "request".
	What string `json:"what"`
	// Sent is what the request has, or of "request" what is wrong with it; "" if it lacks it,
	// "(hidden)" if it is a secret or may be one in a wrong place.
	Sent string `json:"sent,omitzero"`
	// Want is what would have matched, or did: a few examples if it is one of many.
	Want    []string `json:"want,omitzero"`
	Matched bool     `json:"matched"`
}

// What is kept of the comparisons of one request.
const (
	maxComparisons = 8
	maxWant        = 6
)

// beside adds a comparison that failed. What is wanted is copied, as it may be a list of
// the directory, which changes.
func (f *refusal) beside(what, sent string, want ...string) *refusal {
	f.why = append(f.why, Comparison{What: what, Sent: sent, Want: slices.Clone(want)})
	return f
}

// matched records a comparison that a request has passed.
func (c *call) matched(what, sent string, want ...string) {
	c.log.Comparisons = append(c.log.Comparisons, Comparison{what, sent, want, true})
}

// note records why a request is refused.
func (c *call) note(f *refusal) {
	c.log.Code = f.code
	if (f.code == 9002313 || f.code == 50027) && len(f.why) == 0 {
		f.beside("request", fmt.Sprint(f.args...)) // what is wrong in our words
	}
	c.log.Comparisons = append(c.log.Comparisons, f.why...)
}

// showable says of what a request has whether it can be kept: people send secrets in the
// wrong place. What is not named here comes from an assertion, or from here.
var showable = map[string]func(string) bool{
	"secret":       func(string) bool { return false },
	"tenant":       func(name string) bool { return isTenantName(name) || strings.EqualFold(name, "consumers") },
	"client_id":    ident.IsGUID,
	"object_id":    ident.IsGUID,
	"msi_res_id":   isResourceID,
	"mi_res_id":    isResourceID,
	"authority":    func(host string) bool { return looksLikeResource("https://" + host) },
	"scope":        looksLikeScope,
	"resource":     looksLikeScope,
	"redirect_uri": looksLikeResource,
	"grant_type": func(grant string) bool {
		return slices.Contains([]string{"authorization_code", "password", "refresh_token", "device_code",
			"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer",
			"urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:token-exchange"}, grant)
	},
	"Content-Type": func(kind string) bool {
		return slices.Contains([]string{"application/json", "multipart/form-data", "text/plain", "application/octet-stream"}, kind)
	},
}

func isResourceID(id string) bool { return strings.HasPrefix(strings.ToLower(id), "/subscriptions/") }

// kept is what the record keeps of comparisons. Texts are copied, because they may be
// slices of the request that would keep it alive with the secrets in it.
func kept(list []Comparison) []Comparison {
	list = list[:min(len(list), maxComparisons)]
	for i := range list {
		c := &list[i]
		if show := showable[c.What]; c.Sent != "" && show != nil && !show(c.Sent) {
			c.Sent = hidden
		}
		c.Sent = strings.Clone(shorten(c.Sent, maxRecorded))
		if more := len(c.Want) - maxWant; more > 0 {
			c.Want = append(slices.Clone(c.Want[:maxWant]), fmt.Sprintf("and %d more", more))
		}
		for j, want := range c.Want {
			c.Want[j] = strings.Clone(shorten(want, maxRecorded))
		}
	}
	return list
}

// known lists names, sorted; of very many it says how many there are.
func known[V any](names map[string]V) []string {
	if len(names) > maxChoices {
		return []string{fmt.Sprintf("one of %d names", len(names))}
	}
	return slices.Sorted(maps.Keys(names))
}

// known lists the principals of t that are called something. The caller holds mu.
func (t *Tenant) known(name func(*registration) string) []string {
	if len(t.principals) > maxChoices {
		return []string{fmt.Sprintf("one of up to %d", len(t.principals))}
	}
	var names []string
	for r := range t.principals {
		if n := name(r); n != "" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// knownApps lists the client IDs that a token request to t can have. The caller holds mu.
func (t *Tenant) knownApps() []string {
	return t.known(func(r *registration) string {
		if t.s.apps[r.appID] == nil {
			return ""
		}
		return r.appID
	})
}

// knownResources lists what a scope can name in t. The caller holds mu.
func (t *Tenant) knownResources() []string {
	return t.known(func(r *registration) string {
		if api := t.s.resources[r.appID]; api != nil {
			return api.uri
		}
		return ""
	})
}

// instant is how a time is told.
func instant(t time.Time) string {
	if t.IsZero() {
		return "(not said)"
	}
	return t.UTC().Format(time.RFC3339)
}

func span(from, until time.Time) string {
	if from.IsZero() {
		return "until " + instant(until)
	}
	return "from " + instant(from) + " until " + instant(until)
}

// besideFederated compares an assertion with credentials, in the order in which they are
// looked at: the issuer, and of those that have it the audience and the subject.
func besideFederated(list []federatedCredential, iss, aud, sub string) []Comparison {
	if len(list) == 0 {
		return []Comparison{{What: "credential", Sent: iss, Want: []string{"the app has no federated credential"}}}
	}
	all := make([]Comparison, 0, 3)
	for _, field := range []struct {
		what, sent string
		of         func(federatedCredential) string
	}{
		{"iss", iss, func(fc federatedCredential) string { return fc.Issuer }},
		{"aud", aud, func(fc federatedCredential) string { return fc.Audience }},
		{"sub", sub, func(fc federatedCredential) string { return fc.Subject }},
	} {
		c := Comparison{What: field.what, Sent: field.sent}
		var same []federatedCredential
		for _, fc := range list {
			if value := field.of(fc); value == field.sent {
				same = append(same, fc)
			} else if !slices.Contains(c.Want, value) {
				c.Want = append(c.Want, value)
			}
		}
		if c.Matched = len(same) > 0; c.Matched {
			list, c.Want = same, []string{field.sent}
		}
		all = append(all, c)
	}
	return all
}
