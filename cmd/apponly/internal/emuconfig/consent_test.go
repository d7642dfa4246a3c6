// SPDX-License-Identifier: MIT

package emuconfig_test

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
)

// TestConfiguredConsent opens the page of an app that a file has made ready for it.
func TestConfiguredConsent(t *testing.T) {
	sts := configured(t, fmt.Sprintf(`
tenants: [{id: %s, domains: [contoso.example]}]
apps:
  - name: worker
    tenant: contoso.example
    client_id: %s
    redirect_uris: ['https://app.example/a', 'http://localhost:8080/b']
    requires:
      - {resource: 'api://orders', roles: [Write, Read]}
      - {resource: demo, roles: [Data.Write.All]}
resources: [{uri: 'api://orders', tenant: contoso.example, roles: [Read, Write, Delete]}]
installs: [{resource: demo, tenants: [contoso.example]}]
`, contosoID, workerID))
	for redirect, want := range map[string]string{
		"https://app.example/a":   "<strong>Write</strong> on api://orders</li>\n<li><strong>Read</strong> on api://orders</li>\n<li><strong>Data.Write.All</strong>",
		"http://localhost:8080/b": "<dd>localhost:8080</dd>",
		"http://localhost:8080/c": "AADSTS50011",
	} {
		resp, err := sts.HTTPClient().Get(sts.Cloud().Authority() + "/contoso.example/adminconsent?" + url.Values{"client_id": {workerID}, "redirect_uri": {redirect}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(page), want) || strings.Contains(string(page), "Delete") {
			t.Errorf("%s: %v\n%s", redirect, err, page)
		}
	}
}
