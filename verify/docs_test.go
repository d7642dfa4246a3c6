// SPDX-License-Identifier: MIT

package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apponly/apponly/verify"
)

// The table of the manual has what the code says of each kind.
func TestManualHasAllKinds(t *testing.T) {
	manual := readFile(t, "../docs/verify.md")
	statuses := map[verify.Kind]int{verify.ErrUnauthenticated: 401, verify.ErrForbidden: 403, verify.ErrUnavailable: 503}
	constant := regexp.MustCompile(`(?m)^\t(Err\w+) +Kind = "(\w+)"$`)
	rows := 0
	for _, m := range constant.FindAllStringSubmatch(readFile(t, "kind.go"), -1) {
		k := verify.Kind(m[2])
		if k.Group() == "" {
			continue // is one
		}
		rows++
		if row := fmt.Sprintf("| `%s` | %d | %s | %s |\n", m[1], statuses[k.Group()], k.Error(), strings.ReplaceAll(k.Remedy(), "<", "&lt;")); !strings.Contains(manual, row) {
			t.Errorf("docs/verify.md lacks: %s", row)
		}
	}
	if got := strings.Count(manual, "\n| `Err"); got != rows || rows < 10 {
		t.Errorf("docs/verify.md has %d kinds, want %d", got, rows)
	}
}

// What the manuals show is copied from code that runs.
func TestManualsShowCodeThatRuns(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "../examples/api/*.go", "../recipes/*_test.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			code.WriteString(withoutIndent(readFile(t, name)))
		}
	}
	block := regexp.MustCompile("(?s)\n```go\n(.*?\n)```\n")
	for name, section := range map[string]string{"../docs/verify.md": "# ", "../README.md": "\n## Protect an API\n"} {
		_, text, _ := strings.Cut(readFile(t, name), section)
		text, _, _ = strings.Cut(text, "\n## Why not")
		blocks := block.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no code", name)
		}
		for _, m := range blocks {
			if !strings.Contains(code.String(), withoutIndent(m[1])) {
				t.Errorf("%s shows code that is nowhere run:\n%s", name, m[1])
			}
		}
	}
}

func withoutIndent(code string) string {
	return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(code, "")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
