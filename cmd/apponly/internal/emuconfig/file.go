// SPDX-License-Identifier: MIT

package emuconfig

import (
	"time"

	"github.com/apponly/apponly/entratest"
)

// What can stand in a file, as package yamlfile reads it by the tags.

type file struct {
	Place
	Tenants   []*tenant   `file:"tenants"`
	Apps      []*app      `file:"apps"`
	Resources []*resource `file:"resources"`
	Issuers   []issuer    `file:"issuers"`
	Installs  []install   `file:"installs"`
	Grants    []grant     `file:"grants"`
	Faults    []fault     `file:"faults"`

	ManagedIdentities []identity       `file:"managed_identities"`
	GitHubJobs        []job            `file:"github_jobs"`
	PipelineJobs      []job            `file:"pipeline_jobs"`
	GoogleVMs         []googleVM       `file:"google_vms"`
	ProxyHosts        []scalar[string] `file:"proxy_hosts,domain"`

	Throttle      *throttle             `file:"throttle"`
	ARM           scalar[bool]          `file:"arm,bool"`
	TokenLifetime scalar[time.Duration] `file:"token_lifetime,lifetime"`
	RefreshIn     scalar[time.Duration] `file:"refresh_in,lifetime"`
	ClockOffset   scalar[time.Duration] `file:"clock_offset,offset"`
	Propagation   scalar[time.Duration] `file:"propagation,delay"`
}

type tenant struct {
	Place
	ID       scalar[string]   `file:"id,guid"`
	Domains  []scalar[string] `file:"domains,domain"`
	Disabled scalar[bool]     `file:"disabled,bool"`
	made     *entratest.Tenant
}

// A registration is what an app and a resource have in common.
type registration struct {
	Home        scalar[string] `file:"tenant,text,required"`
	MultiTenant scalar[bool]   `file:"multi_tenant,bool"`
}

type app struct {
	Place
	Name scalar[string] `file:"name,text,required"`
	registration
	ClientID     scalar[string]   `file:"client_id,guid"`
	Disabled     scalar[bool]     `file:"disabled,bool"`
	RedirectURIs []scalar[string] `file:"redirect_uris,text"`
	Requires     []requirement    `file:"requires"`
	Secrets      []secret         `file:"secrets"`
	Certificates []certificate    `file:"certificates"`
	Federated    []federated      `file:"federated"`
	made         *entratest.App
}

type secret struct {
	Place
	Value     scalar[string] `file:"value,text,required"`
	NotBefore scalar[date]   `file:"not_before,date"`
	NotAfter  scalar[date]   `file:"not_after,date"`
}

type certificate struct {
	Place
	File scalar[string] `file:"file,text,required"`
}

type federated struct {
	Place
	Issuer   scalar[string] `file:"issuer,issuer,required"`
	Subject  scalar[string] `file:"subject,text,required"`
	Audience scalar[string] `file:"audience,text"`
}

type resource struct {
	Place
	URI scalar[string] `file:"uri,uri,required"`
	registration
	AppID              scalar[string]   `file:"app_id,guid"`
	Roles              []scalar[string] `file:"roles,text"`
	TokenVersion       scalar[int]      `file:"token_version,count"`
	AssignmentRequired scalar[bool]     `file:"assignment_required,bool"`
	made               *entratest.Resource
}

type issuer struct {
	Place
	URL  scalar[string] `file:"url,issuer,required"`
	JWKS scalar[string] `file:"jwks,text,required"`
}

type install struct {
	Place
	App      scalar[string]   `file:"app,text"`
	Resource scalar[string]   `file:"resource,text"`
	Tenants  []scalar[string] `file:"tenants,text,required"`
}

type requirement struct {
	Place
	Resource scalar[string]   `file:"resource,text,required"`
	Roles    []scalar[string] `file:"roles,text,required"`
}

type grant struct {
	App scalar[string] `file:"app,text,required"`
	requirement
	Tenant scalar[string] `file:"tenant,text"`
}

// A machine is what managed identities, virtual machines and jobs have in common.
type machine struct {
	Name scalar[string] `file:"name,name,required"`
}

type identity struct {
	Place
	machine
	Home           scalar[string] `file:"tenant,text,required"`
	ClientID       scalar[string] `file:"client_id,guid"`
	ObjectID       scalar[string] `file:"object_id,guid"`
	ResourceID     scalar[string] `file:"resource_id,text"`
	SystemAssigned scalar[bool]   `file:"system_assigned,bool"`
}

type job struct {
	Place
	machine
	Subject scalar[string]   `file:"subject,text,required"`
	Apps    []scalar[string] `file:"apps,text"`
}

type googleVM struct {
	Place
	machine
	Apps []scalar[string] `file:"apps,text"`
}
