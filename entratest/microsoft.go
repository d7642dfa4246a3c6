// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
)

// The app IDs of Microsoft's APIs, the same in every tenant of every cloud.
const (
	azureADGraphID   = "00000002-0000-0000-c000-000000000000"
	microsoftGraphID = "00000003-0000-0000-c000-000000000000"
	resourceManager  = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	keyVaultID       = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"
	managedHSMID     = "589d5083-6f11-4d30-a62a-a4b316a14abf"
	storageID        = "e406a681-f3d4-42a8-90b6-c2b029497af1"
	sqlID            = "022907d3-0f1b-48f7-badc-1ba6abab6d66" // SQL Database
	openSourceSQLID  = "123cd850-d9df-40bd-94d5-c9f07b7fa203" // PostgreSQL and MySQL
	logAnalyticsID   = "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5"
)

// microsoftAPI is one that is in every tenant.
type microsoftAPI struct {
	appID string
	// Its URIs, in a cloud at the index of clouds below. One that begins with "*." is of
	// every host below.
	uris [3][]string
}

// microsoftAPIs are those that programs ask for first. Whoever wants another registers it
// by its ID ([Tenant.NewResourceID]).
var microsoftAPIs = []microsoftAPI{
	{microsoftGraphID, [3][]string{
		{"https://graph.microsoft.com"},
		{"https://graph.microsoft.us", "https://dod-graph.microsoft.us"},
		{"https://microsoftgraph.chinacloudapi.cn"},
	}},
	{azureADGraphID, [3][]string{
		{"https://graph.windows.net"},
		{"https://graph.windows.net", "https://graph.microsoftazure.us"},
		{"https://graph.chinacloudapi.cn"},
	}},
	{resourceManager, [3][]string{
		{"https://management.azure.com", "https://management.core.windows.net"},
		{"https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net"},
		{"https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn"},
	}},
	{keyVaultID, [3][]string{
		{"https://vault.azure.net"}, {"https://vault.usgovcloudapi.net"}, {"https://vault.azure.cn"},
	}},
	{managedHSMID, [3][]string{
		{"https://managedhsm.azure.net"}, {"https://managedhsm.usgovcloudapi.net"}, {"https://managedhsm.azure.cn"},
	}},
	{storageID, [3][]string{ // also by the URL of an account
		{"https://storage.azure.com", "*.core.windows.net"},
		{"https://storage.azure.com", "*.core.usgovcloudapi.net"},
		{"https://storage.azure.com", "*.core.chinacloudapi.cn"},
	}},
	{sqlID, [3][]string{
		{"https://database.windows.net"}, {"https://database.usgovcloudapi.net"}, {"https://database.chinacloudapi.cn"},
	}},
	{openSourceSQLID, [3][]string{
		{"https://ossrdbms-aad.database.windows.net"}, {"https://ossrdbms-aad.database.usgovcloudapi.net"}, {"https://ossrdbms-aad.database.chinacloudapi.cn"},
	}},
	// Which ID the ingestion of Azure Monitor has is published nowhere that
	// was found; its tokens are of version 1, which show the URI.
	{logAnalyticsID, [3][]string{
		{"https://api.loganalytics.io", "https://monitor.azure.com"},
		{"https://api.loganalytics.us", "https://monitor.azure.us"},
		{"https://api.loganalytics.azure.cn", "https://monitor.azure.cn"},
	}},
	{"6dae42f8-4368-4678-94ff-3960e28e3630", [3][]string{}}, // AKS, by its ID alone
	{"499b84ac-1321-427f-aa17-267ca6975798", [3][]string{ // Azure DevOps
		{"https://app.vssps.visualstudio.com"}, nil, nil,
	}},
}

// storageServices are what an account of Storage has a host for.
var storageServices = []string{"blob", "dfs", "file", "queue", "table"}

// hasURI reports whether an API is named so in a cloud. In a cloud that is not one of the
// three it has the URIs of all: an emulator is told nothing of the one it stands for.
func (a *microsoftAPI) hasURI(c cloud.Cloud, name string) bool {
	i := slices.Index([]cloud.Cloud{cloud.Public, cloud.USGovernment, cloud.China}, c)
	for j, uris := range a.uris {
		if (i < 0 || i == j) && slices.ContainsFunc(uris, func(uri string) bool {
			domain, account := strings.CutPrefix(uri, "*")
			return uri == name || account && isStorageAccount(name, domain)
		}) {
			return true
		}
	}
	return false
}

// isStorageAccount reports whether a URI is that of a service of an account, as in
// "https://account.blob.core.windows.net" of the domain ".core.windows.net".
func isStorageAccount(uri, domain string) bool {
	host, below := strings.CutSuffix(strings.TrimPrefix(uri, "https://"), domain)
	account, service, _ := strings.Cut(host, ".")
	return below && account != "" && strings.HasPrefix(uri, "https://") && slices.Contains(storageServices, service)
}

// microsoftTenant is where Microsoft registers its APIs.
const microsoftTenant = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

// newMicrosoftResources makes the APIs of a server. A tenant has no service principal for
// them until something about it is changed: a million tenants cost nothing more.
func newMicrosoftResources(s *Server) []*Resource {
	home := &Tenant{s: s, id: microsoftTenant, principals: make(map[*registration]*principal)}
	var list []*Resource
	for i := range microsoftAPIs {
		api := &microsoftAPIs[i]
		uri := api.appID
		if len(api.uris[0]) > 0 {
			uri = api.uris[0][0]
		}
		list = append(list, &Resource{
			registration: &registration{s: s, home: home, appID: api.appID, microsoft: api},
			uri:          uri, version: 1, continuous: api.appID == microsoftGraphID,
		})
	}
	return list
}

// Microsoft returns one of Microsoft's own APIs by its well-known app ID or by one of its
// URIs in any cloud: Microsoft Graph ("https://graph.microsoft.com"), Azure AD Graph, Azure
// Resource Manager, Key Vault and Managed HSM, Storage, SQL Database, PostgreSQL and MySQL,
// Log Analytics and Monitor, AKS (by its ID), Azure DevOps. They are provided in every
// tenant. A request to an authority of the public, the US government or the China cloud may
// name them by the URIs of that cloud only, any other by those of all. They define no app roles: add those to be granted by
// [Resource.AddRoles]. Microsoft panics if the API is not one of these.
func (s *Server) Microsoft(name string) *Resource { return must(s.microsoftNamed(name)) }

func (s *Server) microsoftNamed(name string) (*Resource, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.microsoftResource(anyCloud, name); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%q is no API of Microsoft that is known here", name)
}

// anyCloud is none of those that have URIs of their own.
var anyCloud = cloud.Custom("https://" + memoryHost)

// microsoftResource looks up one of Microsoft's APIs, as it is named in a cloud. The
// caller holds mu.
func (s *Server) microsoftResource(c cloud.Cloud, name string) *Resource {
	for _, r := range s.microsoft {
		if !r.removed && r.namedIn(c, name) {
			return r
		}
	}
	return nil
}

// everywhere is the service principal of Microsoft's APIs in tenants where nothing is
// special about them. Nothing is ever written to it.
var everywhere = &principal{objectID: ident.NewGUID()}
