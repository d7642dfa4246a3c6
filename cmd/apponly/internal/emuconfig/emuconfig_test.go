// SPDX-License-Identifier: MIT

package emuconfig_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/emuconfig"
	"github.com/apponly/apponly/entratest"
)

// The IDs that the files here choose.
const (
	contosoID = "6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"
	workerID  = "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9"
)

// load loads text as a configuration, as the command does.
func load(t testing.TB, text string) error {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	for name, data := range map[string]string{"c.yaml": text, "text": "hello", "keys.json": `{"keys":[]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := emuconfig.Apply(entratest.NewServer(), path)
	return err
}

// randomID is an ID that was left to chance, of version 4; the files here choose others.
var randomID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// told is what an error says, each fault as "line: key: text", with "ID" for random
// ones.
func told(t *testing.T, err error) []string {
	t.Helper()
	errs, ok := errors.AsType[*emuconfig.Error](err)
	if !ok {
		t.Fatalf("got %v, want the faults of a configuration", err)
	}
	var lines []string
	for line := range strings.Lines(errs.Error()) {
		lines = append(lines, randomID.ReplaceAllString(strings.TrimPrefix(strings.TrimSpace(line), errs.File+":"), "ID"))
	}
	return lines
}

// maxTold and maxFile are those of the package.
const (
	maxTold = 50
	maxFile = 1 << 20
)

// valid is what the wrong ones are made of: a tenant, an app and a resource.
const valid = `tenants:
  - domains: [contoso.example]
apps:
  - name: worker
    tenant: contoso.example
resources:
  - uri: api://orders
    tenant: contoso.example
    roles: [Read, Write]
`

func TestConfigFaults(t *testing.T) {
	if err := load(t, valid); err != nil {
		t.Fatal(err)
	}
	const ten = 10 // the line behind valid
	federated := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "\n  - {issuer: 'https://i.example', subject: 's%d'}", i)
		}
		return b.String()
	}
	for name, tt := range map[string]struct {
		text string
		want []string // beginnings of "line: key: text"
	}{
		// YAML itself.
		"syntax":            {"tenants: [\napps: }\n", []string{"2: YAML: "}},
		"indentation":       {"apps:\n  - name: a\n   tenant: b\n", []string{"3: YAML: "}},
		"tab":               {"\tapps: []\n", []string{"1: YAML: "}},
		"two documents":     {"apps: []\n---\napps: []\n", []string{"2: YAML: "}},
		"unknown anchor":    {"apps: []\ntenants: *t\n", []string{"2: YAML: "}},
		"alias":             {"apps: &a []\ntenants: *a\n", []string{"2: tenants: aliases are not supported"}},
		"not a mapping":     {"- tenants\n", []string{"1: want a mapping"}},
		"key is no word":    {"? [a]\n: b\n", []string{"1: a key is not a word"}},
		"key twice":         {"apps: []\ntenants: []\napps: []\n", []string{"3: apps: is in line 1 already"}},
		"control character": {"apps: \x01\n", []string{"1: YAML: "}},
		"control further":   {"apps: []\n\n# caf\x01 au lait\n", []string{"3: YAML: "}},
		"NUL":               {"apps: []\n\n# caf\x00 au lait\n", []string{"3: YAML: "}},
		"Latin-1":           {"apps: []\n\n# caf\xe9 au lait\n", []string{"3: YAML: "}},

		// Keys.
		"unknown key":             {"tenant: []\n", []string{"1: tenant: unknown key, did you mean tenants?"}},
		"unknown key inside":      {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - value: x\n        notafter: 1h\n", []string{"6: apps[0].secrets[0].notafter: unknown key, did you mean not_after?"}},
		"nothing like it":         {"zebra: 1\n", []string{"1: zebra: unknown key, want one of apps, arm, clock_offset,"}},
		"merge key":               {"<<: {apps: []}\n", []string{"1: <<: unknown key"}},
		"keys with controls":      {`"a\eb\x7f": 1` + "\n", []string{"1: a?b?: unknown key"}},
		"a key as long as a page": {strings.Repeat("k", 5000) + ": 1\n", []string{"1: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…: unknown key"}},

		// Types.
		"mapping for a list":   {"apps:\n  name: a\n", []string{"1: apps: want a list"}},
		"scalar for a list":    {"apps: 3\n", []string{"1: apps: want a list"}},
		"scalar for a mapping": {"apps:\n  - worker\n", []string{"2: apps[0]: want a mapping"}},
		"list for a scalar":    {"token_lifetime: [1h]\n", []string{"1: token_lifetime: want a single value"}},
		"nothing for a list":   {"faults: []\napps:\n", []string{"2: apps: there is nothing: want a list"}},
		"number for text":      {valid + "grants:\n  - app: 7\n    resource: api://orders\n    roles: [Read]\n", []string{"11: grants[0].app: want text"}},
		"empty text":           {"apps:\n  - name: ''\n    tenant: demo\n", []string{"2: apps[0].name: want text that is not empty"}},
		"text for a bool":      {"tenants:\n  - domains: [a.example]\n    disabled: 'yes'\n", []string{"3: tenants[0].disabled: want true or false"}},
		"fraction for a count": {"faults:\n  - times: 1.5\n    status: 500\n", []string{"2: faults[0].times: want a whole number, 0 or more"}},
		"negative count":       {"faults:\n  - times: -1\n    status: 500\n", []string{"2: faults[0].times: want a whole number, 0 or more"}},
		"probability":          {"faults:\n  - probability: 1.5\n    status: 500\n", []string{"2: faults[0].probability: want a number over 0, up to 1"}},
		"not a number":         {"faults:\n  - probability: .nan\n    status: 500\n", []string{"2: faults[0].probability: want a number over 0, up to 1"}},

		// Values.
		"duration without unit": {"token_lifetime: 60\n", []string{"1: token_lifetime: want a duration such as"}},
		"duration too short":    {"refresh_in: 0s\n", []string{"1: refresh_in: want a duration of 1s or more"}},
		"negative duration":     {"propagation: -1s\n", []string{"1: propagation: want a duration of 0s or more"}},
		"enormous duration":     {"clock_offset: 2000000h\n", []string{"1: clock_offset: want a duration of 876000h0m0s at most"}},
		"date":                  {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - value: x\n        not_after: 2026-13-01\n", []string{"6: apps[0].secrets[0].not_after: want a date such as"}},
		"date before date":      {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - value: x\n        not_before: 2h\n        not_after: 1h\n", []string{"7: apps[0].secrets[0].not_after: is not after not_before"}},
		"GUID":                  {"tenants:\n  - id: 6f1d2a34\n", []string{"2: tenants[0].id: want a GUID"}},
		"domain":                {"tenants:\n  - domains: [ok.example, contoso]\n", []string{"2: tenants[0].domains[1]: want a domain name"}},
		"URI":                   {"resources:\n  - uri: orders\n    tenant: demo\n", []string{"2: resources[0].uri: want a URI"}},
		"issuer over http":      {"issuers:\n  - url: http://i.example\n    jwks: keys.json\n", []string{"2: issuers[0].url: want the https URL"}},
		"token version":         {"resources:\n  - uri: api://a\n    tenant: demo\n    token_version: 3\n", []string{"4: resources[0].token_version: is 3, want 1 or 2"}},
		"long subject":          {"apps:\n  - name: a\n    tenant: demo\n    federated:\n      - issuer: demo\n        subject: " + strings.Repeat("s", 601) + "\n", []string{"6: apps[0].federated[0].subject: has 601 characters, want 1 to 600"}},
		"long, not too long":    {"apps:\n  - name: a\n    tenant: demo\n    federated:\n      - issuer: demo\n        subject: " + strings.Repeat("ü", 600) + "\n", nil},
		"long issuer":           {"issuers:\n  - url: https://i.example/" + strings.Repeat("s", 600) + "\n    jwks: keys.json\n", []string{"2: issuers[0].url: want the https URL of an issuer, of 600 characters at most"}},
		"throttle of none":      {"throttle:\n  requests: 0\n  per: 1m\n", []string{"2: throttle.requests: is 0, want 1 or more"}},
		"throttle of fewer":     {"throttle:\n  requests: -1\n  per: 1m\n", []string{"2: throttle.requests: want a whole number"}},
		"hexadecimal count":     {"throttle:\n  requests: 0x10\n  per: 1m\n", []string{"2: throttle.requests: want a whole number"}},
		"throttle for long":     {"throttle:\n  requests: 1\n  per: 1m\n  retry_after: 2h\n", []string{"4: throttle.retry_after: want a duration of 1h0m0s at most"}},

		// What is missing.
		"nameless tenant":  {"tenants:\n  - disabled: true\n", []string{"2: tenants[0]: want an id or domains"}},
		"app":              {"apps:\n  - client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9\n", []string{"2: apps[0].name: is missing", "2: apps[0].tenant: is missing"}},
		"secret":           {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - not_after: 1h\n", []string{"5: apps[0].secrets[0].value: is missing"}},
		"resource":         {"resources:\n  - roles: [Read]\n", []string{"2: resources[0].uri: is missing", "2: resources[0].tenant: is missing"}},
		"issuer":           {"issuers:\n  - url: https://i.example\n", []string{"2: issuers[0].jwks: is missing"}},
		"grant":            {"grants:\n  - app: demo\n", []string{"2: grants[0].resource: is missing", "2: grants[0].roles: is missing"}},
		"throttle":         {"throttle:\n  requests: 3\n", []string{"1: throttle.per: is missing"}},
		"install":          {"installs:\n  - tenants: [demo]\n", []string{"2: installs[0]: want an app or a resource"}},
		"secret of a bool": {"tenants:\n  - domains: [a.example]\n    disabled: !!bool hunter2\n", []string{"3: tenants[0].disabled: want true or false"}},
		"empty GUID":       {"tenants:\n  - id: 00000000-0000-0000-0000-000000000000\n", []string{"2: tenants[0].id: want a GUID, not the empty one"}},
		"endpoint":         {"faults:\n  - status: 503\n    endpoint: tokens\n", []string{`3: faults[0].endpoint: "tokens" is unknown`}},
		"code":             {"faults:\n  - endpoint: token\n    code: 1234567\n", []string{"3: faults[0].code: 1234567 is not"}},
		"status":           {"faults:\n  - endpoint: token\n    times: 1\n    status: 42\n", []string{"4: faults[0].status: is 42"}},
		"connection":       {"faults:\n  - times: 1\n    connection: hangs\n", []string{`3: faults[0].connection: "hangs" is unknown`}},
		"fault's key":      {"faults:\n  - statsu: 503\n", []string{"2: faults[0].statsu: unknown key, did you mean status?"}},
		"faults in a line": {"faults:\n  - {times: x, status: y, code: z}\n", []string{"2: faults[0].times: want a whole number", "2: faults[0].status: want a whole number", "2: faults[0].code: want a whole number"}},
		"fault's mapping":  {"faults:\n  - 503\n", []string{"2: faults[0]: want a mapping"}},
		"never good":       {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - value: x\n        not_before: 2999-01-01\n", []string{"6: apps[0].secrets[0].not_before: is not before the end"}},
		"never good again": {"apps:\n  - name: a\n    tenant: demo\n    secrets:\n      - value: x\n        not_before: 24h\n        not_after: 2020-01-01\n", []string{"7: apps[0].secrets[0].not_after: is not after not_before"}},
		"slash":            {"resources:\n  - {uri: 'https://a.example', tenant: demo}\n  - {uri: 'https://a.example/', tenant: demo}\n", []string{`3: resources[1].uri: "https://a.example" is taken in line 2`}},
		"fault of nothing": {"faults:\n  - endpoint: token\n", []string{"2: faults[0]: "}},

		// What is there twice.
		"tenant domain":       {"tenants:\n  - domains: [a.example]\n  - domains: [A.example]\n", []string{`3: tenants[1].domains[0]: "a.example" is taken in line 2`}},
		"tenant ID":           {"tenants:\n  - id: 6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6\n  - id: 6F1D2A34-5b6c-4d7e-8f90-a1b2c3d4e5f6\n", []string{"3: tenants[1].id: "}},
		"app names":           {"apps:\n  - {name: a, tenant: demo}\n  - {name: a, tenant: demo}\n", []string{`3: apps[1].name: "a" is taken in line 2`}},
		"app called demo":     {"apps:\n  - {name: demo, tenant: demo}\n", []string{`2: apps[0].name: "demo" is the emulator's own`}},
		"client ID":           {"apps:\n  - {name: a, tenant: demo, client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n  - {name: b, tenant: demo, client_id: 0A1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n", []string{`3: apps[1].client_id: "ID" is taken in line 2`}},
		"app ID":              {"resources:\n  - {uri: 'api://a', tenant: demo, app_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n  - {uri: 'api://b', tenant: demo, app_id: 0A1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n", []string{`3: resources[1]: app ID "ID" is taken`}},
		"app and API":         {"apps:\n  - {name: a, tenant: demo, client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\nresources:\n  - {uri: 'api://a', tenant: demo, app_id: 0A1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n", nil},
		"app and two APIs":    {"apps:\n  - {name: a, tenant: demo, client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\nresources:\n  - {uri: 'api://a', tenant: demo, app_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n  - {uri: 'api://b', tenant: demo, app_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n", []string{"5: resources[1]: ID is an API already"}},
		"app, API there":      {"tenants: [{domains: [a.example]}]\napps:\n  - {name: a, tenant: demo, multi_tenant: false, client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\nresources:\n  - {uri: 'api://a', tenant: a.example, multi_tenant: true, app_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\n", []string{"5: resources[0].tenant: is not the tenant of the app with this ID, in line 3", "5: resources[0].multi_tenant: is not as for the app with this ID, in line 3"}},
		"resource URI":        {"resources:\n  - {uri: 'api://a', tenant: demo}\n  - {uri: 'api://a', tenant: demo}\n", []string{`3: resources[1].uri: "api://a" is taken in line 2`}},
		"role":                {"resources:\n  - {uri: 'api://a', tenant: demo, roles: [Read, Write, Read]}\n", []string{`2: resources[0].roles[2]: "Read" is there twice`}},
		"issuers":             {"issuers:\n  - {url: 'https://i.example', jwks: text}\n  - {url: 'https://i.example', jwks: text}\n", []string{`2: issuers[0].jwks: keys of issuer "https://i.example": not a JSON Web Key Set`, `3: issuers[1].url: "https://i.example" is taken in line 2`, `3: issuers[1].jwks: keys of issuer "https://i.example": not a JSON Web Key Set`}},
		"federated":           {"apps:\n  - name: a\n    tenant: demo\n    federated:\n      - {issuer: demo, subject: s}\n      - {issuer: demo, subject: s, audience: x}\n", []string{`6: apps[0].federated[1]: app ID has a federated credential with issuer "https://oidc.cluster.test/ID/" and subject "s" already`}},
		"federated, the same": {"apps:\n  - name: a\n    tenant: demo\n    federated:\n      - {issuer: demo, subject: s}\n      - {subject: s, issuer: demo}\n", []string{"6: apps[0].federated[1]: is the one in line 5"}},
		"21 are too many":     {"apps:\n- name: a\n  tenant: demo\n  federated:" + federated(21) + "\n", []string{"25: apps[0].federated[20]: app ID has 20 federated credentials, Entra takes no more"}},
		"20 are not":          {"apps:\n- name: a\n  tenant: demo\n  federated:" + federated(20) + "\n", nil},
		"demo issuer":         {"issuers:\n  - {url: demo, jwks: keys.json}\n", []string{`2: issuers[0].url: "demo" is the emulator's own`}},
		"grant of a role":     {valid + "grants:\n  - app: worker\n    resource: api://orders\n    roles: [Read, Read]\n", []string{`13: grants[0].roles[1]: "Read" is there twice`}},
		"install and both":    {"installs:\n  - {app: demo, resource: demo, tenants: [demo]}\n", []string{"2: installs[0]: want an app or a resource, one of them"}},

		// What refers to nothing.
		"tenant of an app":      {"apps:\n  - name: a\n    tenant: contoso.example\n", []string{`3: apps[0].tenant: there is no tenant "contoso.example"`}},
		"tenant of a resource":  {"resources:\n  - uri: api://a\n    tenant: nobody\n", []string{`3: resources[0].tenant: there is no tenant "nobody"`}},
		"app of a grant":        {valid + "grants:\n  - app: werker\n    resource: api://orders\n    roles: [Read]\n", []string{`11: grants[0].app: there is no app "werker"`}},
		"resource of a grant":   {valid + "grants:\n  - app: worker\n    resource: api://Orders\n    roles: [Read]\n", []string{`12: grants[0].resource: there is no resource "api://Orders"`}},
		"grant on Graph":        {valid + "grants:\n  - {app: worker, resource: 'https://graph.microsoft.com', roles: [User.Read.All]}\n  - {app: worker, resource: 797f4846-ba00-4fd7-ba43-dac1f8f63013, roles: [X]}\n", nil},
		"tenant of a grant":     {valid + "grants:\n  - app: worker\n    resource: api://orders\n    tenant: x\n    roles: [Read]\n", []string{`13: grants[0].tenant: there is no tenant "x"`}},
		"role of a grant":       {valid + "grants:\n  - app: worker\n    resource: api://orders\n    roles: [Read, Delete]\n", []string{`13: grants[0].roles[1]: the resource api://orders defines no role "Delete"`}},
		"role of the demo API":  {"grants:\n  - app: demo\n    resource: demo\n    roles: [Data.Delete.All]\n", []string{`4: grants[0].roles[0]: the resource demo defines no role`}},
		"app elsewhere":         {valid + "grants:\n  - app: worker\n    resource: demo\n    tenant: demo\n    roles: [Data.Read.All]\n", []string{"13: grants[0].tenant: the app worker has no service principal in the tenant demo: see installs"}},
		"resource elsewhere":    {valid + "grants:\n  - app: worker\n    resource: demo\n    roles: [Data.Read.All]\n", []string{"11: grants[0]: the resource demo has no service principal in the tenant contoso.example: see installs"}},
		"app of an install":     {"installs:\n  - app: nobody\n    tenants: [demo]\n", []string{`2: installs[0].app: there is no app "nobody"`}},
		"tenant of an install":  {"installs:\n  - app: demo\n    tenants: [demo, nobody]\n", []string{`3: installs[0].tenants[1]: there is no tenant "nobody"`}},
		"single-tenant install": {"tenants:\n  - domains: [a.example]\napps:\n  - name: a\n    tenant: a.example\n    multi_tenant: false\ninstalls:\n  - app: a\n    tenants: [a.example, demo]\n", []string{"9: installs[0].tenants[1]: it is for its own tenant alone: multi_tenant is false in line 6"}},
		"name in capitals":      {valid + "installs:\n  - app: WORKER\n    tenants: [demo]\n", []string{`11: installs[0].app: there is no app "WORKER"`}},
		"IDs, domains in them":  {"tenants:\n  - domains: [a.example]\napps:\n  - {name: a, tenant: A.EXAMPLE, client_id: 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9}\ninstalls:\n  - {app: 0A1B2C3D-4E5F-4061-8273-94A5B6C7D8E9, tenants: [demo]}\n", nil},
		"tenant of a fault":     {"faults:\n  - {status: 500, tenant: a.example}\n", []string{`2: faults[0].tenant: there is no tenant "a.example"`}},
		"client of a fault":     {"faults:\n  - {status: 500, client_id: nobody}\n", []string{`2: faults[0].client_id: there is no app "nobody"`}},
		"certificate file":      {"apps:\n  - name: a\n    tenant: demo\n    certificates:\n      - file: nothing.pem\n", []string{"5: apps[0].certificates[0].file: open "}},
		"not a certificate":     {"apps:\n  - name: a\n    tenant: demo\n    certificates:\n      - file: text\n", []string{"5: apps[0].certificates[0].file: the file holds no certificate"}},
		"not a key set":         {"issuers:\n  - url: https://i.example\n    jwks: text\n", []string{`3: issuers[0].jwks: keys of issuer "https://i.example": not a JSON Web Key Set`}},
		"a key set of none":     {"issuers:\n  - url: https://i.example\n    jwks: keys.json\n", []string{"3: issuers[0].jwks: "}},

		// What admin consent goes by.
		"redirect over http":      {"apps:\n  - name: a\n    tenant: demo\n    redirect_uris: ['https://a.example/cb', 'http://a.example/cb']\n", []string{"4: apps[0].redirect_uris[1]: the redirect URI is neither https nor http on a loopback address"}},
		"redirect that is a path": {"apps:\n  - name: a\n    tenant: demo\n    redirect_uris: [/cb]\n", []string{"4: apps[0].redirect_uris[0]: the redirect URI is not an absolute URL"}},
		"long redirect":           {"apps:\n  - name: a\n    tenant: demo\n    redirect_uris: ['https://a.example/" + strings.Repeat("x", 256) + "']\n", []string{"4: apps[0].redirect_uris[0]: the redirect URI has 274 characters, want 256 at most"}},
		"redirect twice":          {"apps:\n  - name: a\n    tenant: demo\n    redirect_uris: ['https://a.example/', 'https://a.example/']\n", []string{`4: apps[0].redirect_uris[1]: "https://a.example/" is there twice`}},
		"redirects no list":       {"apps:\n  - name: a\n    tenant: demo\n    redirect_uris: https://a.example/\n", []string{"4: apps[0].redirect_uris: want a list"}},
		"required of nothing":     {"apps:\n  - name: a\n    tenant: demo\n    requires: [{roles: [Read]}]\n", []string{"4: apps[0].requires[0].resource: is missing"}},
		"required, but what":      {"apps:\n  - name: a\n    tenant: demo\n    requires: [{resource: demo}]\n", []string{"4: apps[0].requires[0].roles: is missing"}},
		"required, but nothing":   {"apps:\n  - name: a\n    tenant: demo\n    requires: [{resource: demo, roles: []}]\n", []string{"4: apps[0].requires[0]: no role is required"}},
		"required of nobody":      {"apps:\n  - name: a\n    tenant: demo\n    requires: [{resource: 'api://x', roles: [Read]}]\n", []string{`4: apps[0].requires[0].resource: there is no resource "api://x"`}},
		"required role":           {"apps:\n  - name: a\n    tenant: demo\n    requires: [{resource: demo, roles: [Data.Read.All, Reed]}]\n", []string{`4: apps[0].requires[0].roles[1]: the resource demo defines no role "Reed"`}},
		"required role, twice":    {"apps:\n  - name: a\n    tenant: demo\n    requires: [{resource: demo, roles: [Data.Read.All, Data.Read.All]}]\n", []string{`4: apps[0].requires[0].roles[1]: "Data.Read.All" is there twice`}},
		"required, and misspelt":  {"apps:\n  - name: a\n    tenant: demo\n    requires: [{ressource: demo, roles: [Data.Read.All]}]\n", []string{"4: apps[0].requires[0].ressource: unknown key, did you mean resource?", "4: apps[0].requires[0].resource: is missing"}},
		"required before it is":   {"apps:\n  - {name: a, tenant: demo, requires: [{resource: 'api://a/', roles: [R]}]}\nresources:\n  - {uri: 'api://a', tenant: demo, roles: [R]}\n", nil},

		// All at once, in the order of the file, and one fault as one.
		"several": {
			valid + "token_lifetme: 1h\ngrants:\n  - app: worker\n    resource: api://orders\n    roles: [Reed]\nrefresh_in: soon\ntenantz: []\n",
			[]string{
				fmt.Sprint(ten) + ": token_lifetme: unknown key, did you mean token_lifetime?",
				`14: grants[0].roles[0]: the resource api://orders defines no role "Reed"`,
				"15: refresh_in: want a duration",
				"16: tenantz: unknown key, did you mean tenants?",
			},
		},
		"bad values refer to nothing": {"tenants:\n  - id: x\napps:\n  - name: 1\n    tenant: 2\ngrants:\n  - app: 3\n    resource: 4\n    roles: [5, 6]\n", []string{
			"2: tenants[0].id: want a GUID", "4: apps[0].name: want text", "5: apps[0].tenant: want text",
			"7: grants[0].app: want text", "8: grants[0].resource: want text", "9: grants[0].roles[0]: want text", "9: grants[0].roles[1]: want text",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, tt.text)
			if tt.want == nil {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			got := told(t, err)
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// A fault may be for who is not there.
func TestConfigFaultOfOthers(t *testing.T) {
	const other = "6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"
	for _, text := range []string{"tenant: common", "tenant: " + other, "client_id: " + other} {
		if err := load(t, "faults:\n  - {status: 503, "+text+"}\n"); err != nil {
			t.Error(err)
		}
	}
}

// A file of another kind is wrong in every line, which nobody wants to read.
func TestConfigTellsSomeFaults(t *testing.T) {
	var b strings.Builder
	for i := range 90 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	lines := strings.Split(load(t, b.String()).Error(), "\n")
	if last := lines[len(lines)-1]; len(lines) != maxTold+1 || !strings.HasSuffix(last, ": and 40 more") {
		t.Errorf("%d lines, the last one %q", len(lines), last)
	}
}

// A Retry-After is sent as it is written, whatever YAML takes it for.
func TestRetryAfter(t *testing.T) {
	for _, text := range []string{"30", "010", "0x1E", "1.50", "2030-01-31", "soon", "'30'"} {
		got := faultsOf(t, configured(t, "faults: [{status: 503, retry_after: "+text+"}]\n"))
		if len(got) != 1 || got[0].RetryAfter != strings.Trim(text, "'") {
			t.Errorf("%s: faults %+v", text, got)
		}
	}
}

// A value in the wrong place is not printed: it may be a secret.
func TestConfigKeepsSecrets(t *testing.T) {
	const secret = "hunter2~hunter2"
	text := "tenants:\n  - id: S\n    domains: [S S]\napps:\n  - name: a\n    tenant: demo\n    redirect_uris: [S]\n    client_id: S\n    disabled: S\n    secrets:\n      - value: [S]\n        not_after: S\ntoken_lifetime: S\nfaults:\n  - status: S\n"
	err := load(t, strings.ReplaceAll(text, "S", secret))
	if got := told(t, err); len(got) != 9 {
		t.Errorf("%d faults, want 9: %q", len(got), got)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the secret is in\n%v", err)
	}
}

func TestEmptyConfig(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n", "null\n", "{}\n"} {
		if err := load(t, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := load(t, strings.Repeat("#", maxFile+1)); err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("a huge file: %v", err)
	}
}

// configured is an emulator that a configuration has been applied to.
func configured(t *testing.T, text string) *entratest.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sts := entratest.NewServer()
	if _, err := emuconfig.Apply(sts, path); err != nil {
		t.Fatal(err)
	}
	return sts
}

// faultsOf are the faults of an emulator, as its admin path tells them.
func faultsOf(t *testing.T, sts *entratest.Server) []entratest.Fault {
	t.Helper()
	resp, err := sts.HTTPClient().Get(sts.Cloud().Authority() + "/_emulator/faults")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var active []struct{ Fault entratest.Fault }
	if err := json.NewDecoder(resp.Body).Decode(&active); err != nil {
		t.Fatal(err)
	}
	var faults []entratest.Fault
	for _, a := range active {
		faults = append(faults, a.Fault)
	}
	return faults
}

// TestConfiguredDefaults says no more than has to be said of an app and an API
// that another tenant uses, too.
func TestDefaults(t *testing.T) {
	sts := configured(t, fmt.Sprintf(`
tenants: [{domains: [contoso.example]}]
apps: [{name: worker, client_id: %s, tenant: contoso.example, secrets: [{value: s}]}]
resources: [{uri: 'api://orders', tenant: contoso.example}]
installs: [{app: worker, tenants: [demo]}, {resource: 'api://orders', tenants: [demo]}]
`, workerID))
	resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {workerID},
		"client_secret": {"s"},
		"scope":         {"api://orders/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("got %s %s, %v", resp.Status, body, err)
	}
}

// TestConfiguredSecretWithTheClockSet sets the clock of a running emulator back, for
// a client whose clock is ahead.
func TestSecretWithTheClockSet(t *testing.T) {
	sts := configured(t, propagating("0s"))
	for _, offset := range []time.Duration{0, -time.Hour, 364 * 24 * time.Hour} {
		sts.SetClockOffset(offset)
		resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
			"grant_type":    {"client_credentials"},
			"client_id":     {workerID},
			"client_secret": {"s"},
			"scope":         {sts.API().Scope()},
		})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("clock off by %v: the secret is answered %s", offset, resp.Status)
		}
	}
}

// TestConfiguredFault guards that every key ends in its field, and that names
// become the IDs which requests carry.
func TestFault(t *testing.T) {
	sts := configured(t, fmt.Sprintf(`
tenants: [{id: %s, domains: [contoso.example]}]
apps: [{name: worker, client_id: %s, tenant: contoso.example}]
faults:
  - {endpoint: token, tenant: contoso.example, client_id: worker, times: 2, probability: 0.5, delay: 250ms, status: 503, retry_after: 30}
  - {tenant: %s, client_id: %s, code: 7000222}
  - {tenant: demo, client_id: demo, connection: reset}
`, contosoID, workerID, contosoID, workerID))
	want := []entratest.Fault{
		{Endpoint: "token", Tenant: contosoID, ClientID: workerID, Times: 2, Probability: 0.5, Delay: 250 * time.Millisecond, Status: 503, RetryAfter: "30"},
		{Tenant: contosoID, ClientID: workerID, Code: 7000222},
		{Tenant: sts.Tenant().ID(), ClientID: sts.App().ClientID(), Connection: "reset"},
	}
	if got := faultsOf(t, sts); !slices.Equal(got, want) {
		t.Errorf("faults\n%+v\nwant\n%+v", got, want)
	}
}

// TestAppThatIsItsAPI gets an app a token for itself.
func TestAppThatIsItsAPI(t *testing.T) {
	sts := configured(t, fmt.Sprintf(`
tenants: [{domains: [contoso.example]}]
apps: [{name: worker, client_id: %s, tenant: contoso.example, secrets: [{value: s}]}]
resources: [{uri: 'api://worker', app_id: %s, tenant: contoso.example, roles: [Run]}]
grants: [{app: worker, resource: 'api://worker', roles: [Run]}]
`, workerID, workerID))
	resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint("contoso.example"), url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {workerID},
		"client_secret": {"s"},
		"scope":         {"api://worker/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("got %s %s, %v", resp.Status, body, err)
	}
}

// propagating is an app that arrives so long after it was made.
func propagating(d string) string {
	return fmt.Sprintf("propagation: %s\napps:\n  - {name: a, client_id: %s, tenant: demo, secrets: [{value: s}]}\n", d, workerID)
}

func FuzzApply(f *testing.F) {
	example, err := os.ReadFile("../../testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add(valid)
	for _, s := range []string{"", "a: &x [*x]\n", "- - -\n", "? {a: b}\n: c\n", "<<: {apps: []}\n", "apps: !!binary zzz\n", "faults: [{status: 0x1f}]\n"} {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := emuconfig.Apply(entratest.NewServer(), path) // which must not panic
		if err == nil || len(text) > maxFile {
			return
		}
		errs, ok := errors.AsType[*emuconfig.Error](err)
		if !ok {
			t.Fatal(err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 2
		for _, f := range errs.Faults {
			if f.Line < 0 || f.Line > lines || strings.Contains(f.Key+f.Text, "\n") {
				t.Errorf("line %d of %d: %s: %s", f.Line, lines, f.Key, f.Text)
			}
		}
	})
}
