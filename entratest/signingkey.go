// SPDX-License-Identifier: MIT

package entratest

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/ident"
)

// Key is an entry of the emulator's key documents: a key that access tokens are signed
// with, or one of [Server.AddKey]. It has its private half here, for [Server.Sign].
type Key struct {
	s       *Server
	number  int // of private in its pool
	private *rsa.PrivateKey
	options KeyOptions
	common  map[string]any // what the entry has in every document

	hidden bool // guarded by s.mu
}

// KeyOptions is what is special about a key. The zero value is a key like those that the
// emulator signs with.
type KeyOptions struct {
	// ID is the kid and the x5t. If empty it is the thumbprint of the key's certificate, as
	// at Entra. Several keys may have the same.
	ID string

	// Issuer says in the version 2 documents whose tokens the key is for. In it
	// "{tenantid}" means any tenant, and is the tenant's ID in a tenant's own document. If
	// empty it is the emulator's. A key with an issuer of [ConsumerTenant] is not in the
	// document of organizations.
	Issuer string

	// CloudInstance is the cloud_instance_name in the version 2 documents. If empty it is
	// that of the emulator: the InstanceName of its cloud, or the host without "login.".
	CloudInstance string

	Use string // if empty it is "sig"
	Alg string // Entra's keys have none, and this one has none if it is empty

	// AppID restricts the key to the documents of tenants that are asked for with
	// ?appid= and this ID: a custom signing key of that app.
	AppID string

	Bits   int  // of the modulus, 1024 to 8192; 0: 2048
	Hidden bool // not in the documents at first; see [Key.SetHidden]

	// Members replace members of the entry, and are added to it, in all documents. One
	// that is nil is taken away: {"issuer": nil, "key_ops": []string{"verify"}}.
	Members map[string]any

	// Raw is what stands in the documents in place of the entry, whatever JSON it is: a
	// key of another type, or a number.
	Raw json.RawMessage
}

// ConsumerTenant is the tenant of personal Microsoft accounts. In the document of common
// Entra also has the keys for its tokens; an API for organizations that accepts a token
// signed with one of them has a hole.
const ConsumerTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// addedPools are the keys for AddKey by their size, apart from those that Entra signs
// with.
var addedPools = struct {
	sync.Mutex
	bySize map[int]keyPool
}{bySize: make(map[int]keyPool)}

func addedPool(bits int) keyPool {
	addedPools.Lock()
	defer addedPools.Unlock()
	if addedPools.bySize[bits] == nil {
		addedPools.bySize[bits] = newKeyPool(maxDistinct, bits)
	}
	return addedPools.bySize[bits]
}

// maxDistinct is how many RSA keys of a size are made.
const maxDistinct = 8

// AddKey publishes another key in the documents of all tenants. The emulator signs
// nothing with it; [Server.Sign] does. What is signed with it neither passes
// [Resource.Protect] nor counts as an assertion of Entra. AddKey panics if a value in o
// is not possible.
//
// The RSA keys are made when needed and shared by the whole process. Eight in a row of a
// size differ from each other; after that they come again, under other IDs.
func (s *Server) AddKey(o KeyOptions) *Key {
	o.Bits = cmp.Or(o.Bits, 2048)
	panicIf(o.settle())
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	s.mu.RLock()
	number := len(slices.DeleteFunc(slices.Clone(s.added), func(k *Key) bool { return k.options.Bits != o.Bits }))
	s.mu.RUnlock()
	k := s.newKey(number, addedPool(o.Bits), o)
	s.update(func() { s.added = append(s.added, k) })
	return k
}

// settle says what is not possible, and copies what the caller could change later.
func (o *KeyOptions) settle() error {
	if o.AppID != "" && !ident.IsGUID(o.AppID) {
		return fmt.Errorf("app ID %q of a key is not a GUID", o.AppID)
	}
	if o.Bits < 1024 || o.Bits > 8192 {
		return fmt.Errorf("key of %d bits, want 1024 to 8192", o.Bits)
	}
	members := make(map[string]any, len(o.Members))
	for name, v := range o.Members {
		if v == nil {
			members[name] = nil
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("member %q of a key: %w", name, err)
		}
		members[name] = json.RawMessage(raw)
	}
	o.Members = members
	if o.Raw = slices.Clone(o.Raw); o.Raw != nil && !json.Valid(o.Raw) {
		return fmt.Errorf("entry of a key document: %q is not JSON", shorten(string(o.Raw), maxRecorded))
	}
	return nil
}

// newKey is called with keyMu held.
func (s *Server) newKey(number int, pool keyPool, o KeyOptions) *Key {
	k := &Key{s: s, number: number, private: pool.get(number), options: o, hidden: o.Hidden}
	now := time.Now()
	cert := makeCertificate("entratest signing", x509.Certificate{
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.AddDate(5, 0, 0),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}, &k.private.PublicKey, nil, k.private)
	if k.options.ID == "" {
		sum := sha1Thumbprint(cert.Raw)
		k.options.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	k.common = publicJWK(k.ID(), &k.private.PublicKey)
	k.common["use"] = cmp.Or(o.Use, "sig")
	k.common["x5t"] = k.ID()
	k.common["x5c"] = []string{base64.StdEncoding.EncodeToString(cert.Raw)}
	if o.Alg != "" {
		k.common["alg"] = o.Alg
	}
	return k
}

// ID returns the kid.
func (k *Key) ID() string { return k.options.ID }

// Private returns the key itself, for what [Server.Sign] cannot make. It is one of a few
// that the whole process shares: good for tests and nothing else.
func (k *Key) Private() *rsa.PrivateKey { return k.private }

// SetHidden takes the key out of the documents, or puts it back. Entra's keys come and
// go: single ones have been missing for a day. A key that [Server.Rollover] has retired
// does not come back.
func (k *Key) SetHidden(hidden bool) { k.s.update(func() { k.hidden = hidden }) }

// SigningKey returns the key that access tokens are signed with until the next
// [Server.Rollover].
func (s *Server) SigningKey() *Key { return s.published()[0] }

// Rollover makes the emulator sign tokens with a new key, under a new kid. The
// old one stays published until the next Rollover, so that the tokens it signed
// still verify. An API that keeps the keys it once fetched fails from then on;
// Entra expects it to look again when it meets a kid it does not know.
func (s *Server) Rollover() {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	last := s.published()[0]
	next := s.newKey(last.number+1, signingKeys, KeyOptions{})
	s.update(func() { s.signers = []*Key{next, last} })
}

// published returns the keys that are the emulator's own, hidden or not.
func (s *Server) published() []*Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.signers
}

// publishedKeys returns the keys that verify what Entra itself has signed.
func (s *Server) publishedKeys() []verificationKey {
	var keys []verificationKey
	for _, k := range s.published() {
		keys = append(keys, verificationKey{k.ID(), &k.private.PublicKey})
	}
	return keys
}
