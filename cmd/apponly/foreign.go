// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apponly/apponly/entratest"
)

// envForeign returns what a shell exports for programs that know of no emulator, in any
// language: the proxy by which they reach it under the names of the real Entra, the root
// to trust, and the demo's credentials by the names that Microsoft's clients read.
func (d *demo) envForeign() []byte {
	var b bytes.Buffer
	b.WriteString("# Any client of Entra reaches apponly emulator with these: source this file.\n")
	b.WriteString("# A managed identity besides the one of the machine: " + d.ManagedIdentityClientID + "\n")
	b.WriteString("unset AZURE_AUTHORITY_HOST # the real name is the emulator's\n")
	b.Write(exports(d.proxyVars()))
	b.Write(exports(d.rootVars()))
	b.Write(exports([][2]string{
		{"AZURE_TENANT_ID", d.TenantID},
		{"AZURE_CLIENT_ID", d.ClientID},
		{"AZURE_CLIENT_SECRET", d.ClientSecret},
		{"AZURE_CLIENT_CERTIFICATE_PATH", d.CertificatePath},
		{"AZURE_FEDERATED_TOKEN_FILE", d.FederatedTokenFile},
	}))
	b.WriteString("# For clients that ask the metadata service of a machine past every proxy: an App Service site.\n")
	b.Write(exports(sorted(d.site)))
	return b.Bytes()
}

// proxyVars are in both spellings: curl reads http_proxy in lower case alone.
func (d *demo) proxyVars() (vars [][2]string) {
	hosts := []string{"127.0.0.1", "localhost", "::1"}
	for _, base := range []string{d.AuthorityHost, d.APIURL, d.site["IDENTITY_ENDPOINT"]} {
		if u, err := url.Parse(base); err == nil && u.Hostname() != "" && !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	direct := strings.Join(hosts, ",")
	for _, v := range [][2]string{{"HTTPS_PROXY", d.Proxy}, {"HTTP_PROXY", d.Proxy}, {"NO_PROXY", direct}} {
		vars = append(vars, v, [2]string{strings.ToLower(v[0]), v[1]})
	}
	return append(vars, [2]string{"NODE_USE_ENV_PROXY", "1"}) // from Node 24 on
}

// rootVars are what OpenSSL and Go, Python's requests, curl and Node read. All but the last
// replace the system's roots, which the bundle therefore has, too.
func (d *demo) rootVars() [][2]string {
	return [][2]string{
		{"SSL_CERT_FILE", d.BundleFile},
		{"REQUESTS_CA_BUNDLE", d.BundleFile},
		{"CURL_CA_BUNDLE", d.BundleFile},
		{"NODE_EXTRA_CA_CERTS", d.CAFile},
	}
}

func exports(vars [][2]string) []byte {
	var b bytes.Buffer
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s\n", v[0], quote(v[1]))
	}
	return b.Bytes()
}

func sorted(vars map[string]string) (pairs [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		pairs = append(pairs, [2]string{name, vars[name]})
	}
	return pairs
}

// rootFiles is where systems keep their roots in one file; the first that is there counts.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
	"/etc/pki/tls/certs/ca-bundle.crt",                  // older Fedora
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/etc/ssl/cert.pem",                                 // BSD, macOS
}

const maxRootFile = 16 << 20

// systemRoots returns the roots of the system, ending in a line break; none where it has no
// such file.
func systemRoots() []byte {
	for _, name := range rootFiles {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(f, maxRootFile))
		f.Close()
		if err == nil && bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
			return append(bytes.TrimSpace(data), '\n')
		}
	}
	return nil
}

// surround starts what is beside the token service: the metadata service of a machine with
// managed identities, an API to call, and the proxy.
func (d *demo) surround(opts emulatorOptions, proxyHosts []string) (err error) {
	if opts.imds != "" {
		if _, err := d.sts.ListenHTTP(opts.imds); err != nil {
			return err
		}
	}
	load := d.sts.Loader()
	identity, err := load.AddManagedIdentity(d.sts.Tenant(), entratest.ManagedIdentityOptions{})
	if err != nil {
		return err
	}
	d.grant(identity)
	// An identity of the machine itself may stand in the configuration.
	if system, err := load.AddManagedIdentity(d.sts.Tenant(), entratest.ManagedIdentityOptions{SystemAssigned: true}); err == nil {
		d.grant(system)
	}
	d.ManagedIdentityClientID, d.site = identity.ClientID(), identity.Env()

	host, _, _ := net.SplitHostPort(opts.addr) // which was checked
	d.APIURL, err = d.sts.ListenAPI(net.JoinHostPort(host, "0"), d.api())
	if err != nil || opts.proxy == "" {
		return err
	}
	d.Proxy, err = d.sts.ListenProxy(opts.proxy, entratest.ProxyOptions{Hosts: proxyHosts, PassThrough: opts.proxyPass})
	d.EnvForeignFile = filepath.Join(d.dir, envForeignFile)
	return err
}

func (d *demo) role() string { return d.sts.API().Roles()[0] }

func (d *demo) grant(m *entratest.ManagedIdentity) {
	d.sts.API().Grant(d.sts.Tenant(), m.App(), d.role())
}

// api is what the demo app gets its tokens for.
func (d *demo) api() http.Handler {
	return d.sts.API().Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":"for whoever has the role `+d.role()+`"}`+"\n")
	}), d.role())
}
