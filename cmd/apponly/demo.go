// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/emuconfig"
	"github.com/apponly/apponly/entratest"
)

// A demo is what a client needs in order to act as the demo app. Its JSON is the
// line on stdout, which programs read: keys may be added, never renamed.
type demo struct {
	AuthorityHost      string `json:"authority_host"`
	TenantID           string `json:"tenant_id"`
	ClientID           string `json:"client_id"`
	ClientSecret       string `json:"client_secret"`
	CertificatePath    string `json:"certificate_path"`
	FederatedTokenFile string `json:"federated_token_file"`
	CAFile             string `json:"ca_file"`
	Scope              string `json:"scope"`
	APIAudience        string `json:"api_audience"`
	APIURL             string `json:"api_url"`
	BundleFile         string `json:"bundle_file"`

	ManagedIdentityClientID string `json:"managed_identity_client_id"`

	Proxy          string `json:"proxy,omitempty"` // these two with --proxy
	EnvForeignFile string `json:"env_foreign_file,omitempty"`

	sts    *entratest.Server
	dir    string
	site   map[string]string // the environment of an App Service site with the managed identity
	envs   []emuconfig.Env   // of what the configuration adds
	issued time.Time         // the federated token, by the emulator's clock
}

func newDemo(sts *entratest.Server, authority, dir string) *demo {
	return &demo{
		AuthorityHost:      authority,
		TenantID:           sts.Tenant().ID(),
		ClientID:           sts.App().ClientID(),
		ClientSecret:       sts.Secret(),
		CertificatePath:    filepath.Join(dir, certificateFile),
		FederatedTokenFile: filepath.Join(dir, federatedFile),
		CAFile:             filepath.Join(dir, caFile),
		Scope:              sts.API().Scope(),
		APIAudience:        sts.API().AppID(),
		BundleFile:         filepath.Join(dir, bundleFile),
		sts:                sts,
		dir:                dir,
	}
}

// line is what is on stdout and in emulator.json.
func (d *demo) line() []byte {
	line, err := json.Marshal(d)
	if err != nil { // only strings are ever in it
		panic(err)
	}
	return append(line, '\n')
}

// write writes all files. The one that other commands wait for comes last.
func (d *demo) write() error {
	if err := d.writeFederatedToken(); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	files := []file{
		{caFile, d.sts.CAPEM()},
		{bundleFile, append(systemRoots(), d.sts.CAPEM()...)},
		{certificateFile, d.sts.Certificate().PEM()},
		{envFile, d.env()},
	}
	if d.Proxy != "" {
		files = append(files, file{envForeignFile, d.envForeign()})
	}
	for _, e := range d.envs {
		files = append(files, file{envFile + "-" + e.Name, exports(sorted(e.Vars()))})
	}
	if err := dropEnvs(d.dir, files); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	for _, f := range append(files, file{emulatorFile, d.line()}) {
		if err := writeFile(d.dir, f.name, f.data); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
	}
	return nil
}

// A file is one of the directory.
type file struct {
	name string
	data []byte
}

func (d *demo) writeFederatedToken() error {
	now := d.now()
	err := writeFile(d.dir, federatedFile, []byte(d.sts.FederatedToken()))
	if err == nil {
		d.issued = now
	}
	return err
}

// now is the emulator's wall clock, by which its token ends. The monotonic one
// stands still while the machine sleeps.
func (d *demo) now() time.Time { return d.sts.Now().Round(0) }

// The federated token lives for an hour. Kubernetes renews its own when a fifth
// of their time is left; half leaves room for failures.
const (
	renewFederated = 30 * time.Minute
	retryFederated = time.Minute
	lookAtClock    = time.Second
)

// errTaken says that the directory is no longer this emulator's.
var errTaken = errors.New("another emulator has taken the directory: its federated-token is not renewed by this one any more")

// keepFresh rewrites the federated token until ctx ends: when it is old by the
// emulator's clock, which somebody may set, or not valid yet.
func (d *demo) keepFresh(ctx context.Context, failed func(error)) {
	var retry time.Time
	tick := time.NewTicker(lookAtClock)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if age := d.now().Sub(d.issued); age >= 0 && age < renewFederated || time.Now().Before(retry) {
			continue
		}
		err := d.renew()
		if err != nil {
			failed(err)
			retry = time.Now().Add(retryFederated)
		}
		if errors.Is(err, errTaken) {
			<-ctx.Done()
			return
		}
	}
}

func (d *demo) renew() error {
	there, err := os.ReadFile(filepath.Join(d.dir, emulatorFile))
	if err != nil {
		return err
	}
	if !bytes.Equal(there, d.line()) {
		return errTaken
	}
	return d.writeFederatedToken()
}

// env returns what a shell exports for apponly.FromEnv and the Azure SDKs. It
// has all three credentials, and APPONLY_CREDENTIAL to say which one counts.
func (d *demo) env() []byte {
	var b bytes.Buffer
	b.WriteString("# The demo app of apponly emulator, for apponly.FromEnv: source this file.\n")
	for _, v := range [][2]string{
		{"AZURE_AUTHORITY_HOST", d.AuthorityHost + "/"}, // as the webhook of AKS writes it: kubelogin wants it so
		{"APPONLY_TRUST_AUTHORITY_HOST", "1"},
		{"APPONLY_CA_FILE", d.CAFile},
		{"AZURE_TENANT_ID", d.TenantID},
		{"AZURE_CLIENT_ID", d.ClientID},
		{"AZURE_CLIENT_SECRET", d.ClientSecret},
		{"AZURE_CLIENT_CERTIFICATE_PATH", d.CertificatePath},
		{"AZURE_FEDERATED_TOKEN_FILE", d.FederatedTokenFile},
	} {
		fmt.Fprintf(&b, "export %s=%s\n", v[0], quote(v[1]))
	}
	if d.APIURL != "" {
		fmt.Fprintf(&b, "# An API that takes them.\nexport APPONLY_API_URL=%s\n", quote(d.APIURL))
	}
	fmt.Fprintf(&b, "# What tokens are for, as the examples take it.\nexport APPONLY_SCOPE=%s\n", quote(d.Scope))
	b.WriteString("# Which of the three it is: secret, certificate or federated.\n")
	b.WriteString("export APPONLY_CREDENTIAL=secret\n")
	return b.Bytes()
}

// quote returns s as one word of a POSIX shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
