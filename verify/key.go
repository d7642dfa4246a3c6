// SPDX-License-Identifier: MIT

package verify

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/apponly/apponly/internal/clock"
)

const (
	// maxKeys bounds what one document is believed to hold. Entra's have 6 to 14.
	maxKeys = 1000
	// maxSameID bounds the keys of one name, each of which costs a verification.
	maxSameID = 4
)

// A key is one that Entra publishes. All but what is atomic never changes.
type key struct {
	id       string
	pub      *rsa.PublicKey // nil: it is not usable here, and known
	alg      string         // "" for any
	issuer   string         // "" for any; may have {tenantid} in it
	lastSeen clock.Instant  // in a document
	// dropped once the key is trusted no longer: what it has signed is verified anew.
	dropped *atomic.Bool
}

// usable reports whether the key may sign at all.
func (k *key) usable() bool { return k.pub != nil }

// same reports whether both are one key that may do the same.
func (k *key) same(o *key) bool {
	return k.id == o.id && k.alg == o.alg && k.issuer == o.issuer && k.usable() == o.usable() && (!k.usable() || k.pub.Equal(o.pub))
}

// A jwk is an entry of a key document (RFC 7517 section 4), and what Entra adds.
type jwk struct {
	Kty, Kid, Use, Alg, N, E string
	KeyOps                   []string `json:"key_ops"`
	Issuer                   string
	CloudInstance            string `json:"cloud_instance_name"`
}

// parseKeys reads a key document. Entries that are none are passed over, as one odd
// entry must not cost all keys; odd says what was wrong with one of them. Keys of
// another cloud's instance are known and not usable: the document of the public
// cloud has had keys of the US government's.
func parseKeys(b []byte, instance string) (keys []*key, odd, err error) {
	var doc struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &doc); err != nil {
		return nil, nil, errors.New("the answer is not a key document")
	}
	usable := false
	for _, raw := range doc.Keys[:min(len(doc.Keys), maxKeys)] {
		k, fault := parseKey(raw, instance)
		if fault != nil {
			odd = fault
		}
		if k != nil {
			keys = append(keys, k)
			usable = usable || k.usable()
		}
	}
	if !usable {
		return nil, odd, errors.New("the key document has no key of this cloud that can be used")
	}
	return keys, odd, nil
}

// parseKey reads an entry. fault says why it is no key that Entra signs with.
func parseKey(raw []byte, instance string) (k *key, fault error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, errors.New("is not a key")
	}
	if j.Kid == "" || len(j.Kid) > maxKeyID {
		return nil, errors.New("has no kid")
	}
	k = &key{id: j.Kid, alg: j.Alg, issuer: j.Issuer, dropped: new(atomic.Bool)}
	switch {
	case j.CloudInstance != "" && instance != "" && j.CloudInstance != instance:
		return k, nil // as usual
	case j.Kty != "RSA":
		return k, errors.New("is not an RSA key")
	case j.Use != "" && j.Use != "sig", len(j.KeyOps) > 0 && !slices.Contains(j.KeyOps, "verify"):
		return k, errors.New("is not for signatures")
	}
	n, nErr := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.N, "="))
	e, eErr := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.E, "="))
	if nErr != nil || eErr != nil || len(e) > 4 {
		return k, errors.New("has no modulus or exponent")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if bits := modulus.BitLen(); bits < 2048 || bits > 4096 || modulus.Bit(0) == 0 || exponent < 3 || exponent%2 == 0 || exponent > math.MaxInt32 {
		return k, errors.New("is not an RSA key of 2048 to 4096 bits")
	}
	k.pub = &rsa.PublicKey{N: modulus, E: int(exponent)}
	return k, nil
}

// isFor reports whether the key may sign for a tenant, of which issuer is the v2.0
// one: a key of another tenant, or of the consumers' identity provider, may not,
// whoever has it (Storm-0558).
func (k *key) isFor(issuer issuerForm, tenant string) bool {
	if k.issuer == "" {
		return true
	}
	const placeholder = "tenantid}"
	before, rest, ok := strings.Cut(k.issuer, "{")
	if ok && len(rest) >= len(placeholder) && strings.EqualFold(rest[:len(placeholder)], placeholder) {
		return before == issuer.before && rest[len(placeholder):] == issuer.behind
	}
	return issuer.matches([]byte(k.issuer), tenant)
}

// A keySet is an immutable set of keys by name.
type keySet map[string][]*key

// merge returns the set after a document was read at now: what is in the document,
// and what is not there any more for less than keptFor. Keys vanish from Entra's
// documents for a day and are back. It marks those that are in the set no longer.
func (s keySet) merge(document []*key, now clock.Instant) keySet {
	next := make(keySet, len(document))
	for _, k := range document {
		k.lastSeen = now
		if i := slices.IndexFunc(s[k.id], k.same); i >= 0 {
			k.dropped = s[k.id][i].dropped // what it has signed stays remembered
		}
		if len(next[k.id]) < maxSameID && !slices.ContainsFunc(next[k.id], k.same) {
			next[k.id] = append(next[k.id], k)
		}
	}
	for id, old := range s { // those of one name are of one document
		// A name that is there has what it has now: another issuer or modulus is
		// another key.
		if next[id] == nil && len(next) < maxKeys && !old[0].lastSeen.Add(keptFor).Reached(now) {
			next[id] = old
		}
		for _, k := range old {
			if !slices.ContainsFunc(next[id], k.same) {
				k.dropped.Store(true)
			}
		}
	}
	return next
}
