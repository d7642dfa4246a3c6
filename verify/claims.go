// SPDX-License-Identifier: MIT

package verify

import (
	"bytes"
	"errors"
	"strings"
)

// claims are the members of a payload that anything here goes by, in the memory of
// the payload. Which of them there are differs between v1.0 and v2.0 tokens; see
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
type claims struct {
	issuer, audience, tenant, version []byte
	subject, objectID, tokenID        []byte
	client, clientAuth                []byte // azp and azpacr, or appid and appidacr
	idType                            []byte
	expires, notBefore, issued        int64 // seconds since 1970, 0 if not there
	roles                             []string
	hasScope, hasIDType               bool
	challengeable                     bool // xms_cc
}

// claimNames are those that count. One of them in another letter case is another
// claim for one reader and the same for the next.
var claimNames = []string{
	"iss", "aud", "tid", "ver", "sub", "oid", "uti", "azp", "azpacr", "appid", "appidacr",
	"idtyp", "exp", "nbf", "iat", "roles", "scp", "xms_cc",
}

// parseClaims reads a payload.
func parseClaims(payload []byte, known interned) (*claims, error) {
	c := new(claims)
	var v1, v2 appClaims
	err := members(payload, func(name []byte, value jsonValue) error {
		ok := true
		switch string(name) {
		case "iss":
			c.issuer, ok = value.text()
		case "aud":
			c.audience, ok = value.text()
		case "tid":
			c.tenant, ok = value.text()
		case "ver":
			c.version, ok = value.text()
		case "sub":
			c.subject, ok = value.text()
		case "oid":
			c.objectID, ok = value.text()
		case "uti":
			c.tokenID, ok = value.text()
		case "azp":
			v2.id, ok = value.text()
		case "azpacr":
			v2.auth, ok = value.text()
		case "appid":
			v1.id, ok = value.text()
		case "appidacr":
			v1.auth, ok = value.text()
		case "idtyp":
			c.idType, ok = value.text()
			c.hasIDType = true
		case "exp":
			c.expires, ok = value.seconds()
		case "nbf":
			c.notBefore, ok = value.seconds()
		case "iat":
			c.issued, ok = value.seconds()
		case "roles":
			c.roles, ok = value.texts(known)
		case "scp":
			c.hasScope = true // whatever it is
		case "xms_cc":
			c.challengeable = holdsCP1(value)
		default:
			return wrongCase(name, claimNames...)
		}
		if !ok {
			return errors.New(string(name) + " is not of its type")
		}
		return nil
	})
	own := v2
	if string(c.version) == "1.0" {
		own = v1
	}
	c.client, c.clientAuth = own.id, own.auth
	return c, err
}

// appClaims are those that say which app asked, and how it proved itself.
type appClaims struct{ id, auth []byte }

// wrongCase returns an error if name is one of names in another letter case.
func wrongCase(name []byte, names ...string) error {
	lower := true
	for _, c := range name {
		lower = lower && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_')
	}
	if lower {
		return nil
	}
	for _, n := range names {
		if bytes.EqualFold(name, []byte(n)) { // which folds more than ASCII, as encoding/json does
			return errors.New(n + " is not in its letter case")
		}
	}
	return nil
}

// holdsCP1 reads xms_cc, the capabilities of the client.
func holdsCP1(value jsonValue) bool {
	all, ok := value.texts(nil)
	if !ok {
		return false
	}
	for _, s := range all {
		if strings.EqualFold(s, "cp1") {
			return true
		}
	}
	return false
}

// interned are the texts that token after token holds, those of the rules, so that
// they are in memory once.
type interned map[string]string

func (known interned) text(b []byte) string {
	if s, ok := known[string(b)]; ok {
		return s
	}
	return string(b)
}
