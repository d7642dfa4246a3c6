// SPDX-License-Identifier: MIT

package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
	"github.com/apponly/apponly/internal/inside"
)

// sourceTimeout is for files that hang and for the endpoints of assertion sources,
// which are given 15 seconds.
const sourceTimeout = 20 * time.Second

func lookAtCredential(ctx context.Context, p *patient) finding {
	if f, found := firstFault(p.env, inside.Credential); found {
		return f
	}
	switch {
	case p.isManaged():
		return ok("none to look at: the endpoint of this machine proves the identity")
	case p.env.Network && p.Offline:
		return skip("offline")
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	proof, err := p.env.Read(ctx)
	if err != nil {
		return faultOf(err, "")
	}
	return withMarks(judgeNext(judgeProof(proof, p.now()), proof, p.InUse), marked(p.env.Files))
}

// judgeNext adds to a finding that the credential is the one that it is to follow.
func judgeNext(f finding, proof inside.Proof, inUse [32]byte) finding {
	if f.status == Fault || inUse == [32]byte{} || inUse != proof.Fingerprint {
		return f
	}
	return warn("it is the one that is in use already: "+f.text, strings.TrimSpace(f.remedy+" Give the credential that is to follow it."))
}

// judgeProof judges what a credential came to.
func judgeProof(proof inside.Proof, now time.Time) finding {
	switch {
	case proof.Secret:
		return judgeSecret(proof)
	case proof.Assertion != nil:
		return judgeAssertion(*proof.Assertion, now)
	}
	return judgeCertificates(proof.Certificates, now)
}

func judgeSecret(proof inside.Proof) finding {
	const remedy = "Set the secret's value, which the portal shows once, when the secret is made."
	switch {
	case proof.GUID:
		return warn("the secret is a GUID: most likely its ID, not its value", remedy)
	case proof.Resemblance != "":
		return warn(strings.Replace(proof.Resemblance, "what was sent", "the secret", 1), remedy)
	}
	return ok("a secret; only Entra knows whether it is the app's, and when it ends")
}

// expiringSoon is when there is still time to replace a certificate.
const expiringSoon = 30 * 24 * time.Hour

// judgeCertificates judges the first certificate, which is the one that is sent.
func judgeCertificates(certs []inside.Certificate, now time.Time) finding {
	c := certs[0]
	id := fmt.Sprintf("thumbprint %s, SHA-256 %s", c.SHA1, c.SHA256)
	if more := len(certs) - 1; more > 0 {
		id += fmt.Sprintf("; after it %d more of the same key", more)
	}
	name := "certificate " + quote(nameOf(c.Subject))
	kind := apponly.ErrCertificateExpired
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return fault(fmt.Sprintf("%s is not valid before %s, by the clock of this machine; %s", name, screen.Date(c.NotBefore), id),
			"Wait until then, deploy one that is valid now, or set this machine's clock right.", string(kind))
	case left < 0:
		return fault(fmt.Sprintf("%s expired on %s, by the clock of this machine; %s", name, screen.Date(c.NotAfter), id), kind.Remedy(), string(kind))
	case left < expiringSoon:
		return warn(fmt.Sprintf("%s expires in %s, on %s; %s", name, screen.Span(left), screen.Date(c.NotAfter), id), "Issue a new certificate, register it and deploy it before the old one ends.")
	}
	return ok(fmt.Sprintf("%s, valid until %s; %s", name, screen.Date(c.NotAfter), id))
}

// judgeAssertion judges what another issuer claims. RFC 7523 section 3 demands its
// claims, and a federated credential names three of them.
func judgeAssertion(a inside.Assertion, now time.Time) finding {
	var missing []string
	for _, claim := range []struct{ name, value string }{{"iss", a.Issuer}, {"sub", a.Subject}, {"aud", a.Audience}} {
		if claim.value == "" {
			missing = append(missing, claim.name)
		}
	}
	if a.Expires.IsZero() {
		missing = append(missing, "exp")
	}
	id := fmt.Sprintf("assertion with iss %s, sub %s, aud %s", quote(a.Issuer), quote(a.Subject), quote(a.Audience))
	invalid, mismatch := apponly.ErrAssertionInvalid, apponly.ErrFederationMismatch
	switch {
	case len(missing) > 0:
		return fault("the assertion has no "+strings.Join(missing, ", no "), invalid.Remedy(), string(invalid))
	case a.Misdirected != "":
		return fault(fmt.Sprintf("the assertion has aud %s: %s", quote(a.Audience), a.Misdirected), mismatch.Remedy(), string(mismatch))
	case a.Algorithm != "RS256":
		return warn(fmt.Sprintf("%s is signed by %s", id, quote(a.Algorithm)), "Have its issuer sign with an RSA key: Entra documents RS256 alone.")
	case !strings.EqualFold(a.Audience, a.WantAudience) && !isExchangeApp(a.Audience):
		return warn(fmt.Sprintf("%s, whose audience is usually %s", id, a.WantAudience), "Have the assertion made out to that, unless the federated credential of the app has another audience on purpose.")
	}
	return ok(fmt.Sprintf("%s, good for %s", id, screen.Span(a.Expires.Sub(now))))
}

// isExchangeApp reports whether an audience is the exchange's by its app ID.
func isExchangeApp(audience string) bool {
	return strings.EqualFold(audience, "fb60f99c-7a34-4190-8149-302f77469936")
}

// marked returns the variables whose file begins with a byte order mark. The files
// have been read: none hangs, and none is a pipe.
func marked(variables []string) (names []string) {
	mark := []byte("\xef\xbb\xbf")
	for _, name := range variables {
		f, err := os.Open(strings.TrimSpace(os.Getenv(name)))
		if err != nil {
			continue
		}
		head := make([]byte, len(mark))
		if _, err := io.ReadFull(f, head); err == nil && bytes.Equal(head, mark) {
			names = append(names, name)
		}
		f.Close()
	}
	return names
}

// withMarks adds to a finding that files begin with a byte order mark.
func withMarks(f finding, names []string) finding {
	if len(names) == 0 || f.status == Fault {
		return f
	}
	text := "the file of " + strings.Join(names, " and of ") + " begins with a byte order mark, which is dropped here"
	if f.status == Warning {
		text = f.text + "; " + text
	}
	return warn(text, strings.TrimSpace(f.remedy+" Write the file as UTF-8 without a mark: other programs take it for a part of the value."))
}
