// SPDX-License-Identifier: MIT

package verify_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly/verify"
)

const (
	api    = "aaaaaaaa-0000-4000-8000-00000000000a"
	tenant = "11111111-1111-4111-8111-111111111111"
	other  = "22222222-2222-4222-8222-222222222222"
	daemon = "dddddddd-0000-4000-8000-00000000000d"
	object = "eeeeeeee-0000-4000-8000-00000000000e"
	host   = "https://login.microsoftonline.com"
)

// A signer is a key of the tests' own.
type signer struct {
	*rsa.PrivateKey
	kid string
}

// newSigner and newSmallSigner make a key once for the whole run. The small ones are
// too small.
var newSigner, newSmallSigner = signers(2048), signers(1024)

func signers(bits int) func(kid string) *signer {
	var mu sync.Mutex
	made := map[string]*signer{}
	return func(kid string) *signer {
		mu.Lock()
		defer mu.Unlock()
		if made[kid] == nil {
			made[kid] = &signer{must(rsa.GenerateKey(rand.Reader, bits)), kid}
		}
		return made[kid]
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type fields = map[string]any

// entry is how Entra publishes the key.
func (s *signer) entry() fields {
	return fields{
		"kty": "RSA", "use": "sig", "kid": s.kid, "x5t": s.kid, "n": b64(s.N.Bytes()), "e": b64(big.NewInt(int64(s.E)).Bytes()),
		"issuer": host + "/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.com",
	}
}

// named is the same key under another name.
func (s *signer) named(kid string) *signer { return &signer{s.PrivateKey, kid} }

// null is the value that JSON has for it; nil takes a member away.
var null = json.RawMessage("null")

// with returns m with some members changed, or taken away if nil.
func with(m fields, changes fields) fields {
	m = maps.Clone(m)
	for name, v := range changes {
		if v == nil {
			delete(m, name)
		} else {
			m[name] = v
		}
	}
	return m
}

// both are the changes of a and, where they differ, of b.
func both(a, b fields) fields {
	all := fields{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

func (s *signer) header() fields {
	return fields{"typ": "JWT", "alg": "RS256", "kid": s.kid, "x5t": s.kid}
}

// claims are those of an app-only token of version 2.0 that is good.
func claims(changes fields) fields {
	now := time.Now().Unix()
	return with(fields{
		"aud": api, "iss": host + "/" + tenant + "/v2.0", "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
		"aio": "E2ZgYFBc", "azp": daemon, "azpacr": "1", "oid": object, "rh": "0.AX", "roles": []string{"Orders.Read", "Orders.Write"},
		"sub": object, "tid": tenant, "uti": "token-id", "ver": "2.0",
	}, changes)
}

// claimsV1 are those of one of version 1.0.
func claimsV1(changes fields) fields {
	return claims(both(fields{
		"aud": "api://" + api, "iss": "https://sts.windows.net/" + tenant + "/", "ver": "1.0",
		"azp": nil, "azpacr": nil, "appid": daemon, "appidacr": "1", "idp": "https://sts.windows.net/" + tenant + "/",
	}, changes))
}

// marshal returns v as JSON, or v itself if it is a string.
func marshal(v any) []byte {
	if s, ok := v.(string); ok {
		return []byte(s)
	}
	return must(json.Marshal(v))
}

// sign signs any header and payload, objects or texts, by RS256.
func (s *signer) sign(header, payload any) string {
	return s.signRaw(b64(marshal(header)) + "." + b64(marshal(payload)))
}

func (s *signer) signRaw(signed string) string { return signed + "." + b64(s.rs256(signed)) }

func (s *signer) rs256(signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	return must(rsa.SignPKCS1v15(nil, s.PrivateKey, crypto.SHA256, sum[:]))
}

func (s *signer) ps256(signed string, salt int) []byte {
	sum := sha256.Sum256([]byte(signed))
	return must(rsa.SignPSS(rand.Reader, s.PrivateKey, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// token is one with some claims, signed as Entra signs.
func (s *signer) token(c fields) string { return s.sign(s.header(), c) }

// headed is a good token but for members of its header.
func (s *signer) headed(changes fields) string { return s.sign(with(s.header(), changes), claims(nil)) }

// inserted is a good token with text in front of the members of its payload.
func (s *signer) inserted(text string, changes fields) string {
	return s.sign(s.header(), "{"+text+string(marshal(claims(changes)))[1:])
}

// A keyServer is Entra's key documents, in memory: it works in bubbles.
type keyServer struct {
	fetches atomic.Int64
	mu      sync.Mutex
	answer  func(r *http.Request) (int, []byte)
}

func serveKeys(entries ...any) *keyServer {
	s := new(keyServer)
	s.set(entries...)
	return s
}

func (s *keyServer) set(entries ...any) {
	body := marshal(fields{"keys": entries})
	s.answers(func(*http.Request) (int, []byte) { return 200, body })
}

func (s *keyServer) answers(f func(*http.Request) (int, []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	f := s.answer
	s.mu.Unlock()
	status, body := f(r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
}

var byRole = []verify.Rule{{Tenant: tenant, Roles: []string{"Orders.Read"}}}

// open returns a verifier that has its keys from s.
func open(t testing.TB, s *keyServer, rules []verify.Rule, o verify.Options) *verify.Verifier {
	t.Helper()
	o.HTTPClient = &http.Client{Transport: s}
	v, err := verify.New(api, rules, &o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
