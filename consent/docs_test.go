// SPDX-License-Identifier: MIT

package consent_test

import (
	"os"
	"strings"
	"testing"
)

// Functions in the documentation are those of the example that runs.
func TestDocumentedFunctions(t *testing.T) {
	docs, err := os.ReadFile("../docs/multitenant.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for i, block := range strings.Split(string(docs), "```") {
		code, ok := strings.CutPrefix(block, "go\n")
		if i%2 == 0 || !ok || !strings.Contains(code, "\nfunc ") {
			continue
		}
		functions++
		if !strings.Contains(string(example), code) {
			t.Errorf("not in example_test.go:\n%s", code)
		}
	}
	if functions != 2 {
		t.Errorf("%d functions, want 2", functions)
	}
}
