// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/entratest"
)

const nextSecret = "xyz8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"

// TestProve has the next credential of each kind, good and bad.
func TestProve(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		base  string
		next  func(*clinic) (args []string)
		cause string // the check with a fault, or the one with a warning after "~"
		text  string
	}{
		"secret": {"secret", nextFile(func(c *clinic) []byte {
			c.sts.App().AddSecret(c.hide(nextSecret), c.sts.Now().Add(time.Hour))
			return []byte(nextSecret + "\n")
		}), "", ""},
		"secret, not registered": {"secret file", nextFile(func(c *clinic) []byte { return []byte(c.hide(nextSecret)) }), "token", "AADSTS7000215"},
		"secret in use":          {"secret", nextFile(func(c *clinic) []byte { return []byte(c.sts.Secret()) }), "~credential", "in use already"},
		"secret's ID":            {"secret", nextFile(func(c *clinic) []byte { return []byte(nobody) }), "token", "AADSTS7000215"},
		"no file":                {"secret", func(c *clinic) []string { return []string{"--next", c.path("nowhere")} }, "credential", "no such file"},
		"certificate": {"certificate and key", nextFile(func(c *clinic) []byte {
			return c.hideKey(c.sts.App().NewCertificate(c.sts.Now().Add(-time.Hour), c.sts.Now().Add(90*24*time.Hour)).PEM())
		}), "", ""},
		"certificate, not registered": {"certificate", nextFile(func(c *clinic) []byte {
			other := c.sts.AddTenant().NewApp().NewCertificate(c.sts.Now().Add(-time.Hour), c.sts.Now().Add(90*24*time.Hour))
			return c.hideKey(other.PEM())
		}), "token", "AADSTS700027"},
		"certificate in use": {"certificate", nextFile(func(c *clinic) []byte { return c.sts.Certificate().PEM() }), "~credential", "in use already"},
		"certificate expired": {"pfx", nextFile(func(c *clinic) []byte {
			return c.sts.App().NewCertificate(c.sts.Now().Add(-2*time.Hour), c.sts.Now().Add(-time.Hour)).PEM()
		}), "credential", "expired on"},
		"pfx": {"pfx", func(c *clinic) []string {
			c.write("next.password", []byte(c.env["AZURE_CLIENT_CERTIFICATE_PASSWORD"]))
			return []string{"--next", "client.p12", "--password-file", "next.password"}
		}, "~credential", "in use already"},
		"pfx without its password": {"pfx", func(*clinic) []string { return []string{"--next", "client.p12"} }, "credential", "no password was given"},
		"assertion":                {"federated", nextFile(func(c *clinic) []byte { return []byte(c.hide(c.assertion(entratest.Claims{}))) }), "", ""},
		"assertion of another":     {"federated", nextFile(func(c *clinic) []byte { return []byte(c.hide(c.assertion(entratest.Claims{Subject: "other"}))) }), "token", "federation_mismatch"},
		"no credential before":     {"secret", func(c *clinic) []string { c.unset("AZURE_CLIENT_SECRET"); return []string{"--next", "x"} }, "environment", "no credential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bases[tt.base](t)
			args := append([]string{"prove", "--output", "json", "--scope", c.scope}, tt.next(c)...)
			status, stdout, stderr := c.run("", args...)
			var r doctor.Report
			if err := json.Unmarshal([]byte(stdout), &r); err != nil || stderr != "" {
				t.Fatalf("%v, stdout %q, stderr %q", err, stdout, stderr)
			}
			warns, isWarning := strings.CutPrefix(tt.cause, "~")
			want := map[bool]int{true: 0, false: exitFailed}[tt.cause == "" || isWarning]
			if cause := strings.TrimPrefix(tt.cause, "~"+warns); status != want || r.Cause != cause || !strings.Contains(stdout, tt.text) {
				t.Errorf("status %d, want %d; cause %q, want %q; want %q in %s", status, want, r.Cause, cause, tt.text, stdout)
			}
			if n := strings.Count(stdout, `"status":"warning"`); want == 0 && isWarning != (n == 1) {
				t.Errorf("%d warnings: %s", n, stdout)
			}
		})
	}
}

// nextFile has a file with content as the next credential, named from where the command
// runs.
func nextFile(content func(*clinic) []byte) func(*clinic) []string {
	return func(c *clinic) []string {
		c.write("next", content(c))
		return []string{"--next", "next"}
	}
}

func TestProveUsage(t *testing.T) {
	t.Parallel()
	secret, managed := bases["secret"](t), bases["managed-identity"](t)
	for name, tt := range map[string]struct {
		clinic *clinic
		args   []string
		want   string
	}{
		"no path":              {secret, nil, "--next is required"},
		"password of a secret": {secret, []string{"--next", "x", "--password-file", "y"}, "--password-file is for a certificate"},
		"scope":                {secret, []string{"--next", "x", "--scope", "y"}, "--scope: want the resource"},
		"managed identity":     {managed, []string{"--next", "x"}, "the credential of the environment is managed-identity"},
		"argument":             {secret, []string{"x"}, "accepts 0 arg(s)"},
		"a password as a flag": {secret, []string{"--next", "x", "--password", "y"}, "unknown flag"},
	} {
		if status, stdout, stderr := tt.clinic.run("", append([]string{"prove"}, tt.args...)...); status != exitUsage || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", name, status, stdout, stderr, tt.want)
		}
	}
}

// TestProveText is what people see: the next certificate's thumbprint, and a token.
func TestProveText(t *testing.T) {
	t.Parallel()
	c := bases["certificate"](t)
	next := c.sts.App().NewCertificate(c.sts.Now().Add(-time.Hour), c.sts.Now().Add(90*24*time.Hour))
	c.write("next.pem", c.hideKey(next.PEM()))
	status, stdout, stderr := c.run("", "prove", "--next", "next.pem", "--scope", c.scope)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q\n%s", status, stderr, stdout)
	}
	compareGolden(t, "testdata/prove/certificate.txt", c.settle(stdout))
}
