// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/keyfile"
)

// A clinic is an emulator and the environment of a daemon that gets its tokens there:
// in good health, until somebody plants a fault.
type clinic struct {
	*testing.T
	sts    *entratest.Server
	dir    string
	env    map[string]string
	scope  string
	canary []string // what must not be printed
	front  *front   // what listens in place of the emulator, nil for nothing
	proxy  *proxy   // what HTTPS_PROXY leads to, nil for nothing
	// proxyTLS is what a proxy over TLS shows; proxyLock guards it.
	proxyTLS  *tls.Config
	proxyLock sync.Mutex

	binds  *entratest.IdentityBinding
	google *entratest.GoogleVM
	msi    *entratest.ManagedIdentity
	ready  chan struct{} // if set, closed when the command is to be interrupted
}

// newClinic returns one without a credential. With a front the emulator does not
// listen itself.
func newClinic(t *testing.T, listens bool) *clinic {
	c := &clinic{T: t, sts: entratest.New(t), dir: t.TempDir(), env: map[string]string{
		"APPONLY_TRUST_AUTHORITY_HOST": "1",
	}}
	c.env["AZURE_TENANT_ID"], c.env["AZURE_CLIENT_ID"] = c.sts.Tenant().ID(), c.sts.App().ClientID()
	c.scope = c.sts.API().Scope()
	if listens {
		c.env["AZURE_AUTHORITY_HOST"], _ = c.sts.StartTLS()
		c.env["APPONLY_CA_FILE"] = c.write("ca.pem", c.sts.CAPEM())
	}
	return c
}

func (c *clinic) set(name, value string) { c.env[name] = value }
func (c *clinic) unset(name string)      { delete(c.env, name) }

// hide has a value among those that must not be printed.
func (c *clinic) hide(secret string) string {
	if len(secret) < 8 {
		c.Fatalf("%q is too short to be looked for", secret)
	}
	c.canary = append(c.canary, secret)
	return secret
}

func (c *clinic) path(name string) string { return filepath.Join(c.dir, name) }

func (c *clinic) write(name string, content []byte) string {
	c.Helper()
	path := c.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.Fatal(err)
	}
	return path
}

// hideKey hides each line of a private key.
func (c *clinic) hideKey(pem []byte) []byte {
	key := pem[bytes.Index(pem, []byte("PRIVATE KEY")):]
	for line := range strings.Lines(string(key)) {
		if line = strings.TrimSpace(line); len(line) == 64 {
			c.hide(line)
		}
	}
	return pem
}

// bases are the environments in good health, one for each kind of credential and each
// way to the authority.
var bases = map[string]func(*testing.T) *clinic{
	"secret": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("AZURE_CLIENT_SECRET", c.hide(c.sts.Secret()))
		return c
	},
	"secret file": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("APPONLY_CLIENT_SECRET_FILE", c.write("secret", []byte(c.hide(c.sts.Secret())+"\n")))
		return c
	},
	"certificate": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.write("client.pem", c.hideKey(c.sts.Certificate().PEM())))
		return c
	},
	"certificate and key": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.write("client.crt", c.sts.Certificate().CertPEM()))
		c.set("APPONLY_CLIENT_CERTIFICATE_KEY_PATH", c.write("client.key", c.hideKey(c.sts.Certificate().KeyPEM())))
		return c
	},
	"directory": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.write("mounted/tls.crt", c.sts.Certificate().CertPEM())
		c.write("mounted/tls.key", c.hideKey(c.sts.Certificate().KeyPEM()))
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.path("mounted"))
		return c
	},
	"pfx": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		pfx := fixture(t, "openssl3-chain.p12")
		password := strings.TrimSpace(string(fixture(t, "password.txt")))
		contents, err := keyfile.Parse(pfx, password)
		if err != nil {
			t.Fatal(err)
		}
		for _, cert := range contents.Certificates {
			c.sts.App().AddCertificate(cert)
		}
		c.set("AZURE_CLIENT_CERTIFICATE_PATH", c.write("client.p12", pfx))
		c.set("AZURE_CLIENT_CERTIFICATE_PASSWORD", c.hide(password))
		return c
	},
	"federated": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("AZURE_FEDERATED_TOKEN_FILE", c.write("token", []byte(c.hide(c.sts.FederatedToken()))))
		return c
	},
	"assertion-env": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.set("APPONLY_CREDENTIAL", "assertion-env")
		c.set("APPONLY_ASSERTION_ENV", "CI_TOKEN")
		c.set("CI_TOKEN", c.hide(c.sts.FederatedToken()))
		return c
	},
	"github-actions": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		job := c.sts.NewGitHubJob("repo:octo-org/app:ref:refs/heads/main")
		c.trust(job.FederatedCredential(), job.Env(), "github-actions")
		c.hide(c.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
		return c
	},
	"azure-pipelines": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		job := c.sts.NewPipelineJob("sc://organization/project/connection")
		c.trust(job.FederatedCredential(), job.Env(), "azure-pipelines")
		c.set("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", job.ServiceConnectionID())
		c.hide(c.env["SYSTEM_ACCESSTOKEN"])
		return c
	},
	"google-metadata": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.google = c.sts.NewGoogleVM()
		c.trust(c.google.FederatedCredential(), c.google.Env(), "google-metadata")
		return c
	},
	"managed-identity": func(t *testing.T) *clinic {
		c := newClinic(t, false)
		c.msi = c.sts.Tenant().NewManagedIdentity()
		c.sts.API().Grant(c.sts.Tenant(), c.msi.App(), "Data.Read.All")
		maps.Copy(c.env, c.msi.Env())
		c.hide(c.env["IDENTITY_HEADER"])
		c.set("APPONLY_CREDENTIAL", "managed-identity")
		c.set("AZURE_CLIENT_ID", c.msi.ClientID())
		return c
	},
	"identity binding": func(t *testing.T) *clinic {
		c := newClinic(t, true)
		c.unset("APPONLY_CA_FILE")
		c.binds = c.sts.NewIdentityBinding(c.sts.App(), "system:serviceaccount:demo:worker")
		maps.Copy(c.env, c.binds.Env())
		c.set("APPONLY_IDENTITY_BINDING", "1")
		c.set("AZURE_FEDERATED_TOKEN_FILE", c.write("token", []byte(c.hide(c.binds.Token()))))
		return c
	},
	"front": func(t *testing.T) *clinic {
		c := newClinic(t, false)
		c.open("127.0.0.1", "")
		c.set("AZURE_CLIENT_SECRET", c.hide(c.sts.Secret()))
		return c
	},
	"proxy": func(t *testing.T) *clinic {
		c := behind(t)
		c.proxy = newProxy(t, c.front.addr())
		c.set("HTTPS_PROXY", "http://user:"+c.hide("proxy-password")+"@"+c.proxy.addr())
		return c
	},
	"proxy over TLS": func(t *testing.T) *clinic {
		c := behind(t)
		c.proxyTLS = &tls.Config{Certificates: []tls.Certificate{c.front.roots.issue(t, nil)}}
		c.proxy = newProxyAt(tls.NewListener(listen(t), &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c.proxyLock.Lock()
			defer c.proxyLock.Unlock()
			return c.proxyTLS, nil
		}}), c.front.addr())
		c.set("HTTPS_PROXY", "https://user:"+c.hide("proxy-password")+"@"+c.proxy.addr())
		return c
	},
	"SOCKS proxy": func(t *testing.T) *clinic {
		c := behind(t)
		c.proxy = newProxy(t, c.front.addr())
		c.set("HTTPS_PROXY", "socks5://"+c.proxy.addr())
		return c
	},
}

// behind returns a clinic whose authority has a name that only a proxy knows.
func behind(t *testing.T) *clinic {
	c := newClinic(t, false)
	c.open("login.apponly.invalid", "https://login.apponly.invalid")
	c.set("AZURE_CLIENT_SECRET", c.hide(c.sts.Secret()))
	return c
}

// trust makes the app take the assertions of a source, to which variables lead.
func (c *clinic) trust(fc entratest.FederatedCredential, env map[string]string, kind string) {
	c.sts.App().AddFederatedCredential(fc)
	maps.Copy(c.env, env)
	c.set("APPONLY_CREDENTIAL", kind)
	if strings.HasPrefix(env["ACTIONS_ID_TOKEN_REQUEST_URL"]+env["SYSTEM_OIDCREQUESTURI"], "https://") {
		// Sources trust the system's roots alone, which these are for the process.
		c.set("SSL_CERT_FILE", c.env["APPONLY_CA_FILE"])
	}
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../internal/keyfile/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// examine runs doctor, and looks for secrets and tokens in what it says.
func (c *clinic) examine(args ...string) (status int, stdout, stderr string) {
	c.Helper()
	status, stdout, stderr = c.run("", append([]string{"doctor"}, args...)...)
	if strings.Contains(stdout+stderr, "eyJ") {
		c.Errorf("a token is printed:\n%s%s", stdout, stderr)
	}
	return status, stdout, stderr
}

// run runs the command in the environment and in no other, and looks for secrets.
func (c *clinic) run(stdin string, args ...string) (status int, stdout, stderr string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	cmd.Env = []string{asCommand + "=1", "GORACE=atexit_sleep_ms=10", "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		cmd.Env = append(cmd.Env, name+"="+c.env[name])
	}
	cmd.Dir = c.dir
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	if c.ready != nil {
		<-c.ready
		cmd.Process.Signal(os.Interrupt)
	}
	cmd.Wait() // its status says more
	for _, secret := range c.canary {
		if strings.Contains(out.String()+errs.String(), secret) {
			c.Errorf("%.12s… is printed:\n%s%s", secret, out.String(), errs.String())
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// report is examine with the scope and JSON.
func (c *clinic) report() (int, doctor.Report) {
	c.Helper()
	status, stdout, stderr := c.examine("--output", "json", "--scope", c.scope)
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || stderr != "" {
		c.Fatalf("status %d, %v\nstdout %q\nstderr %q", status, err, stdout, stderr)
	}
	var names []string
	for _, check := range r.Checks {
		names = append(names, check.Check)
	}
	if !slices.Equal(names, checkNames) {
		c.Errorf("checks %q, want %q", names, checkNames)
	}
	return status, r
}

var checkNames = []string{"environment", "identifiers", "credential", "roots", "proxy", "dns", "connect", "tls", "clock", "token", "permissions"}
