// SPDX-License-Identifier: MIT

package ops_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var indent = regexp.MustCompile(`(?m)^\t+`)

// What the manual shows is copied from examples that run.
func TestManualShowsCodeThatRuns(t *testing.T) {
	var code strings.Builder
	for _, name := range []string{"example_test.go", "../prometheus_test.go", "../otlp_test.go"} {
		code.WriteString(indent.ReplaceAllString(read(t, name), ""))
	}
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?\n)```\n").FindAllStringSubmatch(read(t, manual), -1)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(code.String(), indent.ReplaceAllString(block[1], "")) {
			t.Errorf("code that is nowhere run:\n%s", block[1])
		}
	}
}

// What it links to is there, and what it says of metrics has the names that there are.
func TestManualLeadsSomewhere(t *testing.T) {
	text := read(t, manual)
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		path, anchor, _ := strings.Cut(m[1], "#")
		target := text
		if path != "" {
			path = filepath.Join(filepath.Dir(manual), path)
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
				continue
			}
			target = read(t, path)
		}
		if anchor != "" && !regexp.MustCompile(`(?mi)^##+ `+strings.ReplaceAll(regexp.QuoteMeta(anchor), "-", " ")+"$").MatchString(target) {
			t.Errorf("no section for %s", m[1])
		}
	}
	known := exported(t)
	for _, m := range regexp.MustCompile("`(apponly_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if known[m[1]] == nil && known[m[1]+"_count"] == nil {
			t.Errorf("%s is not exported", m[1])
		}
	}
}
