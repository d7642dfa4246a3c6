// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
)

// apply adds the configuration to an emulator that has only its demo. The
// errors are those that the emulator alone can tell: keys it cannot read,
// faults that contradict themselves. IDs that were made up are told to notify.
func (c *config) apply(sts *entratest.Server, notify func(format string, args ...any)) error {
	now := time.Now().Add(c.clockOffset.v)

	sts.SetClockOffset(c.clockOffset.v)
	sts.SetTokenLifetime(c.tokenLifetime.v)
	sts.SetRefreshIn(c.refreshIn.v)
	sts.SetPropagation(c.propagation.v) // before what it is to delay
	for _, t := range c.tenants {
		t.apply(sts)
		if !t.id.good {
			notify("apponly: the ID of tenant %s is %s\n", quote(t.domains[0].v), t.live.ID())
		}
	}
	for _, a := range c.apps {
		a.apply(sts, now)
		if !a.clientID.good {
			notify("apponly: the client ID of app %s is %s\n", quote(a.name.v), a.live.ClientID())
		}
	}
	for _, r := range c.resources {
		r.apply()
		if !r.appID.good {
			notify("apponly: the app ID of resource %s is %s\n", quote(r.uri.v), r.live.AppID())
		}
	}
	for _, i := range c.issuers {
		if _, err := sts.AddIssuer(i.url.v, i.keys); err != nil {
			c.errs.add(i.jwks.at, "%s", reason(err))
		}
	}
	for _, i := range c.installs {
		for _, t := range i.where {
			if i.who != nil {
				t.live.Install(i.who.live)
			}
			if i.what != nil {
				t.live.Provide(i.what.live)
			}
		}
	}
	for _, r := range c.resources {
		for t := range r.in {
			if r.assignmentRequired.v {
				t.live.SetAssignmentRequired(r.live, true)
			}
		}
	}
	for _, g := range c.grants {
		g.what.live.Grant(g.where.live, g.who.live, values(g.roles)...)
	}
	for _, t := range c.tenants { // last: a suspended tenant takes no changes at Entra
		if t.disabled.good {
			t.live.SetDisabled(t.disabled.v)
		}
	}
	for _, f := range c.faults {
		f.apply(sts, c.errs)
	}
	if t := c.throttle; t != nil {
		sts.SetThrottle(entratest.Throttle{Requests: t.requests.v, Per: t.per.v, RetryAfter: t.retryAfter.v})
	}
	return c.errs.orNil()
}

func (t *tenantConfig) apply(sts *entratest.Server) {
	domains := values(t.domains)
	if t.id.good {
		t.live = sts.AddTenantID(t.id.v, domains...)
	} else {
		t.live = sts.AddTenant(domains...)
	}
}

func (a *appConfig) apply(sts *entratest.Server, now time.Time) {
	if a.clientID.good {
		a.live = a.home.live.NewAppID(a.clientID.v)
	} else {
		a.live = a.home.live.NewApp()
	}
	for _, s := range a.secrets {
		var begin time.Time // always, or who sets the clock back later has no secret
		if s.notBefore.good {
			begin = s.notBefore.v.from(now)
		}
		a.live.AddSecretDates(s.value.v, begin, s.end(now))
	}
	for _, cert := range a.certificates {
		a.live.AddCertificate(cert.cert)
	}
	for _, f := range a.federated {
		issuer := f.issuer.v
		if issuer == demoName {
			issuer = sts.Issuer().URL()
		}
		a.live.AddFederatedCredential(entratest.FederatedCredential{
			Issuer: issuer, Subject: f.subject.v, Audience: f.audience.or(sts.Cloud().ExchangeAudience()),
		})
	}
	if a.multiTenant.good {
		a.live.SetMultiTenant(a.multiTenant.v)
	}
	if a.disabled.good {
		a.live.SetDisabled(a.disabled.v)
	}
}

// end is a year from the start unless it is said.
func (s *secretConfig) end(now time.Time) time.Time {
	return s.notAfter.or(date{offset: 365 * 24 * time.Hour}).from(now)
}

func (r *resourceConfig) apply() {
	if r.appID.good {
		r.live = r.home.live.NewResourceID(r.appID.v, r.uri.v, values(r.roles)...)
	} else {
		r.live = r.home.live.NewResource(r.uri.v, values(r.roles)...)
	}
	if r.tokenVersion.good {
		r.live.SetTokenVersion(r.tokenVersion.v)
	}
	if r.multiTenant.good {
		r.live.SetMultiTenant(r.multiTenant.v)
	}
}

// apply adds the fault. What the emulator says about it begins with the key that
// it is about.
func (f *faultConfig) apply(sts *entratest.Server, errs *configErrors) {
	fault, err := f.fault()
	if err == nil {
		_, err = sts.AddFault(fault)
	}
	if err != nil {
		place, text := f.at, reason(err)
		key, rest, _ := strings.Cut(text, " ")
		if value, ok := f.keys[key]; ok {
			place, text = value.at, rest
		}
		errs.add(place, "%s", text)
	}
}

// fault returns the fault, with IDs for names.
func (f *faultConfig) fault() (fault entratest.Fault, err error) {
	keys := maps.Clone(f.keys)
	if f.where != nil {
		keys["tenant"] = plain{v: f.where.live.ID()}
	}
	if f.who != nil {
		keys["client_id"] = plain{v: f.who.live.ClientID()}
	}
	err = json.Unmarshal(toJSON(keys), &fault)
	return fault, err
}

// reason is what an error of the emulator says behind its prefix, which a line
// that names the key does not need.
func reason(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "entratest: "), "fault: ")
}

func values(list []scalar[string]) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.v
	}
	return out
}
