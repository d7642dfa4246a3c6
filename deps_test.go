// SPDX-License-Identifier: MIT

package apponly_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What the packages may import, directly or not, beside the standard library
// and this module. A daemon pays for every line of it.
var allowedModules = []string{
	"github.com/Azure/azure-sdk-for-go/sdk/azcore",
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity",
	"github.com/Azure/azure-sdk-for-go/sdk/internal", // azcore's own
	"github.com/AzureAD/microsoft-authentication-library-for-go",
	"github.com/golang-jwt/jwt/v5",
	"github.com/google/uuid",            // MSAL's
	"github.com/hashicorp/go-cleanhttp", // go-retryablehttp's
	"github.com/hashicorp/go-retryablehttp",
	"github.com/kylelemons/godebug", // MSAL's
	"github.com/pkg/browser",        // MSAL's
	"golang.org/x/crypto",           // azidentity's; scrypt
	"golang.org/x/net",              // azcore's
	"golang.org/x/sync",
	"golang.org/x/sys",  // MSAL's
	"golang.org/x/text", // azcore's
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(path, "github.com/apponly/apponly") {
			continue
		}
		if !inModule(path, allowedModules) {
			t.Errorf("the root package depends on %s", path)
		}
	}

	// The ground floor knows nothing of what stands on it. What the API side and
	// the command share with the root must not link MSAL, azcore or retryablehttp.
	const internal = "github.com/apponly/apponly/internal"
	for pkg, allowed := range map[string][]string{
		"./cloud":                    {},
		"./internal/clock":           {},
		"./internal/flight":          {internal},
		"./internal/ident":           {},
		"./internal/inside":          {"github.com/apponly/apponly/cloud"},
		"./internal/netfault":        {internal},
		"./internal/wwwauth":         {},
		"./internal/tokencache":      {internal},
		"./internal/sharedcache":     {internal},
		"./internal/wire":            {internal, "github.com/hashicorp/go-retryablehttp", "github.com/hashicorp/go-cleanhttp"},
		"./internal/memhttp":         {},
		"./internal/assertionsource": {internal, "github.com/hashicorp/go-retryablehttp", "github.com/hashicorp/go-cleanhttp"},
		"./health":                   append([]string{"github.com/apponly/apponly"}, allowedModules...),
		"./filecache":                append([]string{"github.com/apponly/apponly"}, allowedModules...),
		"./verify":                   {"github.com/apponly/apponly/cloud", internal},
		"./consent":                  {"github.com/apponly/apponly/cloud", "github.com/apponly/apponly/internal/ident"},
		"./entratest": {
			"github.com/apponly/apponly/cloud", "github.com/golang-jwt/jwt/v5",
			"github.com/apponly/apponly/internal/ident", "github.com/apponly/apponly/internal/memhttp",
		},
		"./internal/keyfile": {"github.com/apponly/apponly/internal/ident", "golang.org/x/crypto"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}{{if .Standard}} std{{end}}", pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		self := "github.com/apponly/apponly/" + strings.TrimPrefix(pkg, "./")
		for line := range strings.Lines(string(out)) {
			path, std := strings.CutSuffix(strings.TrimSpace(line), " std")
			if path == "testing" {
				t.Errorf("%s depends on testing", self)
			}
			if !std && path != self && !inModule(path, allowed) {
				t.Errorf("%s depends on %s", self, path)
			}
		}
	}
}

func inModule(path string, modules []string) bool {
	for _, m := range modules {
		if path == m || strings.HasPrefix(path, m+"/") {
			return true
		}
	}
	return false
}
