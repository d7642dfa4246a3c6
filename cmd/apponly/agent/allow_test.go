// SPDX-License-Identifier: MIT

package agent_test

import (
	"testing"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// The list is all that gives anybody anything.
func TestAllowed(t *testing.T) {
	t.Parallel()
	const graph, vault = "https://graph.microsoft.com/.default", "https://vault.azure.net/.default"
	list := []agent.Caller{
		{UID: []int{1000, 1001}, Scopes: []string{graph}, Apps: []string{"default", "billing"}},
		{UID: []int{0}, Scopes: []string{vault}},
		{Header: agent.DefaultHeader, Scopes: []string{vault}},
		{IMDS: true, Scopes: []string{graph}, Apps: []string{"billing"}},
	}
	var nobody agent.Identity
	for name, tc := range map[string]struct {
		who        agent.Identity
		app, scope string
		want, use  bool
	}{
		"listed user":                     {agent.UID(1000), "default", graph, true, true},
		"second user":                     {agent.UID(1001), "billing", graph, true, true},
		"other user":                      {agent.UID(1002), "default", graph, false, false},
		"root is a user like others":      {agent.UID(0), "default", graph, false, true},
		"nobody is not root":              {nobody, "default", vault, false, false},
		"a scope of somebody else's":      {agent.UID(1000), "default", vault, false, true},
		"another app":                     {agent.UID(0), "billing", vault, false, false},
		"no app means the default":        {agent.UID(0), "default", vault, true, true},
		"header":                          {agent.WithHeader(nobody), "default", vault, true, true},
		"header for another scope":        {agent.WithHeader(nobody), "default", graph, false, true},
		"user with header has both":       {agent.WithHeader(agent.UID(1000)), "default", vault, true, true},
		"user with header, still as user": {agent.WithHeader(agent.UID(1000)), "billing", graph, true, true},
		"imds":                            {agent.FromIMDS(nobody), "billing", graph, true, true},
		"imds of the default app":         {agent.FromIMDS(nobody), "default", graph, false, false},
		"letter case":                     {agent.UID(1000), "default", "https://Graph.microsoft.com/.default", false, true},
		"a slash":                         {agent.UID(1000), "default", "https://graph.microsoft.com//.default", false, true},
		"a prefix":                        {agent.UID(1000), "default", "https://graph.microsoft.com/", false, true},
		"no wildcard":                     {agent.UID(1000), "default", "*", false, true},
		"nothing":                         {agent.UID(1000), "", "", false, false},
	} {
		if got := agent.Allowed(list, tc.who, tc.app, tc.scope); got != tc.want {
			t.Errorf("%s: allowed %t, want %t", name, got, tc.want)
		}
		if got := agent.MayUse(list, tc.who, tc.app); got != tc.use {
			t.Errorf("%s: may use the app %t, want %t", name, got, tc.use)
		}
		if agent.Allowed(nil, tc.who, tc.app, tc.scope) {
			t.Errorf("%s: an empty list allows it", name)
		}
	}
}

func TestScopeOf(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]string{
		"https://vault.azure.net":          "https://vault.azure.net/.default",
		"https://management.azure.com/":    "https://management.azure.com//.default",
		"https://vault.azure.net/.default": "https://vault.azure.net/.default",
		"api://orders":                     "api://orders/.default",
	} {
		if got := agent.ScopeOf(resource); got != want {
			t.Errorf("%s: %s, want %s", resource, got, want)
		}
	}
}
