// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

// The variables that FromEnv reads. Those of the Azure SDKs mean what they do there.
const (
	envCredential     = "APPONLY_CREDENTIAL"
	envAzureKind      = "AZURE_TOKEN_CREDENTIALS"
	envTenant         = "AZURE_TENANT_ID"
	envClient         = "AZURE_CLIENT_ID"
	envSecret         = "AZURE_CLIENT_SECRET"
	envSecretFile     = "APPONLY_CLIENT_SECRET_FILE"
	envCertificate    = "AZURE_CLIENT_CERTIFICATE_PATH"
	envCertKey        = "APPONLY_CLIENT_CERTIFICATE_KEY_PATH"
	envCertPassword   = "AZURE_CLIENT_CERTIFICATE_PASSWORD"
	envCertPassFile   = "APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE"
	envSendChain      = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"
	envFederated      = "AZURE_FEDERATED_TOKEN_FILE"
	envAuthority      = "AZURE_AUTHORITY_HOST"
	envTrustAuthority = "APPONLY_TRUST_AUTHORITY_HOST"
	envTenants        = "AZURE_ADDITIONALLY_ALLOWED_TENANTS"
	envCAFile         = "APPONLY_CA_FILE" // that of an identity binding: see identitybinding.go
	envAssertionEnv   = "APPONLY_ASSERTION_ENV"
	envConnection     = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"
)

// envAll is the order of an explanation. Only the Azure SDKs read the last one.
var envAll = []string{
	envCredential, envAzureKind, envTenant, envClient, envSecret, envSecretFile,
	envCertificate, envCertKey, envCertPassword, envCertPassFile, envSendChain, envFederated, envAssertionEnv, envConnection, envAuthority, envTrustAuthority, envTenants, envCAFile,
	envBinding, envTokenProxy, envProxyName, envProxyCAFile, envProxyCAData, "AZURE_REGIONAL_AUTHORITY_NAME",
}

// An envKind is a kind of credential as the environment asks for it.
type envKind struct {
	name  string                    // in APPONLY_CREDENTIAL
	azure string                    // in AZURE_TOKEN_CREDENTIALS
	vars  []string                  // any of them decides for the kind; none: it has to be named
	read  func(*envPlan) Credential // nil: not a Credential, see planManaged
}

// envKinds are in the order in which their variables decide. Those after the federated
// one have none: a pod that the webhook has missed must not act as its node, and a job's
// variables are there whether it means them or not.
var envKinds = []envKind{
	{"secret", "EnvironmentCredential", []string{envSecret, envSecretFile}, (*envPlan).secret},
	{"certificate", "EnvironmentCredential", []string{envCertificate}, (*envPlan).certificate},
	{kindFederated, "WorkloadIdentityCredential", []string{envFederated}, (*envPlan).federated},
	{"github-actions", "", nil, (*envPlan).gitHubActions},
	{"azure-pipelines", "", nil, (*envPlan).azurePipelines},
	{"google-metadata", "", nil, (*envPlan).googleMetadata},
	{kindAssertionEnv, "", nil, (*envPlan).assertionEnv},
	{kindManaged, "ManagedIdentityCredential", nil, nil},
}

const kindFederated, kindManaged, kindAssertionEnv = "federated", "managed-identity", "assertion-env"

// FromEnv returns a client configured by the environment, as a pod has it. It
// takes exactly one credential, never a chain of guesses:
//
//   - APPONLY_CREDENTIAL, if set: secret, certificate, federated, github-actions,
//     azure-pipelines, google-metadata, assertion-env or managed-identity;
//   - else AZURE_TOKEN_CREDENTIALS, if set: EnvironmentCredential (a secret or
//     certificate), WorkloadIdentityCredential, ManagedIdentityCredential, or
//     prod, which leaves it open;
//   - else the first that is set of AZURE_CLIENT_SECRET or APPONLY_CLIENT_SECRET_FILE,
//     AZURE_CLIENT_CERTIFICATE_PATH and AZURE_FEDERATED_TOKEN_FILE. [Options.Logger]
//     gets one warning that names the others that are set.
//
// AZURE_CLIENT_CERTIFICATE_PATH is a file, or a directory with tls.crt and tls.key.
// With it go APPONLY_CLIENT_CERTIFICATE_KEY_PATH, where the key is in a file of its
// own, AZURE_CLIENT_CERTIFICATE_PASSWORD or APPONLY_CLIENT_CERTIFICATE_PASSWORD_FILE,
// and AZURE_CLIENT_SEND_CERTIFICATE_CHAIN. A value and a file for the same thing
// contradict each other.
//
// With azure-pipelines goes AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, which tasks with a
// service connection set, and with assertion-env APPONLY_ASSERTION_ENV, the name of the
// variable that holds the assertion. See [GitHubActions], [AzurePipelines],
// [GoogleMetadata] and [AssertionEnv] for what else they need.
//
// AZURE_TENANT_ID and AZURE_CLIENT_ID are required, but not for a managed identity,
// which has to be asked for by name; AZURE_CLIENT_ID then selects a user-assigned
// one. AZURE_AUTHORITY_HOST must name a known cloud unless
// APPONLY_TRUST_AUTHORITY_HOST is 1. AZURE_ADDITIONALLY_ALLOWED_TENANTS is separated
// by semicolons. APPONLY_CA_FILE names the roots that are trusted for token requests
// in place of the system's; it is read again when it changes.
// APPONLY_IDENTITY_BINDING=1 is [Options.IdentityBinding] for a federated credential.
//
// An empty variable counts as unset, and a field set in opts wins over its variable.
// The error names everything that is missing or contradictory, at once. [ExplainEnv]
// says what FromEnv would do. FromEnv performs no I/O.
func FromEnv(opts *Options) (*Client, error) {
	p := planEnv(opts)
	c, err := p.build()
	if err == nil && len(p.passedOver) > 0 && p.opts.Logger != nil {
		p.opts.Logger.Warn("apponly: more than one credential is set in the environment",
			"used", p.kind.name, "because", p.reason, "ignored", strings.Join(p.passedOver, ", "))
	}
	return c, err
}

// An EnvExplanation says what [FromEnv] does in the present environment and
// why. It names variables; of values it holds at most a mistyped ID.
type EnvExplanation struct {
	// Credential is the kind chosen, one of the words of APPONLY_CREDENTIAL, or "" if
	// none was.
	Credential string
	// Reason says which variable decided.
	Reason string
	// Used and Ignored are the variables that are set.
	Used, Ignored []string
	// Warning says what FromEnv does not fail for and Entra will, perhaps: see
	// [EventIdentityBinding]. "" if there is nothing.
	Warning string
	// Err is what FromEnv fails with, or a file that is named and not there.
	Err error
}

// String returns the explanation in a few lines.
func (e EnvExplanation) String() string {
	text := "credential: " + cmp.Or(e.Credential, "none")
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	if len(e.Used) > 0 {
		text += "\nused: " + strings.Join(e.Used, ", ")
	}
	if len(e.Ignored) > 0 {
		text += "\nignored: " + strings.Join(e.Ignored, ", ")
	}
	if e.Warning != "" {
		text += "\nwarning: " + e.Warning
	}
	if e.Err != nil {
		text += "\nerror: " + strings.ReplaceAll(e.Err.Error(), "\n", "\nerror: ")
	}
	return text
}

// ExplainEnv says what FromEnv(opts) would do and why. Its only I/O is to stat files.
func ExplainEnv(opts *Options) EnvExplanation {
	p := planEnv(opts)
	e := p.explain()
	_, e.Err = p.build()
	for _, name := range p.files {
		if _, err := os.Stat(envValue(name)); err != nil {
			// Without the path, which may be a secret in the wrong variable.
			e.Err = errors.Join(e.Err, errorf(ErrCredentialUnavailable, "apponly: %s: the file it names: %w", name, errors.Unwrap(err)))
		}
	}
	return e
}

// explain says what was chosen and why, and which variables are set.
func (p *envPlan) explain() EnvExplanation {
	e := EnvExplanation{Credential: p.kind.name, Reason: p.reason, Warning: p.warning}
	for _, name := range envAll {
		if p.used[name] {
			e.Used = append(e.Used, name)
		} else if isSet(name) {
			e.Ignored = append(e.Ignored, name)
		}
	}
	for _, name := range p.sourceVars {
		if isSet(name) {
			e.Used = append(e.Used, name)
		}
	}
	return e
}

// An envPlan is what the environment comes to.
type envPlan struct {
	opts   Options
	kind   envKind // zero: none
	reason string
	used   map[string]bool
	files  []string // the variables used that name a file
	// sourceVars are those that a source of assertions reads, whose names are its own.
	sourceVars []string
	// passedOver are the variables that decide for a kind, too, but come later.
	passedOver []string
	warning    string
	faults     []inside.Fault
	credential Credential // nil for a managed identity, and for none
	build      func() (*Client, error)
}

func planEnv(opts *Options) *envPlan {
	p := &envPlan{opts: *opts.orDefault(), used: map[string]bool{}}
	p.choose()
	if p.kind.name == kindManaged {
		p.planManaged()
	} else {
		p.planApp()
	}
	var errs []error
	for _, f := range p.faults {
		errs = append(errs, f.Err)
	}
	if err := errors.Join(errs...); err != nil {
		p.build = func() (*Client, error) { return nil, err }
	}
	return p
}

// get reads a variable and notes that it was used.
func (p *envPlan) get(name string) string {
	p.used[name] = isSet(name)
	return envValue(name)
}

func (p *envPlan) fault(kind Kind, format string, args ...any) {
	p.note(inside.Variables, errorf(kind, "apponly: "+format, args...))
}

// note keeps an error, if it is one, and what it is about.
func (p *envPlan) note(about inside.About, err error) {
	if err != nil {
		p.faults = append(p.faults, inside.Fault{About: about, Err: err})
	}
}

// choose decides which kind of credential it is: by its name, or by the variables
// that are set if there is no name or several kinds have it.
func (p *envPlan) choose() {
	open, by, want := slices.Clone(envKinds), "", ""
	if v := p.get(envCredential); v != "" {
		by, want = envCredential, "secret, certificate, federated, github-actions, azure-pipelines, google-metadata, assertion-env or managed-identity"
		open = slices.DeleteFunc(open, func(k envKind) bool { return k.name != v })
	} else if v := p.get(envAzureKind); v != "" && !strings.EqualFold(v, "prod") {
		by, want = envAzureKind, "EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential or prod"
		open = slices.DeleteFunc(open, func(k envKind) bool { return !strings.EqualFold(k.azure, v) })
	}
	switch {
	case len(open) == 0:
		p.fault(ErrCredentialMissing, "%s is %s: want %s", by, ident.QuoteWord(envValue(by)), want)
	case len(open) == 1:
		p.kind, p.reason = open[0], by
	case by == "":
		p.chooseSet(open, "")
	default:
		p.chooseSet(open, by+" and ")
	}
}

// chooseSet decides by the first variable that is set. because begins the reason.
func (p *envPlan) chooseSet(open []envKind, because string) {
	var names []string
	for _, k := range open {
		i := slices.IndexFunc(k.vars, isSet)
		switch {
		case i < 0:
			names = append(names, k.vars...)
		case p.kind.name == "":
			p.kind, p.reason = k, because+k.vars[i]+" is set"
		default:
			p.passedOver = append(p.passedOver, k.vars[i])
		}
	}
	if p.kind.name != "" {
		return
	}
	p.fault(ErrCredentialMissing, `no credential in the environment: set one of %s; in a pod with workload identity, the label azure.workload.identity/use: "true" has it injected, and a managed identity has to be asked for with %s=%s, as have github-actions, azure-pipelines, google-metadata and assertion-env`, strings.Join(names, ", "), envCredential, kindManaged)
}

func (p *envPlan) planManaged() {
	id := p.get(envClient)
	if id != "" {
		_, err := checkClientID(id)
		p.note(inside.Identifiers, err)
	}
	p.build = func() (*Client, error) {
		cred, err := managedIdentity(id, nil)
		if err != nil {
			return nil, err
		}
		return FromTokenCredential(cred, &p.opts)
	}
}

func (p *envPlan) planApp() {
	tenant := p.require(envTenant, "its service account's tenant, or the webhook's default, is injected")
	client := p.require(envClient, "its service account has the annotation azure.workload.identity/client-id")
	p.check(envTenant, tenant, checkTenant)
	p.check(envClient, client, checkClientID)
	p.readCloud()
	p.readAllowedTenants()
	if p.kind.read != nil {
		faults := len(p.faults)
		cred := p.kind.read(p)
		if len(p.faults) == faults { // what New would say, together with all else
			about := inside.Credential
			if p.sourceVars != nil { // of which all that can be wrong are variables
				about = inside.Variables
			}
			_, err := membersOf(cred)
			p.note(about, err)
		}
		p.credential = cred
		p.build = func() (*Client, error) { return New(tenant, client, cred, &p.opts) }
	}
	if p.opts.HTTPClient == nil && p.opts.CAFile == "" && isSet(envCAFile) {
		p.opts.CAFile, p.files = p.get(envCAFile), append(p.files, envCAFile)
	}
	if p.kind.name == kindFederated {
		p.readBinding()
	}
}

// require reads a variable that must be set. injected says when the workload
// identity webhook sets it.
func (p *envPlan) require(name, injected string) string {
	v := p.get(name)
	if webhook := p.kind.name == kindFederated || p.kind.name == ""; v == "" && webhook {
		p.fault(ErrConfiguration, `%s is not set: the workload identity webhook sets it if the pod has the label azure.workload.identity/use: "true" and %s`, name, injected)
	} else if v == "" {
		p.fault(ErrConfiguration, "%s is not set", name)
	}
	return v
}

// check notes what is wrong with an identifier that a variable holds.
func (p *envPlan) check(name, id string, check func(string) (string, error)) {
	if id != "" {
		_, err := check(id)
		p.note(inside.Identifiers, inField(name, err))
	}
}

func (p *envPlan) readCloud() {
	if p.opts.Cloud != (cloud.Cloud{}) || !isSet(envAuthority) {
		return
	}
	p.get(envAuthority)
	c, err := cloud.FromEnv()
	if err != nil || !c.Known() {
		p.get(envTrustAuthority)
	}
	if err != nil {
		p.fault(ErrAuthorityInvalid, "%s", strings.TrimPrefix(err.Error(), "cloud: "))
	}
	p.opts.Cloud = c
}

func (p *envPlan) readAllowedTenants() {
	if len(p.opts.AllowedTenants) > 0 {
		return
	}
	for tenant := range strings.SplitSeq(p.get(envTenants), ";") {
		if tenant = strings.TrimSpace(tenant); tenant == "" {
			continue
		}
		if tenant != "*" {
			p.check(envTenants, tenant, checkTenant)
		}
		p.opts.AllowedTenants = append(p.opts.AllowedTenants, tenant)
	}
}
