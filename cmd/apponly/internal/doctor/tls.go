// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func lookAtTLS(ctx context.Context, p *patient) finding {
	proxy, _ := p.proxy()
	return judgeTLS(p.ask(ctx, proxy), p.env.Cloud.Known() && p.env.Server.Base == nil)
}

// judgeTLS judges the handshake. public says that the authority is one of Microsoft's
// clouds, whose certificates have issuers that are known.
func judgeTLS(a *answer, public bool) finding {
	if !a.secure {
		return judgeHandshake(a)
	}
	leaf := a.tls.PeerCertificates[0]
	issuer := nameOf(leaf.Issuer)
	text := fmt.Sprintf("%s, certificate issued by %s, valid until %s", tls.VersionName(a.tls.Version), quote(issuer), screen.Date(leaf.NotAfter))
	if public && !issuedForEntra(leaf) {
		return warn(text+": a proxy inspects the traffic, not Entra answers", "Have "+a.host+" exempted from inspection: who inspects reads secrets and tokens.")
	}
	return ok(text)
}

// issuedForEntra reports whether a certificate has an issuer that Microsoft takes for
// its sign-in hosts.
func issuedForEntra(c *x509.Certificate) bool {
	issuer := c.Issuer.String()
	return strings.Contains(issuer, "DigiCert") || strings.Contains(issuer, "Microsoft")
}

const fixTLS = "Check what answers at this address: the port of the authority, and proxies in between."

// judgeHandshake says why there was none.
func judgeHandshake(a *answer) finding {
	text, remedy := a.host+": "+strings.TrimPrefix(reason(a.err), "TLS: "), fixTLS
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](a.err); ok && len(refused.UnverifiedCertificates) > 0 {
		leaf := refused.UnverifiedCertificates[0]
		text, remedy = judgeCertificate(a, leaf, text)
	}
	return fault(text, remedy, string(apponly.ErrUnreachable))
}

// judgeCertificate says whose certificate it is that was not accepted.
func judgeCertificate(a *answer, leaf *x509.Certificate, text string) (longer, remedy string) {
	by := "; it was issued by " + quote(nameOf(leaf.Issuer))
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](a.err); ok && invalid.Reason == x509.Expired {
		return fmt.Sprintf("%s; it is valid from %s until %s", text, screen.Date(invalid.Cert.NotBefore), screen.Date(invalid.Cert.NotAfter)),
			"If these dates are right, the clock of this machine is wrong: synchronise it. Else the server's certificate has to be renewed."
	}
	if _, ok := errors.AsType[x509.HostnameError](a.err); ok {
		return text + by + ", for " + quote(strings.Join(leaf.DNSNames, ", ")), "Correct the authority host, or whatever answers in its place."
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](a.err); ok {
		return a.host + ": the certificate that was shown is issued by " + quote(nameOf(leaf.Issuer)) + ", which is not trusted here: it is that of a proxy that inspects TLS, or of a private authority",
			"If that issuer is yours, put its root into a file and name that in APPONLY_CA_FILE, or add it to the system's roots."
	}
	return text + by, fixTLS
}
