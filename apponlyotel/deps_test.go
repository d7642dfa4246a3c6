// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowedModules are OpenTelemetry's API, and what that needs itself for the providers of
// the process.
var allowedModules = []string{
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/auto/sdk", // spans for who instruments from outside
	"github.com/cespare/xxhash/v2",
	"github.com/go-logr/logr",
	"github.com/go-logr/stdr",
}

// Which SDK there is, if any, is for the program to say.
func TestDependencies(t *testing.T) {
	root, ours := listed(t, "github.com/apponly/apponly"), 0
	for path := range listed(t, ".") {
		if root[path] || path == "github.com/apponly/apponly/apponlyotel" {
			continue
		}
		ours++
		if strings.HasPrefix(path, "go.opentelemetry.io/otel/sdk") || !slices.ContainsFunc(allowedModules, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }) {
			t.Errorf("the package depends on %s", path)
		}
	}
	if ours == 0 {
		t.Error("nothing was looked at")
	}
}

// listed returns what a package links beside the standard library.
func listed(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		all[path] = true
	}
	return all
}
