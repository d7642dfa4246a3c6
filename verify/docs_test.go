// SPDX-License-Identifier: MIT

package verify_test

import (
	"fmt"
	"os"
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

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
