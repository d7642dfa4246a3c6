// SPDX-License-Identifier: MIT

package recipes_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMigratingShowsCodeThatRuns holds the page to the recipes.
func TestMigratingShowsCodeThatRuns(t *testing.T) {
	var code strings.Builder
	for _, name := range []string{"migratetokens_test.go", "migrate_test.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	page, err := os.ReadFile("../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	indent := regexp.MustCompile(`(?m)^\t+`)
	all := indent.ReplaceAllString(code.String(), "")
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?\n)```\n").FindAllStringSubmatch(string(page), -1)
	for _, block := range blocks {
		if !strings.Contains(all, indent.ReplaceAllString(block[1], "")) {
			t.Errorf("code that is nowhere run:\n%s", block[1])
		}
	}
	if len(blocks) < 5 {
		t.Errorf("%d blocks", len(blocks))
	}
}
