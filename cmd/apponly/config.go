// SPDX-License-Identifier: MIT

package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
)

// demoName refers to the emulator's own tenant, app, API or issuer.
const demoName = "demo"

// A config is what a file adds to the demo. testdata/example.yaml shows all of it.
type config struct {
	errs *configErrors
	dir  string // of the file: paths in it are relative to it

	tenants   []*tenantConfig
	apps      []*appConfig
	resources []*resourceConfig
	issuers   []*issuerConfig
	installs  []*installConfig
	grants    []*grantConfig
	faults    []*faultConfig
	throttle  *throttleConfig

	tokenLifetime, refreshIn, clockOffset, propagation scalar[time.Duration]
}

type tenantConfig struct {
	at
	id       scalar[string]
	domains  []scalar[string]
	disabled scalar[bool]

	live *entratest.Tenant
}

type appConfig struct {
	at
	name, clientID, tenant scalar[string]
	multiTenant, disabled  scalar[bool]
	secrets                []*secretConfig
	certificates           []*certificateConfig
	federated              []*federatedConfig

	home *tenantConfig
	in   map[*tenantConfig]bool
	live *entratest.App
}

type secretConfig struct {
	at
	value               scalar[string]
	notBefore, notAfter scalar[date]
}

type certificateConfig struct {
	at
	file scalar[string]

	cert *x509.Certificate
}

type federatedConfig struct {
	at
	issuer, subject, audience scalar[string]
}

type resourceConfig struct {
	at
	uri, appID, tenant              scalar[string]
	roles                           []scalar[string]
	tokenVersion                    scalar[int]
	multiTenant, assignmentRequired scalar[bool]

	home *tenantConfig
	in   map[*tenantConfig]bool
	live *entratest.Resource
}

type issuerConfig struct {
	at
	url, jwks scalar[string]

	keys []byte
}

type installConfig struct {
	at
	app, resource scalar[string]
	tenants       []scalar[string]

	who   *appConfig
	what  *resourceConfig
	where []*tenantConfig
}

type grantConfig struct {
	at
	app, resource, tenant scalar[string]
	roles                 []scalar[string]

	who   *appConfig
	what  *resourceConfig
	where *tenantConfig
}

// A faultConfig is the JSON of an entratest.Fault, by key, but for what it
// calls tenants and apps.
type faultConfig struct {
	at
	keys             map[string]plain
	tenant, clientID scalar[string]

	who   *appConfig
	where *tenantConfig
}

type throttleConfig struct {
	at
	requests        scalar[int]
	per, retryAfter scalar[time.Duration]
}

// maxFile bounds a configuration and the files it names; a thousand tenants are
// a tenth of it.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return data, err
}

// loadConfig reads a file and checks all that can be checked before it is
// applied. Its error names every fault with line and key.
func loadConfig(path string, sts *entratest.Server) (*config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	c := parseConfig(path, data)
	c.check(newNames(sts))
	c.readFiles()
	if err := c.errs.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

// parseConfig reads the shape of a configuration.
func parseConfig(path string, data []byte) *config {
	c := &config{errs: &configErrors{file: path}, dir: filepath.Dir(path)}
	root, ok := parseYAML(data, c.errs)
	if !ok {
		return c
	}
	root.object(fields{
		"tenants":   objects(&c.tenants, parseTenant),
		"apps":      objects(&c.apps, parseApp),
		"resources": objects(&c.resources, parseResource),
		"issuers":   objects(&c.issuers, parseIssuer),
		"installs":  objects(&c.installs, parseInstall),
		"grants":    objects(&c.grants, parseGrant),
		"faults":    objects(&c.faults, parseFault),
		"throttle": func(v node) {
			c.throttle = &throttleConfig{at: v.at}
			v.object(fields{
				"requests":    into(&c.throttle.requests, asCount),
				"per":         into(&c.throttle.per, between(time.Millisecond, forever)),
				"retry_after": into(&c.throttle.retryAfter, between(time.Second, time.Hour)),
			}, "requests", "per")
		},
		"token_lifetime": into(&c.tokenLifetime, between(time.Second, forever)),
		"refresh_in":     into(&c.refreshIn, between(time.Second, forever)),
		"clock_offset":   into(&c.clockOffset, between(-forever, forever)),
		"propagation":    into(&c.propagation, between(0, forever)),
	})
	return c
}

func parseTenant(v node, t *tenantConfig) {
	t.at = v.at
	v.object(fields{
		"id":       into(&t.id, asGUID),
		"domains":  each(&t.domains, asDomain),
		"disabled": into(&t.disabled, asBool),
	})
}

func parseApp(v node, a *appConfig) {
	a.at = v.at
	v.object(fields{
		"name":         into(&a.name, asText),
		"client_id":    into(&a.clientID, asGUID),
		"tenant":       into(&a.tenant, asText),
		"multi_tenant": into(&a.multiTenant, asBool),
		"disabled":     into(&a.disabled, asBool),
		"secrets": objects(&a.secrets, func(v node, s *secretConfig) {
			s.at = v.at
			v.object(fields{
				"value":      into(&s.value, asText),
				"not_before": into(&s.notBefore, asDate),
				"not_after":  into(&s.notAfter, asDate),
			}, "value")
		}),
		"certificates": objects(&a.certificates, func(v node, c *certificateConfig) {
			c.at = v.at
			v.object(fields{"file": into(&c.file, asText)}, "file")
		}),
		"federated": objects(&a.federated, func(v node, f *federatedConfig) {
			f.at = v.at
			v.object(fields{
				"issuer":   into(&f.issuer, asIssuer),
				"subject":  into(&f.subject, asFederated),
				"audience": into(&f.audience, asFederated),
			}, "issuer", "subject")
		}),
	}, "name", "tenant")
}

func parseResource(v node, r *resourceConfig) {
	r.at = v.at
	v.object(fields{
		"uri":                 into(&r.uri, asURI),
		"app_id":              into(&r.appID, asGUID),
		"tenant":              into(&r.tenant, asText),
		"roles":               each(&r.roles, asText),
		"token_version":       into(&r.tokenVersion, asCount),
		"multi_tenant":        into(&r.multiTenant, asBool),
		"assignment_required": into(&r.assignmentRequired, asBool),
	}, "uri", "tenant")
}

func parseIssuer(v node, i *issuerConfig) {
	i.at = v.at
	v.object(fields{"url": into(&i.url, asIssuer), "jwks": into(&i.jwks, asText)}, "url", "jwks")
}

func parseInstall(v node, i *installConfig) {
	i.at = v.at
	v.object(fields{
		"app":      into(&i.app, asText),
		"resource": into(&i.resource, asText),
		"tenants":  each(&i.tenants, asText),
	}, "tenants")
}

func parseGrant(v node, g *grantConfig) {
	g.at = v.at
	v.object(fields{
		"app":      into(&g.app, asText),
		"resource": into(&g.resource, asText),
		"tenant":   into(&g.tenant, asText),
		"roles":    each(&g.roles, asText),
	}, "app", "resource", "roles")
}

// parseFault reads an entratest.Fault, by the keys of its JSON: it says itself
// what it takes.
func parseFault(v node, f *faultConfig) {
	f.at = v.at
	f.keys = v.plain()
	if value, ok := f.keys["retry_after"]; ok {
		value.v = value.text // sent as it is, whatever YAML would make of it
		f.keys["retry_after"] = value
	}
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		value := f.keys[key]
		if err := json.Unmarshal(toJSON(map[string]plain{key: value}), new(entratest.Fault)); err != nil {
			v.errs.add(value.at, "%s", strings.TrimPrefix(reason(err), fmt.Sprintf("the value of %q ", key)))
		}
	}
	for key, ref := range map[string]*scalar[string]{"tenant": &f.tenant, "client_id": &f.clientID} {
		if value, ok := f.keys[key]; ok {
			ref.at = value.at
			ref.v, ref.good = value.v.(string)
		}
	}
}
