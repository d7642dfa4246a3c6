// SPDX-License-Identifier: MIT

package apponly_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
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
	codes := map[apponly.Kind][]string{}
	table, err := os.ReadFile("aadsts.csv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		first, _, _ := strings.Cut(line, ",")
		code, _ := strconv.Atoi(first) // 0, which is none, for the heading
		switch e, _ := apponly.LookupAADSTS(code); e.AppOnly {
		case "yes":
			codes[e.Kind] = append(codes[e.Kind], fmt.Sprint(code))
		case "maybe":
			codes[e.Kind] = append(codes[e.Kind], fmt.Sprintf("(%d)", code))
		}
	}
	number := regexp.MustCompile(`\(?\b\d+\b\)?`)
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
		_, list, _ := strings.Cut(text, "\nAADSTS: ")
		if got := number.FindAllString(list, -1); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(codes[k]))) {
			t.Errorf("section %s lists %v, want %v", string(k), got, codes[k])
		}
	}
	if len(sections) != len(apponly.AllKinds())+1 {
		t.Errorf("%d sections, want one for each of %d kinds", len(sections)-1, len(apponly.AllKinds()))
	}
}

func groupName(k apponly.Kind) string {
	return "Err" + strings.ToUpper(string(k[0])) + string(k[1:])
}

func TestLookupAADSTS(t *testing.T) {
	e, ok := apponly.LookupAADSTS(7000222)
	if !ok || e.Code != 7000222 || e.Kind != apponly.ErrSecretExpired || e.Symbol != "InvalidClientSecretExpiredKeysProvided" ||
		e.AppOnly != "yes" || e.Remedy != apponly.ErrSecretExpired.Remedy() {
		t.Errorf("LookupAADSTS(7000222) = %+v, %v", e, ok)
	}
	if e, ok := apponly.LookupAADSTS(50076); !ok || e.AppOnly != "no" || e.Kind != apponly.ErrOther {
		t.Errorf("LookupAADSTS(50076), a user's = %+v, %v", e, ok)
	}
	for _, code := range []int{0, -1, 7000223, 1 << 30} {
		if e, ok := apponly.LookupAADSTS(code); ok {
			t.Errorf("LookupAADSTS(%d) = %+v", code, e)
		}
	}
}
