// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// clientAuth is how a client proves who it is, in the words of the record.
type clientAuth string

const (
	authSecret      clientAuth = "secret"
	authSecretBasic clientAuth = "secret_basic"
	authCertificate clientAuth = "certificate"
	authFederated   clientAuth = "federated"
)

// proof is what a client sends to show who it is: one secret or one assertion.
type proof struct {
	clientID  string
	method    clientAuth // empty if there is none, or it is unreadable
	secret    string
	assertion *assertion
	malformed *refusal // why the assertion is unreadable: not the answer if the tenant or the client is wrong
}

// readProof collects the credential of a request. A request with more than one is
// malformed, whatever they are worth (RFC 6749, section 2.3).
func (c *call) readProof(form url.Values) (proof, *refusal) {
	p := proof{clientID: form.Get("client_id"), secret: form.Get("client_secret")}
	if p.secret != "" {
		p.method = authSecret
	}
	if header := c.r.Header.Get("Authorization"); header != "" {
		id, secret, ok := parseBasic(header)
		switch {
		case !ok:
			return p, refuse(9002313, "the Authorization header is not a valid Basic one")
		case p.secret != "":
			return p, refuse(9002313, "there is a client_secret in the body and in the Authorization header")
		case p.clientID != "" && !strings.EqualFold(p.clientID, id):
			return p, refuse(9002313, "client_id and the Authorization header name different clients")
		}
		p.clientID, p.secret, p.method = id, secret, authSecretBasic
	}

	raw, kind := form.Get("client_assertion"), form.Get("client_assertion_type")
	switch {
	case raw == "" && kind == "":
		return p, nil
	case p.secret != "":
		return p, refuse(9002313, "there is a client secret and a client assertion").beside("credential", "a secret and an assertion", "one of the two")
	case raw == "":
		return p, refuse(900144, "client_assertion").beside("client_assertion", "")
	case kind == "":
		return p, refuse(900144, "client_assertion_type").beside("client_assertion_type", "", assertionType)
	case kind != assertionType:
		return p, refuse(9002313, "client_assertion_type is not "+assertionType)
	}
	p.assertion, p.malformed = parseAssertion(raw)
	if p.assertion != nil {
		p.method = authCertificate
		if p.assertion.fromOutside() {
			p.method = authFederated
		}
	}
	return p, nil
}

// parseBasic reads the header by RFC 6749, section 2.3.1: unlike in plain HTTP
// Basic, both parts are form-urlencoded first. A client that leaves this out
// sends another secret if there is a "%" or a "+" in it.
func parseBasic(header string) (id, secret string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(pair), ":")
	if !ok {
		return "", "", false
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	return id, secret, errID == nil && errSecret == nil && id != "" && secret != ""
}

// authenticate decides whether the proof is that of the client.
func (c *call) authenticate(t *Tenant, tenantName string, client clientView, p proof) *refusal {
	switch {
	case client.public && (p.method != "" || p.malformed != nil):
		return refuse(700025, client.app.appID).beside("credential", string(p.method), "none: the client is public")
	case p.malformed != nil:
		return p.malformed
	case p.method == authSecret || p.method == authSecretBasic:
		return c.checkSecret(client, p.secret)
	case p.method == authCertificate:
		return c.checkSelfSigned(t, tenantName, client, p.assertion)
	case p.method == authFederated:
		a := p.assertion
		c.log.Comparisons = besideFederated(client.federated, a.iss, c.audienceOf(a), a.sub)
		return c.checkFederated(client, a)
	}
	return refuse(7000216).beside("credential", "", "client_secret", "client_assertion")
}

// checkSecret compares with every secret, and says "expired" only to a client that
// knows an expired one.
func (c *call) checkSecret(client clientView, secret string) *refusal {
	const none = -1
	valid, early, expired := none, none, none
	hash := sha256.Sum256([]byte(secret))
	for i, known := range client.secrets {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			switch {
			case c.now.Before(known.notBefore):
				early = i
			case c.now.Before(known.notAfter):
				valid = i
			default:
				expired = i
			}
		}
	}
	switch {
	case valid != none:
		c.matched("secret", hidden, client.secretLabel(valid))
		return nil
	case expired != none:
		return refuse(7000222, client.app.appID).beside("lifetime", instant(c.now), client.secretLabel(expired))
	case early != none:
		return refuse(7000215, client.app.appID).beside("lifetime", instant(c.now), client.secretLabel(early))
	}
	return refuse(7000215, client.app.appID).beside("secret", hidden, client.nearSecrets(secret)...)
}

// secretLabel names a secret, for the record, by what is no secret.
func (v clientView) secretLabel(i int) string {
	c := v.secrets[i]
	return fmt.Sprintf("secret %d of %d, %s", i+1, len(v.secrets), span(c.notBefore, c.notAfter))
}

// nearSecrets says for the record what a wrong secret is compared with. Most of those that
// are sent in earnest are right but for the way in which they were copied or escaped.
func (v clientView) nearSecrets(sent string) []string {
	if len(v.secrets) == 0 {
		return []string{"the app has no secret"}
	}
	unescaped, _ := url.QueryUnescape(sent)
	for _, near := range []struct{ value, how string }{
		{strings.TrimSpace(sent), "white space around it"},
		{unescaped, "having been escaped twice"},
	} {
		hash := sha256.Sum256([]byte(near.value))
		for i, c := range v.secrets {
			if subtle.ConstantTimeCompare(hash[:], c.hash[:]) == 1 {
				return []string{v.secretLabel(i) + ": it is this one but for " + near.how}
			}
		}
	}
	labels := make([]string, len(v.secrets))
	for i := range v.secrets {
		labels[i] = v.secretLabel(i)
	}
	return labels
}
