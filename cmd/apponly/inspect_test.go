// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/internal/peek"
)

// TestInspectWhatTokenPrints pipes one command into the other.
func TestInspectWhatTokenPrints(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	for _, form := range []string{"text", "header"} {
		_, token, _ := c.run("", "token", "--scope", c.scope, "--output", form)
		signature := token[strings.LastIndexByte(token, '.')+1 : len(token)-1]
		status, stdout, stderr := c.run(token, "inspect")
		if status != 0 || stderr != "" || strings.Contains(stdout, signature) {
			t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
		}
		for _, want := range []string{"app-only      yes: ", "roles         Data.Read.All\n", "lifetime      [", " left, until ", c.sts.Tenant().ID(), "warning       Nothing of this is verified"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("no %q in\n%s", want, stdout)
			}
		}
		status, stdout, _ = c.run(token, "inspect", "--output", "json")
		var r peek.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != 0 || r.AppOnly == nil || !*r.AppOnly || r.Lifetime == nil || r.Lifetime.State != "valid" || strings.Contains(stdout, signature) {
			t.Errorf("status %d, %v in %s", status, err, stdout)
		}
	}
}

func TestInspectUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		stdin  string
		args   []string
		status int
		want   string
	}{
		"garbage":           {"all is well", nil, exitFailed, "cannot be read as a token: there is white space in it"},
		"nothing":           {"\n", nil, exitFailed, "there is no token"},
		"token as argument": {"", []string{"a.b.c"}, exitUsage, "want nothing but a token on stdin"},
		"flag":              {"", []string{"--token", "a.b.c"}, exitUsage, "unknown flag: --token"},
	} {
		status, stdout, stderr := piped(t, tt.stdin, append([]string{"inspect"}, tt.args...)...)
		if status != tt.status || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "a.b.c") {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %d and %q", name, status, stdout, stderr, tt.status, tt.want)
		}
	}
}
