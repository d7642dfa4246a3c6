// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
	"github.com/apponly/apponly/internal/keyfile"
)

func init() { inside.Look, inside.Cause = lookInside, causeOf }

// lookInside is what the command knows the environment by.
func lookInside() inside.Environment {
	p := planEnv(nil)
	explained := p.explain()
	e := inside.Environment{
		Credential: explained.Credential, Reason: explained.Reason, Warning: explained.Warning,
		PassedOver: p.passedOver, Used: explained.Used, Files: p.files,
		Faults: p.faults, TenantID: envValue(envTenant), ClientID: envValue(envClient), Cloud: p.opts.Cloud,
		Network: len(p.sourceVars) > 0 && p.kind.name != kindAssertionEnv,
	}
	if len(e.Faults) > 0 || p.credential == nil {
		return e
	}
	e.Read, e.Server = p.readProof, p.server()
	return e
}

// server says where the client of a plan without faults sends its requests.
func (p *envPlan) server() (s inside.Server) {
	if path := p.opts.CAFile; path != "" {
		s.RootsIn, s.Roots = path, certificatesOf(nameCAFile, path)
	}
	if !p.opts.IdentityBinding {
		return s
	}
	proxy, _, err := readTokenProxy()
	if err != nil || proxy.url == "" {
		return s
	}
	s.ServerName, s.Base = proxy.serverName, proxy.base()
	switch data := envValue(envProxyCAData); {
	case proxy.caFile != "":
		s.RootsIn, s.Roots = proxy.caFile, certificatesOf(envProxyCAFile, proxy.caFile)
	case data != "":
		s.RootsIn = envProxyCAData
		s.Roots = func(context.Context) ([]*x509.Certificate, error) {
			certs, _ := keyfile.Roots([]byte(data)) // it has been read
			return certs, nil
		}
	}
	return s
}

// certificatesOf returns what reads the certificates in a file of roots, and fails as
// a token request would.
func certificatesOf(name, path string) func(context.Context) ([]*x509.Certificate, error) {
	pool := rootsOf(name, path)
	return func(ctx context.Context) ([]*x509.Certificate, error) {
		if _, err := pool(ctx); err != nil {
			return nil, err
		}
		b, err := readFile(path)
		if err != nil {
			return nil, errorf(ErrCAFile, "%s: %w", name, err)
		}
		certs, _ := keyfile.Roots(b)
		return certs, nil
	}
}

// readProof reads the credential as for a token request of its own tenant.
func (p *envPlan) readProof(ctx context.Context) (inside.Proof, error) {
	req := AssertionRequest{
		TenantID: envValue(envTenant), ClientID: envValue(envClient),
		TokenEndpoint: p.opts.Cloud.TokenEndpoint(envValue(envTenant)), Audience: p.opts.Cloud.ExchangeAudience(),
		clockKnown: true, // nobody is asked who could correct it
	}
	m, err := p.credential.members()[0].resolve(ctx, req, newFileReaders(1)[0])
	if err != nil {
		return inside.Proof{}, err
	}
	proof := inside.Proof{Fingerprint: m.fingerprint}
	for ; m != nil && m.leaf != nil; m = m.next {
		leaf := *m.leaf
		proof.Certificates = append(proof.Certificates, inside.Certificate{Certificate: &leaf, SHA1: thumbprintSHA1(leaf.Raw), SHA256: thumbprintSHA256(leaf.Raw)})
	}
	if proof.Certificates != nil {
		return proof, nil
	}
	sent, err := m.prove(ctx, req)
	if err != nil {
		return inside.Proof{}, err
	}
	if !sent.assertion {
		return inside.Proof{Fingerprint: proof.Fingerprint, Secret: true, GUID: ident.IsGUID(sent.value()), Resemblance: sent.resemblance}, nil
	}
	s, err := p.opts.sender(p.credential.members())
	if err != nil {
		return inside.Proof{}, err
	}
	usual := req.Audience
	if s.proxied {
		usual = bindingAudience
	}
	return inside.Proof{Fingerprint: proof.Fingerprint, Assertion: &inside.Assertion{
		Issuer: sent.sent.issuer, Subject: sent.sent.subject, Audience: sent.sent.audience, Algorithm: sent.sent.algorithm,
		Expires: sent.expires, WantAudience: usual, Misdirected: s.misdirected(sent.sent.audience, req.Audience),
	}}, nil
}

// causeOf says what is wrong without for whom: of a token request that was refused, or
// of what was found here.
func causeOf(err error) (text, kind string) {
	text = err.Error()
	if e, ok := errors.AsType[*Error](err); ok {
		var b strings.Builder
		e.writeCause(&b)
		text, kind = b.String(), string(e.Kind)
	} else if local, ok := errors.AsType[*localError](err); ok {
		kind = string(local.kind)
		text = cmp.Or(local.Error()+withDetail(local.detail), text)
	}
	return strings.TrimPrefix(text, "apponly: "), kind
}

func withDetail(detail string) string {
	if detail == "" {
		return ""
	}
	return " (" + detail + ")"
}
