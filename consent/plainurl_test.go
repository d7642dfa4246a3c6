// SPDX-License-Identifier: MIT

package consent_test

import (
	"strings"
	"testing"

	"github.com/apponly/apponly/consent"
)

func TestPlainURL(t *testing.T) {
	for name, tt := range map[string]struct {
		config       consent.Config
		tenant, want string
		fault        string
	}{
		"all that is needed": {consent.Config{ClientID: app}, customer, "https://login.microsoftonline.com/" + customer + "/adminconsent?client_id=" + app, ""},
		"whose tenant it is": {consent.Config{ClientID: strings.ToUpper(app)}, "organizations", "https://login.microsoftonline.com/organizations/adminconsent?client_id=" + app, ""},
		"with a scope": {consent.Config{ClientID: app, RedirectURL: redirect, Scope: scope}, "Contoso.com",
			"https://login.microsoftonline.com/contoso.com/v2.0/adminconsent?client_id=" + app + "&redirect_uri=https%3A%2F%2Fapp.example%2Fconsent%2Fcallback&scope=", ""},
		"a scope without a redirect": {consent.Config{ClientID: app, Scope: scope}, customer, "", "RedirectURL is empty, which Entra demands"},
		"everything wrong":           {consent.Config{RedirectURL: "http://a.test", Scope: "x"}, customer, "", "client ID is empty"},
		"no tenant":                  {consent.Config{ClientID: app}, "", "", "tenant ID is empty"},
	} {
		got, err := tt.config.PlainURL(tt.tenant)
		if !strings.HasPrefix(got, tt.want) || (err != nil) != (tt.fault != "") || err != nil && (got != "" || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: got %q, %v; want %q, %q", name, got, err, tt.want, tt.fault)
		}
	}
}
