// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// clientAuth says how a client proved who it is. The value is what the record
// shows.
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
	malformed *refusal // why the assertion is unreadable; said once it matters
}

// readProof collects the credential of a request. More than one is a malformed
// request, whatever they are worth (RFC 6749, section 2.3).
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
		return p, refuse(9002313, "there is a client secret and a client assertion")
	case raw == "":
		return p, refuse(900144, "client_assertion")
	case kind == "":
		return p, refuse(900144, "client_assertion_type")
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
// Basic, both parts are form-urlencoded first, so a secret with a "%" or a "+"
// that was not is another secret.
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
		return refuse(700025, client.app.appID)
	case p.malformed != nil:
		return p.malformed
	case p.method == authSecret || p.method == authSecretBasic:
		return checkSecret(client, p.secret, c.now)
	case p.method == authCertificate:
		return c.checkSelfSigned(t, tenantName, client, p.assertion)
	case p.method == authFederated:
		return c.checkFederated(client, p.assertion)
	}
	return refuse(7000216)
}

// checkSecret compares with every secret, and says "expired" only to who knows
// one.
func checkSecret(client clientView, secret string, now time.Time) *refusal {
	hash := sha256.Sum256([]byte(secret))
	var valid, expired bool
	for _, c := range client.secrets {
		if subtle.ConstantTimeCompare(hash[:], c.hash[:]) == 1 {
			switch {
			case now.Before(c.notBefore):
			case now.Before(c.notAfter):
				valid = true
			default:
				expired = true
			}
		}
	}
	switch {
	case valid:
		return nil
	case expired:
		return refuse(7000222, client.app.appID)
	}
	return refuse(7000215, client.app.appID)
}
