// SPDX-License-Identifier: MIT

package emuconfig

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/apponly/apponly/entratest"
)

func (l *loader) secret(v node, a *app) {
	var value scalar[string]
	var notBefore, notAfter scalar[date]
	v.object(fields{
		"value":      into(&value, asText),
		"not_before": into(&notBefore, asDate),
		"not_after":  into(&notAfter, asDate),
	}, "value")
	// Without a start it is good from ever, or it would not be when somebody
	// sets the emulator's clock back.
	var start time.Time
	end := notAfter.or(after(365 * 24 * time.Hour))(l.now)
	if notBefore.good {
		start = notBefore.v(l.now)
	}
	switch {
	case !notBefore.good || start.Before(end):
		l.ok(v.Place, l.load.AddSecret(a.App, value.v, start, end))
	case !notAfter.given():
		l.errs.add(notBefore.Place, "is not before the end, which is a year from the start unless not_after says another")
	case notAfter.good:
		l.errs.add(notAfter.Place, "is not after not_before")
	}
}

func (l *loader) certificate(v node, a *app) {
	var file scalar[string]
	v.object(fields{"file": into(&file, asText)}, "file")
	data := l.readFile(file)
	if data == nil {
		return
	}
	if cert, err := firstCertificate(data); l.ok(file.Place, err) {
		l.ok(file.Place, l.load.AddCertificate(a.App, cert))
	}
}

// firstCertificate returns the app's certificate of a PEM file: the first one,
// whatever keys and issuers are around it.
func firstCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("the file holds no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the certificate in the file: %w", err)
			}
			return cert, nil
		}
	}
}

// maxFederated is how many federated credentials Entra takes per app.
const maxFederated = 20

func (l *loader) federated(list node, a *app) {
	lines := map[[2]string]int{} // by issuer and subject
	list.items(func(v node) {
		var issuer, subject, audience scalar[string]
		v.object(fields{
			"issuer":   into(&issuer, asIssuer),
			"subject":  into(&subject, asFederated),
			"audience": into(&audience, asFederated),
		}, "issuer", "subject")
		switch pair := [2]string{issuer.v, subject.v}; {
		case !issuer.good || !subject.good:
		case lines[pair] > 0:
			l.errs.add(v.Place, "issuer and subject are those of line %d", lines[pair])
		case len(lines) == maxFederated:
			l.errs.add(v.Place, "Entra takes no more than %d federated credentials per app", maxFederated)
		default:
			lines[pair] = v.Line
			if issuer.v == demoName {
				issuer.v = l.sts.Issuer().URL()
			}
			l.ok(v.Place, l.load.AddFederatedCredential(a.App, entratest.FederatedCredential{
				Issuer: issuer.v, Subject: subject.v, Audience: audience.or(l.sts.Cloud().ExchangeAudience()),
			}))
		}
	})
}

func (l *loader) issuer(v node) {
	var url, jwks scalar[string]
	v.object(fields{"url": into(&url, asIssuer), "jwks": into(&jwks, asText)}, "url", "jwks")
	switch {
	case !url.good:
	case url.v == demoName:
		l.errs.add(url.Place, "%q is the emulator's own", demoName)
	case l.issuers[url.v] > 0:
		l.errs.add(url.Place, "is in line %d already", l.issuers[url.v])
	default:
		l.issuers[url.v] = url.Line
	}
	data := l.readFile(jwks)
	switch {
	case data == nil:
	case !json.Valid(data):
		l.errs.add(jwks.Place, "the file is not JSON")
	case url.good && url.v != demoName:
		_, err := l.sts.AddIssuer(url.v, data)
		l.ok(jwks.Place, err)
	}
}
