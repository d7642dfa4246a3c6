// SPDX-License-Identifier: MIT

package apponly_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apponly/apponly"
)

// The end of an error's text is an anchor of the manual.
func TestTroubleshooting(t *testing.T) {
	b, err := os.ReadFile("TROUBLESHOOTING.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(b), "\n## ") {
		name, text, _ := strings.Cut(part, "\n")
		sections[name] = text
	}
	codes := map[apponly.Kind][]int{}
	for code := range 10_000_000 {
		if e, ok := apponly.Explain(code); ok && e.AppOnly != "no" {
			codes[e.Kind] = append(codes[e.Kind], code)
		}
	}
	for _, k := range apponly.AllKinds() {
		text, ok := sections[string(k)]
		if !ok {
			t.Errorf("no section for %s", string(k))
			continue
		}
		if !strings.HasSuffix((&apponly.Error{Kind: k}).Error(), "TROUBLESHOOTING.md#"+string(k)) {
			t.Errorf("the text of %s does not point to its section: %v", string(k), &apponly.Error{Kind: k})
		}
		if k.Group() != k && !strings.Contains(text, groupName(k.Group())) {
			t.Errorf("section %s does not name its group %s", string(k), groupName(k.Group()))
		}
		if k == apponly.ErrOther {
			continue // gathers what has no better kind
		}
		for _, code := range codes[k] {
			if !strings.Contains(text, fmt.Sprint(code)) {
				t.Errorf("section %s does not list %d", string(k), code)
			}
		}
	}
	if len(sections) != len(apponly.AllKinds())+1 {
		t.Errorf("%d sections, want one for each of %d kinds", len(sections)-1, len(apponly.AllKinds()))
	}
}

func groupName(k apponly.Kind) string {
	return "Err" + strings.ToUpper(string(k[0])) + string(k[1:])
}

func TestExplain(t *testing.T) {
	e, ok := apponly.Explain(7000222)
	if !ok || e.Code != 7000222 || e.Kind != apponly.ErrSecretExpired || e.Symbol != "InvalidClientSecretExpiredKeysProvided" ||
		e.AppOnly != "yes" || e.Remedy != apponly.ErrSecretExpired.Remedy() {
		t.Errorf("Explain(7000222) = %+v, %v", e, ok)
	}
	if e, ok := apponly.Explain(50076); !ok || e.AppOnly != "no" || e.Kind != apponly.ErrOther {
		t.Errorf("Explain(50076), a user's = %+v, %v", e, ok)
	}
	for _, code := range []int{0, -1, 7000223, 1 << 30} {
		if e, ok := apponly.Explain(code); ok {
			t.Errorf("Explain(%d) = %+v", code, e)
		}
	}
}
