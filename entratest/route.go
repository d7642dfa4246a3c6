// SPDX-License-Identifier: MIT

package entratest

import (
	"slices"
	"strings"
)

// The endpoints, by what follows the tenant in the path.
const (
	tokenPath     = "oauth2/v2.0/token"
	configPathV1  = ".well-known/openid-configuration"
	configPathV2  = "v2.0/.well-known/openid-configuration"
	keysPathV1    = "discovery/keys"
	keysPathV2    = "discovery/v2.0/keys"
	discoveryPath = "discovery/instance"
)

// route is an endpoint.
type route struct {
	// name is what Fault.Endpoint and Counters call it. Several routes may
	// share one.
	name string
	// path is what follows the tenant, compared without letter case as Entra
	// does. One that begins with a slash is the whole path, has no tenant before
	// it, and is compared as it is; if it ends in a slash, too, everything below
	// it is meant.
	path string
	// read endpoints answer GET and HEAD only; others look at the method
	// themselves.
	read bool
	// plain endpoints are those that machines have on plain http; they are
	// served there and nowhere else.
	plain  bool
	handle func(c *call, tenant string) answer
}

const endpointToken = "token"

// routes is everything that is served. The first that fits a path answers.
var routes = []route{
	{name: endpointToken, path: tokenPath, handle: (*call).token},
	{name: "configuration", path: configPathV1, read: true, handle: func(c *call, t string) answer { return c.configuration(t, 1) }},
	{name: "configuration", path: configPathV2, read: true, handle: func(c *call, t string) answer { return c.configuration(t, 2) }},
	{name: "keys", path: keysPathV1, read: true, handle: func(c *call, t string) answer { return c.keys(t, 1) }},
	{name: "keys", path: keysPathV2, read: true, handle: func(c *call, t string) answer { return c.keys(t, 2) }},
	{name: "discovery", path: discoveryPath, read: true, handle: (*call).instanceDiscovery},
	{name: "imds", path: imdsPath, plain: true, handle: (*call).imds},
	{name: "imds", path: appServicePath, plain: true, handle: (*call).appService},
	{name: "google", path: googlePath, plain: true, handle: (*call).google},
	{name: "github", path: githubPath, handle: (*call).github},
	{name: "pipelines", path: pipelinesPath, handle: (*call).pipelines},
}

// findRoute returns the route for a path, and what stands in it for the tenant.
func findRoute(path string, plain bool) (found route, tenant string) {
	tenant, endpoint := splitPath(path)
	for _, rt := range routes {
		switch whole := strings.HasPrefix(rt.path, "/"); {
		case rt.plain != plain:
		case !whole && rt.path == endpoint:
			return rt, tenant
		case whole && (rt.path == path || strings.HasSuffix(rt.path, "/") && strings.HasPrefix(path, rt.path)):
			return rt, ""
		}
	}
	if plain {
		tenant = "" // nothing there has one
	}
	return route{}, tenant
}

// splitPath cuts "/tenant/endpoint" and makes the endpoint lower case.
func splitPath(path string) (tenant, endpoint string) {
	tenant, endpoint, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return tenant, strings.ToLower(endpoint)
}

// endpointNames lists the names of the routes, each once.
func endpointNames() []string {
	var names []string
	for _, rt := range routes {
		if !slices.Contains(names, rt.name) {
			names = append(names, rt.name)
		}
	}
	return names
}
