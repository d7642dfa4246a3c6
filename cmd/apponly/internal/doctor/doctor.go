// SPDX-License-Identifier: MIT

// Package doctor finds out why there is no token. It goes the way that a token
// request goes, from the variables to what the token says, and stops at the first
// thing that is wrong: everything behind it would be wrong because of that.
//
// Each check is in a file of its own: a look, which does the I/O, and a judgement,
// which is a pure function of what was seen. No text holds a secret, an assertion
// or a token.
package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/inside"
)

// A Status is how a check came out.
type Status string

// How checks come out. A warning does not keep the next check from being made.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Fault   Status = "fault"
	Skipped Status = "skipped"
)

// A Result is what one check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// A Report is what all checks found.
type Report struct {
	OK     bool     `json:"ok"`
	Cause  string   `json:"cause"` // the check that found the fault, "" if none did
	Kind   string   `json:"kind"`  // the fault's, "" if it has none
	Checks []Result `json:"checks"`
}

// Options are what the checks depend on besides the environment.
type Options struct {
	Scope   string // of the token; "" for Microsoft Graph
	Offline bool   // makes no check that needs a network
	// InUse is the fingerprint of the credential that this one is to follow, zero for
	// none: it is odd if they are the same.
	InUse [32]byte
	// Begin and End are told of each check; nil is fine.
	Begin func(check string)
	End   func(Result)
}

// graphs are Microsoft Graph in the clouds; see
// https://learn.microsoft.com/graph/deployments.
var graphs = map[cloud.Cloud]string{
	cloud.Public:       "https://graph.microsoft.com",
	cloud.USGovernment: "https://graph.microsoft.us",
	cloud.China:        "https://microsoftgraph.chinacloudapi.cn",
}

// graphScope is Microsoft Graph in a cloud: by its app ID, which is the same everywhere,
// where its name is not known.
func graphScope(c cloud.Cloud) string {
	return cmp.Or(graphs[c], "00000003-0000-0000-c000-000000000000") + "/.default"
}

// A patient is the environment that is examined, and what the checks so far have
// found out about it.
type patient struct {
	Options
	scope string // that is asked for
	env   inside.Environment
	now   func() time.Time
	roots *x509.CertPool // nil: the system's
	asked *answer        // by the one plain request that proxy, tls and clock judge
	token apponly.Token
}

// A finding is what a judgement comes to.
type finding struct {
	status       Status
	text, remedy string
	kind         string
}

func ok(text string) finding               { return finding{status: OK, text: text} }
func skip(text string) finding             { return finding{status: Skipped, text: text} }
func warn(text, remedy string) finding     { return finding{status: Warning, text: text, remedy: remedy} }
func fault(text, remedy, k string) finding { return finding{Fault, text, remedy, k} }

// faultOf is the finding of an error of package apponly. Its kind says what to do,
// unless there is something better.
func faultOf(err error, remedy string) finding {
	text, kind := inside.Cause(err)
	if r := apponly.Kind(kind).Remedy(); r != "" {
		remedy = r
	}
	return fault(text, remedy, kind)
}

// A check is one thing that is looked at.
type check struct {
	name    string
	network bool // it needs one
	managed bool // it is made for a managed identity, too
	look    func(context.Context, *patient) finding
}

// checks are in the order in which a token request depends on them.
var checks = []check{
	{"environment", false, true, lookAtEnvironment},
	{"identifiers", false, true, lookAtIdentifiers},
	{"credential", false, true, lookAtCredential},
	{"roots", false, false, lookAtRoots},
	{"proxy", true, false, lookAtProxy},
	{"dns", true, false, lookAtDNS},
	{"connect", true, false, lookAtConnection},
	{"tls", true, false, lookAtTLS},
	{"clock", true, false, lookAtClock},
	{"token", true, true, lookAtToken},
	{"permissions", true, true, lookAtPermissions},
}

// Run makes the checks. It returns early, with what has been found, if ctx ends.
func Run(ctx context.Context, o Options) (Report, error) {
	p := &patient{Options: o, env: inside.Look(), now: time.Now}
	p.scope = cmp.Or(o.Scope, graphScope(p.env.Cloud))
	report := Report{OK: true}
	for _, c := range checks {
		found := skip("")
		if report.OK {
			if o.Begin != nil {
				o.Begin(c.name)
			}
			found = p.make(ctx, c)
		}
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if found.status == Fault {
			report.OK, report.Cause, report.Kind = false, c.name, found.kind
		}
		result := Result{c.name, found.status, found.text, found.remedy}
		report.Checks = append(report.Checks, result)
		if o.End != nil {
			o.End(result)
		}
	}
	return report, nil
}

func (p *patient) make(ctx context.Context, c check) finding {
	switch {
	case c.network && p.Offline:
		return skip("offline")
	case !c.managed && p.isManaged():
		return skip("not on the way to a managed identity")
	}
	return c.look(ctx, p)
}

func (p *patient) isManaged() bool { return p.env.Credential == "managed-identity" }
