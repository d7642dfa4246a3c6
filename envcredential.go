// SPDX-License-Identifier: MIT

package apponly

import (
	"os"
	"strconv"

	"github.com/apponly/apponly/internal/inside"
)

func (p *envPlan) secret() Credential {
	if p.either(envSecret, envSecretFile) == envSecretFile {
		return SecretFile(p.file(envSecretFile))
	}
	if !isSet(envSecret) {
		p.fault(ErrCredentialMissing, "%s asks for a secret, but neither %s nor %s is set", p.reason, envSecret, envSecretFile)
	}
	return Secret(p.get(envSecret))
}

// either returns which of two variables for the same thing is set, the first if none
// is. That both are is a fault: one would be rotated, and the other go on being used.
func (p *envPlan) either(value, file string) string {
	if isSet(value) && isSet(file) {
		p.get(value)
		p.get(file)
		p.note(inside.Credential, errorf(ErrConfiguration, "apponly: both %s and %s are set: want one of them", value, file))
	}
	if !isSet(value) && isSet(file) {
		return file
	}
	return value
}

func (p *envPlan) certificate() Credential {
	chain, err := strconv.ParseBool(p.get(envSendChain))
	if err != nil && isSet(envSendChain) {
		p.fault(ErrConfiguration, "%s is neither true nor false", envSendChain)
	}
	opts := &CertificateFileOptions{SendX5C: chain}
	if p.either(envCertPassword, envCertPassFile) == envCertPassFile {
		opts.PasswordFile = p.file(envCertPassFile)
	} else if p.get(envCertPassword) != "" {
		opts.Password = outsideText(os.Getenv(envCertPassword)) // blanks may belong to it
	}
	if isSet(envCertKey) {
		opts.KeyFile = p.file(envCertKey)
	}
	return CertificateFile(p.file(envCertificate), opts)
}

func (p *envPlan) federated() Credential { return Federated(AssertionFile(p.file(envFederated))) }

// file reads a variable that must name a file, "" if it does not.
func (p *envPlan) file(name string) string {
	path := p.get(name)
	if path == "" {
		p.fault(ErrCredentialMissing, "%s asks for a %s credential, but %s is not set", p.reason, p.kind.name, name)
		return ""
	}
	if err := checkPath(ErrCredentialUnavailable, name, path); err != nil {
		p.note(inside.Variables, err)
		return ""
	}
	p.files = append(p.files, name)
	return path
}

func (p *envPlan) gitHubActions() Credential { return p.source(GitHubActions("")) }

func (p *envPlan) googleMetadata() Credential { return p.source(GoogleMetadata("")) }

func (p *envPlan) azurePipelines() Credential {
	return p.source(AzurePipelines(p.get(envConnection)))
}

func (p *envPlan) assertionEnv() Credential {
	name := p.get(envAssertionEnv)
	if name == "" {
		p.fault(ErrCredentialMissing, "%s asks for %s, but %s is not set: it names the variable with the assertion", p.reason, p.kind.name, envAssertionEnv)
		return nil
	}
	return p.source(AssertionEnv(name))
}

// source returns the credential of a source, and notes what that reads.
func (p *envPlan) source(src AssertionSource) Credential {
	if own, ok := src.(ownSource); ok {
		p.sourceVars = own.Variables()
	}
	return Federated(src)
}
