// SPDX-License-Identifier: MIT

package emuconfig

import (
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/ident"
)

// A fault is an entratest.Fault. Its keys are judged by the emulator, in whose
// errors they come first.
type fault struct {
	Place
	Endpoint    scalar[string]        `file:"endpoint,text"`
	Tenant      scalar[string]        `file:"tenant,text"`
	ClientID    scalar[string]        `file:"client_id,text"`
	Times       scalar[int]           `file:"times,count"`
	Probability scalar[float64]       `file:"probability,chance"`
	Delay       scalar[time.Duration] `file:"delay,delay"`
	Status      scalar[int]           `file:"status,count"`
	RetryAfter  scalar[string]        `file:"retry_after,verbatim"`
	Code        scalar[int]           `file:"code,count"`
	Connection  scalar[string]        `file:"connection,text"`
}

type throttle struct {
	Place
	Requests   scalar[int]           `file:"requests,count,required"`
	Per        scalar[time.Duration] `file:"per,period,required"`
	RetryAfter scalar[time.Duration] `file:"retry_after,wait"`
}

func (l *loader) fault(f fault) {
	before := len(l.Faults)
	made := entratest.Fault{
		Endpoint: f.Endpoint.v, Tenant: l.tenantID(f.Tenant), ClientID: l.clientID(f.ClientID),
		Times: f.Times.v, Probability: f.Probability.v, Delay: f.Delay.v,
		Status: f.Status.v, RetryAfter: f.RetryAfter.v, Code: f.Code.v, Connection: f.Connection.v,
	}
	if len(l.Faults) == before && !l.Inside(f.Place) {
		_, err := l.sts.AddFault(made)
		l.ok(f, err)
	}
}

// tenantID returns the ID of the tenant that a fault is for. A fault may be for
// a tenant that does not exist, and for such an app.
func (l *loader) tenantID(ref scalar[string]) string {
	name := strings.ToLower(ref.v)
	if l.tenants[name] == nil && (ident.IsGUID(name) || name == "common" || name == "organizations") {
		return name
	}
	if t := find(l, l.tenants, ref, "tenant"); t != nil {
		return t.made.ID()
	}
	return ""
}

func (l *loader) clientID(ref scalar[string]) string {
	if l.apps[strings.ToLower(ref.v)] == nil && ident.IsGUID(ref.v) {
		return ref.v
	}
	if a := find(l, l.apps, ref, "app"); a != nil {
		return a.made.ClientID()
	}
	return ""
}
