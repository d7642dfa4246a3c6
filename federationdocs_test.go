// SPDX-License-Identifier: MIT

package apponly_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

const federationManual = "docs/federation.md"

// blocks returns the blocks of a language in the manual.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	found := fences(readText(t, federationManual), language)
	if len(found) < 5 {
		t.Fatalf("%s has %d blocks of %s", federationManual, len(found), language)
	}
	return found
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What it has registered Entra takes, and the issuer's tokens with it.
func TestFederationManualRegistersWhatWorks(t *testing.T) {
	s := newSTS(t)
	issuers := map[string]bool{}
	for i, block := range blocks(t, "json") {
		var c struct {
			Name, Issuer, Subject string
			Audiences             []string
		}
		d := json.NewDecoder(strings.NewReader(block))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			t.Errorf("%v in\n%s", err, block)
			continue
		}
		if len(c.Audiences) != 1 || c.Audiences[0] != cloud.Public.ExchangeAudience() || !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,119}$`).MatchString(c.Name) {
			t.Errorf("the name is %q, the audiences are %q", c.Name, c.Audiences)
		}
		s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audiences[0]})
		issuers[c.Issuer] = true
		if strings.HasPrefix(c.Issuer, cloud.Public.Authority()) {
			continue // Entra itself: no issuer of the emulator's making
		}
		name := fmt.Sprint("ASSERTION_", i)
		t.Setenv(name, s.NewIssuer(c.Issuer).Token(entratest.Claims{Subject: c.Subject, Audience: c.Audiences[0]}))
		mustToken(t, s.with(t, apponly.Federated(apponly.AssertionEnv(name))), s.API().Scope())
	}
	for _, c := range []entratest.FederatedCredential{s.NewGitHubJob("repo:o/r:pull_request").FederatedCredential(), s.NewGoogleVM().FederatedCredential()} {
		if !issuers[c.Issuer] {
			t.Errorf("%s does not name the issuer %s", federationManual, c.Issuer)
		}
	}
}

// The variables that it sets are those that FromEnv takes, with what the platform sets.
func TestFederationManualEnvironments(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), []byte("x"))
	seen := map[string]bool{}
	for i, block := range blocks(t, "sh") {
		set := variables(block)
		kind := set["APPONLY_CREDENTIAL"]
		if kind == "" {
			continue // commands
		}
		seen[kind] = true
		t.Run(fmt.Sprint(kind, " ", i), func(t *testing.T) {
			setEnv(t, "AZURE_TENANT_ID="+someTenant, "AZURE_CLIENT_ID="+someClient)
			setAll(t, set)
			setAll(t, platformSets(set, file)) // also for the path in the manual
			if e := apponly.ExplainEnv(nil); e.Err != nil || e.Credential != kind || e.Warning != "" || len(e.Ignored) > 0 {
				t.Errorf("%s\n%s", block, e)
			}
		})
	}
	for _, kind := range []string{"federated", "github-actions", "azure-pipelines", "google-metadata", "assertion-env"} {
		if !seen[kind] {
			t.Errorf("%s shows no variables for %s", federationManual, kind)
		}
	}
}

// platformSets returns what a platform adds to what the user sets. file is one that is
// there.
func platformSets(user map[string]string, file string) map[string]string {
	switch user["APPONLY_CREDENTIAL"] {
	case "github-actions":
		return map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.test/?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}
	case "azure-pipelines":
		return map[string]string{"SYSTEM_OIDCREQUESTURI": "https://pipelines.test/", "SYSTEM_ACCESSTOKEN": "x"}
	case "assertion-env":
		return map[string]string{user["APPONLY_ASSERTION_ENV"]: "x"}
	case "federated":
		set := map[string]string{"AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/"}
		if user["APPONLY_IDENTITY_BINDING"] != "" {
			set["AZURE_KUBERNETES_TOKEN_PROXY"] = "https://10.0.0.1/"
			set["AZURE_KUBERNETES_SNI_NAME"] = "proxy.test"
			set["AZURE_KUBERNETES_CA_FILE"] = file
		}
		return set
	}
	return nil
}

// variables returns those that a block sets, none if there is anything else in it.
func variables(block string) map[string]string {
	set := map[string]string{}
	for line := range strings.Lines(block) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.Contains(name, " ") {
			return nil
		}
		set[name] = value
	}
	return set
}

// The table of numbers has the kinds that the code has.
func TestFederationManualNumbers(t *testing.T) {
	_, table, _ := strings.Cut(readText(t, federationManual), "\n| Number | Kind |")
	rows := regexp.MustCompile("(?m)^\\| ([0-9, ]+) \\| \\[`(Err\\w+)`\\]\\(../TROUBLESHOOTING.md#(\\w+)\\) \\|").FindAllStringSubmatch(table, -1)
	constants := readText(t, "kind.go")
	for _, row := range rows {
		if !strings.Contains(constants, row[2]+` Kind = "`+row[3]+`"`) {
			t.Errorf("%s is not %s", row[2], row[3])
		}
		for number := range strings.SplitSeq(row[1], ", ") {
			code, _ := strconv.Atoi(number)
			if e, ok := apponly.LookupAADSTS(code); !ok || string(e.Kind) != row[3] {
				t.Errorf("AADSTS%s is %s, not %s", number, string(e.Kind), row[3])
			}
		}
	}
	if len(rows) != strings.Count(table, "[`Err") || len(rows) < 10 {
		t.Errorf("%d rows", len(rows))
	}
}
