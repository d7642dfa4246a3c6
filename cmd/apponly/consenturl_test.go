// SPDX-License-Identifier: MIT

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestConsentURL opens what is printed, as an administrator would.
func TestConsentURL(t *testing.T) {
	t.Parallel()
	c := bases["secret"](t)
	const redirect = "https://app.example/approved"
	c.sts.App().AddRedirectURI(redirect)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.sts.CAPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	for _, args := range [][]string{
		{"consent-url", "--redirect-url", redirect},
		{"consent-url", "--redirect-url", redirect, "--tenant", "organizations", "--scope", c.scope, "--client-id", c.sts.App().ClientID()},
	} {
		status, stdout, stderr := c.run("", args...)
		address, one := strings.CutSuffix(stdout, "\n")
		if status != 0 || stderr != "" || !one || !strings.HasPrefix(address, c.env["AZURE_AUTHORITY_HOST"]+"/") {
			t.Fatalf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
		resp, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "<form") {
			t.Errorf("%s: status %d, %s", address, resp.StatusCode, page)
		}
	}
}

func TestConsentURLOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env    map[string]string
		args   []string
		status int
		want   string // in stdout, or in stderr
	}{
		"public cloud":   {map[string]string{"AZURE_CLIENT_ID": nobody}, nil, 0, "https://login.microsoftonline.com/organizations/adminconsent?client_id=" + nobody + "\n"},
		"another cloud":  {map[string]string{"AZURE_CLIENT_ID": nobody, "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.us", "AZURE_TENANT_ID": "contoso.us"}, nil, 0, "https://login.microsoftonline.us/contoso.us/adminconsent?"},
		"a flag wins":    {map[string]string{"AZURE_CLIENT_ID": "x", "AZURE_TENANT_ID": "y"}, []string{"--client-id", nobody, "--tenant", "a.b"}, 0, "/a.b/adminconsent?client_id=" + nobody},
		"no app":         {nil, nil, exitUsage, "--client-id is required"},
		"no such app":    {nil, []string{"--client-id", "worker"}, exitUsage, "is not a GUID"},
		"no such tenant": {map[string]string{"AZURE_CLIENT_ID": nobody}, []string{"--tenant", "../x"}, exitUsage, "tenant ID"},
		"scope alone":    {map[string]string{"AZURE_CLIENT_ID": nobody}, []string{"--scope", "api://x/.default"}, exitUsage, "--redirect-url is empty, which Entra demands where there is --scope"},
		"unknown cloud":  {map[string]string{"AZURE_CLIENT_ID": nobody, "AZURE_AUTHORITY_HOST": "https://login.test"}, nil, exitFailed, "AZURE_AUTHORITY_HOST"},
		"an argument":    {nil, []string{"x"}, exitUsage, "accepts 0 arg(s)"},
	} {
		c := &clinic{T: t, dir: t.TempDir(), env: tt.env}
		status, stdout, stderr := c.run("", append([]string{"consent-url"}, tt.args...)...)
		said, other := stdout, stderr
		if tt.status != 0 {
			said, other = stderr, stdout
		}
		if status != tt.status || !strings.Contains(said, tt.want) || other != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %d, %q", name, status, stdout, stderr, tt.status, tt.want)
		}
	}
	c := &clinic{T: t, dir: t.TempDir(), env: map[string]string{"AZURE_CLIENT_ID": nobody}}
	_, stdout, _ := c.run("", "consent-url", "-o", "json")
	var got map[string]string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got["client_id"] != nobody || got["tenant"] != "organizations" || !strings.HasPrefix(got["url"], "https://") {
		t.Errorf("%v in %q", err, stdout)
	}
}
