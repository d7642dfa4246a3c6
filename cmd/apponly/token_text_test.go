// SPDX-License-Identifier: MIT

package main

import (
	"path/filepath"
	"regexp"
	"testing"
)

var (
	jwtValue  = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	lifetime  = regexp.MustCompile(`"expires_in":\d+`)
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	unixTime  = regexp.MustCompile(`"(iat|nbf|exp)":\d+`)
	randomID  = regexp.MustCompile(`"(uti|rh|aio|sid)":"[^"]*"`)
)

// TestTokenText holds what scripts read, byte for byte.
func TestTokenText(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	for _, form := range tokenForms {
		status, stdout, stderr := c.run("", "token", "--scope", c.scope, "--output", form)
		if status != 0 || stderr != "" {
			t.Errorf("%s: status %d, stderr %q", form, status, stderr)
		}
		compareGolden(t, filepath.Join("testdata", "token", form+".txt"), c.settleToken(stdout))
	}
	c.env["AZURE_CLIENT_SECRET"] = "mistyped"
	status, stdout, stderr := c.run("", "token", "--scope", c.scope)
	if status != exitFailed || stdout != "" {
		t.Errorf("refused: status %d, stdout %q", status, stdout)
	}
	compareGolden(t, filepath.Join("testdata", "token", "refused.txt"), c.settleToken(stderr))
}

func TestConsentURLText(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	for name, args := range map[string][]string{
		"text": {"--redirect-url", "https://app.example/approved", "--scope", "https://graph.microsoft.com/.default"},
		"json": {"--output", "json", "--tenant", "customer.example"},
	} {
		status, stdout, stderr := c.run("", append([]string{"consent-url"}, args...)...)
		if status != 0 || stderr != "" {
			t.Errorf("%s: status %d, stderr %q", name, status, stderr)
		}
		compareGolden(t, filepath.Join("testdata", "consent-url", name+".txt"), c.settle(stdout))
	}
}

// settleToken puts what is the same each time in the place of a token, its times and what
// Entra draws at random for it.
func (c *clinic) settleToken(text string) string {
	text = jwtValue.ReplaceAllString(c.settle(text), "eyJ0.eyJ0.c2ln")
	text = lifetime.ReplaceAllString(text, `"expires_in":4200`)
	text = timestamp.ReplaceAllString(text, "2031-05-01T12:00:00Z")
	text = unixTime.ReplaceAllString(text, `"$1":1935400000`)
	return randomID.ReplaceAllString(text, `"$1":"random"`)
}
