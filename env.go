// SPDX-License-Identifier: MIT

package apponly

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/wire"
)

// The environment variables that FromEnv reads. Those named AZURE_ mean what
// they mean to the Azure SDKs.
const (
	envTenant         = "AZURE_TENANT_ID"
	envClient         = "AZURE_CLIENT_ID"
	envSecret         = "AZURE_CLIENT_SECRET"
	envSecretFile     = "APPONLY_CLIENT_SECRET_FILE"
	envCertificate    = "AZURE_CLIENT_CERTIFICATE_PATH"
	envCertPassword   = "AZURE_CLIENT_CERTIFICATE_PASSWORD"
	envSendChain      = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"
	envFederated      = "AZURE_FEDERATED_TOKEN_FILE"
	envAuthority      = "AZURE_AUTHORITY_HOST"
	envTenants        = "AZURE_ADDITIONALLY_ALLOWED_TENANTS"
	envKind           = "APPONLY_CREDENTIAL"
	envAzureKind      = "AZURE_TOKEN_CREDENTIALS"
	envTrustAuthority = "APPONLY_TRUST_AUTHORITY_HOST"
	envCAFile         = "APPONLY_CA_FILE"
)

// envAll is the order in which an explanation lists them.
var envAll = []string{
	envKind, envAzureKind, envTenant, envClient, envSecret, envSecretFile, envCertificate, envCertPassword, envSendChain,
	envFederated, envAuthority, envTrustAuthority, envTenants, envCAFile, "AZURE_REGIONAL_AUTHORITY_NAME",
}

// Kinds of credential, as APPONLY_CREDENTIAL names them.
const (
	kindSecret      = "secret"
	kindCertificate = "certificate"
	kindFederated   = "federated"
	kindManaged     = "managed-identity"
)

// FromEnv returns a client configured by the environment, as a pod has it. It
// takes exactly one credential, never a chain of guesses:
//
//   - APPONLY_CREDENTIAL, if set: secret, certificate, federated or
//     managed-identity;
//   - else AZURE_TOKEN_CREDENTIALS, if set: EnvironmentCredential (a secret or
//     certificate), WorkloadIdentityCredential, ManagedIdentityCredential, or
//     prod, which leaves it open;
//   - else the first that is set of AZURE_CLIENT_SECRET,
//     APPONLY_CLIENT_SECRET_FILE, AZURE_CLIENT_CERTIFICATE_PATH (with
//     AZURE_CLIENT_CERTIFICATE_PASSWORD and
//     AZURE_CLIENT_SEND_CERTIFICATE_CHAIN) and AZURE_FEDERATED_TOKEN_FILE.
//
// AZURE_TENANT_ID and AZURE_CLIENT_ID are required, but not for a managed
// identity, which has to be asked for by name; AZURE_CLIENT_ID then selects a
// user-assigned one. AZURE_AUTHORITY_HOST must name a known cloud unless
// APPONLY_TRUST_AUTHORITY_HOST is 1. AZURE_ADDITIONALLY_ALLOWED_TENANTS is
// separated by semicolons. APPONLY_CA_FILE names the roots that are trusted for
// token requests in place of the system's; it is read again when it changes.
//
// An empty variable counts as unset, and a field set in opts wins over its
// variable. The error names everything that is missing or contradictory, at
// once. [ExplainEnv] says what FromEnv would do. FromEnv performs no I/O.
func FromEnv(opts *Options) (*Client, error) {
	p := planEnv(opts)
	if p.err != nil {
		return nil, p.err
	}
	return p.build()
}

// An EnvExplanation says what [FromEnv] does in the present environment and
// why. It names variables; of values it holds at most a mistyped ID.
type EnvExplanation struct {
	// Credential is the kind chosen: "secret", "certificate", "federated",
	// "managed-identity", or "" if none was.
	Credential string
	// Reason says which variable decided.
	Reason string
	// Used and Ignored are the variables that are set.
	Used, Ignored []string
	// Err is what FromEnv fails with, or a file that is named and not there.
	Err error
}

// String returns the explanation in a few lines.
func (e EnvExplanation) String() string {
	var b strings.Builder
	kind := e.Credential
	if kind == "" {
		kind = "none"
	}
	fmt.Fprintf(&b, "credential: %s", kind)
	if e.Reason != "" {
		fmt.Fprintf(&b, " (%s)", e.Reason)
	}
	if len(e.Used) > 0 {
		fmt.Fprintf(&b, "\nused: %s", strings.Join(e.Used, ", "))
	}
	if len(e.Ignored) > 0 {
		fmt.Fprintf(&b, "\nignored: %s", strings.Join(e.Ignored, ", "))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, "\nerror: %s", strings.ReplaceAll(e.Err.Error(), "\n", "\nerror: "))
	}
	return b.String()
}

// ExplainEnv returns what FromEnv(opts) would do and why. It performs no I/O
// but to look whether the files that are named exist.
func ExplainEnv(opts *Options) EnvExplanation {
	p := planEnv(opts)
	e := EnvExplanation{Credential: p.kind, Reason: p.reason, Err: p.err}
	if e.Err == nil {
		_, e.Err = p.build() // for what else New finds wrong
	}
	for _, name := range envAll {
		switch {
		case !isSet(name):
		case p.used[name]:
			e.Used = append(e.Used, name)
		default:
			e.Ignored = append(e.Ignored, name)
		}
	}
	for _, name := range []string{envSecretFile, envCertificate, envFederated, envCAFile} {
		if p.used[name] {
			_, err := os.Stat(strings.TrimSpace(os.Getenv(name)))
			if pe, ok := errors.AsType[*fs.PathError](err); ok {
				err = pe.Err // without the path, which may be a secret in the wrong variable
			}
			if err != nil {
				e.Err = errors.Join(e.Err, faultf(ErrCredentialUnavailable, "apponly: %s: the file it names: %w", name, err))
			}
		}
	}
	return e
}

// An envPlan is what the environment comes to.
type envPlan struct {
	opts   Options
	kind   string
	reason string
	used   map[string]bool
	err    error
	build  func() (*Client, error)
}

// get reads a variable and notes that it was used. White space around it is
// dropped: it comes from "echo" and heredocs, and no value here has any.
func (p *envPlan) get(name string) string {
	v := strings.TrimSpace(os.Getenv(name))
	if v != "" {
		p.used[name] = true
	}
	return v
}

func isSet(name string) bool { return strings.TrimSpace(os.Getenv(name)) != "" }

func (p *envPlan) fault(kind Kind, format string, args ...any) {
	p.err = errors.Join(p.err, faultf(kind, "apponly: "+format, args...))
}

func planEnv(opts *Options) *envPlan {
	p := &envPlan{opts: *opts.orDefault(), used: map[string]bool{}}
	p.choose()
	if p.kind == kindManaged {
		id := p.get(envClient)
		if id != "" {
			if _, err := checkClientID(id); err != nil {
				p.err = errors.Join(p.err, err)
			}
		}
		p.build = func() (*Client, error) {
			cred, err := managedIdentity(id)
			if err != nil {
				return nil, err
			}
			return FromTokenCredential(cred, &p.opts)
		}
		return p
	}
	tenant := p.require(envTenant, "its service account's tenant, or the webhook's default, is injected")
	client := p.require(envClient, "its service account has the annotation azure.workload.identity/client-id")
	if _, err := checkTenant(tenant); tenant != "" && err != nil {
		p.err = errors.Join(p.err, within(envTenant, err))
	}
	if _, err := checkClientID(client); client != "" && err != nil {
		p.err = errors.Join(p.err, within(envClient, err))
	}
	p.cloud()
	if len(p.opts.AllowedTenants) == 0 && isSet(envTenants) {
		for t := range strings.SplitSeq(p.get(envTenants), ";") {
			if t = strings.TrimSpace(t); t != "" {
				if _, err := checkTenant(t); t != "*" && err != nil {
					p.err = errors.Join(p.err, within(envTenants, err))
				}
				p.opts.AllowedTenants = append(p.opts.AllowedTenants, t)
			}
		}
	}
	if p.opts.HTTPClient == nil && isSet(envCAFile) {
		p.opts.HTTPClient = caFileClient(absolute(p.get(envCAFile)))
	}
	cred := p.credential()
	p.build = func() (*Client, error) { return New(tenant, client, cred, &p.opts) }
	return p
}

// choose decides which kind of credential it is.
func (p *envPlan) choose() {
	set := func(names ...string) string {
		for _, name := range names {
			if isSet(name) {
				return name
			}
		}
		return ""
	}
	candidates := []struct{ kind, name string }{
		{kindSecret, set(envSecret, envSecretFile)}, {kindCertificate, set(envCertificate)}, {kindFederated, set(envFederated)},
	}
	switch v := p.get(envKind); v {
	case "":
	case kindSecret, kindCertificate, kindFederated, kindManaged:
		p.kind, p.reason = v, envKind
		return
	default:
		p.fault(ErrCredentialMissing, "%s is %q: want secret, certificate, federated or managed-identity", envKind, ident.OneLine(v, 40))
		return
	}
	switch v := p.get(envAzureKind); strings.ToLower(v) {
	case "", "prod":
	case "environmentcredential":
		candidates = candidates[:2]
		p.reason = envAzureKind + " and "
	case "workloadidentitycredential":
		p.kind, p.reason = kindFederated, envAzureKind
		return
	case "managedidentitycredential":
		p.kind, p.reason = kindManaged, envAzureKind
		return
	default:
		p.fault(ErrCredentialMissing, "%s is %q: want EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential or prod", envAzureKind, ident.OneLine(v, 40))
		return
	}
	var names []string
	for _, c := range candidates {
		if c.name != "" {
			p.kind = c.kind
			p.reason += c.name + " is set"
			return
		}
	}
	p.reason = ""
	names = []string{envSecret, envSecretFile, envCertificate}
	if len(candidates) == 3 {
		names = append(names, envFederated)
	}
	p.fault(ErrCredentialMissing, "no credential in the environment: set one of %s%s", strings.Join(names, ", "),
		"; in a pod with workload identity, the label azure.workload.identity/use: \"true\" has it injected, and a managed identity has to be asked for with "+envKind+"="+kindManaged)
}

// require reads a variable that must be set. injected says when the workload
// identity webhook sets it.
func (p *envPlan) require(name, injected string) string {
	v := p.get(name)
	if v == "" {
		hint := ""
		if p.kind == kindFederated || p.kind == "" {
			hint = ": the workload identity webhook sets it if the pod has the label azure.workload.identity/use: \"true\" and " + injected
		}
		p.fault(ErrConfiguration, "%s is not set%s", name, hint)
	}
	return v
}

func (p *envPlan) cloud() {
	if p.opts.Cloud != (cloud.Cloud{}) || !isSet(envAuthority) {
		return
	}
	host := p.get(envAuthority)
	c, err := cloud.FromAuthority(host)
	if err != nil && isSet(envTrustAuthority) {
		trust, _ := strconv.ParseBool(p.get(envTrustAuthority))
		if trust {
			if !strings.Contains(host, "://") {
				host = "https://" + host
			}
			c = cloud.Custom(host)
			err = c.Validate()
		}
	}
	if err != nil {
		p.fault(ErrAuthorityInvalid, "%s: %w; the credential would be sent there: if it is yours, set %s=1", envAuthority, err, envTrustAuthority)
		return
	}
	p.opts.Cloud = c
}

func (p *envPlan) credential() Credential {
	file := func(name string) string {
		path := p.get(name)
		if path == "" {
			p.fault(ErrCredentialMissing, "%s asks for a %s credential, but %s is not set", p.reason, p.kind, name)
		}
		return path
	}
	switch p.kind {
	case kindSecret:
		if isSet(envSecret) || !isSet(envSecretFile) {
			if !isSet(envSecret) {
				p.fault(ErrCredentialMissing, "%s asks for a secret, but neither %s nor %s is set", p.reason, envSecret, envSecretFile)
			}
			return Secret(p.get(envSecret))
		}
		return SecretFile(file(envSecretFile))
	case kindCertificate:
		chain, err := strconv.ParseBool(p.get(envSendChain))
		if err != nil && isSet(envSendChain) {
			p.fault(ErrConfiguration, "%s is neither true nor false", envSendChain)
		}
		opts := &CertificateFileOptions{SendX5C: chain}
		if isSet(envCertPassword) {
			p.used[envCertPassword] = true
			opts.Password = trimLineBreak(os.Getenv(envCertPassword)) // blanks may belong to it
		}
		return CertificateFile(file(envCertificate), opts)
	case kindFederated:
		return Federated(AssertionFile(file(envFederated)))
	}
	return nil
}

// caFileClients keeps one HTTP client per file of roots, because the HTTP client
// is part of what clients share tokens by.
var caFileClients sync.Map // path → *http.Client

// caFileClient returns the client that trusts the roots in a file.
func caFileClient(path string) *http.Client {
	c, _ := caFileClients.LoadOrStore(path, wire.NewRootsClient(func() ([]byte, error) {
		b, err := readFile(path)
		if err != nil {
			return nil, faultf(ErrConfiguration, "%s: %w", envCAFile, err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			return nil, faultf(ErrConfiguration, "%s: %s has no certificate in PEM", envCAFile, path)
		}
		return b, nil
	}))
	return c.(*http.Client)
}
