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

// newSigner makes a key once for the whole run.
var newSigner = func() func(kid string) *signer {
	var mu sync.Mutex
	made := map[string]*signer{}
	return func(kid string) *signer {
		mu.Lock()
		defer mu.Unlock()
		if made[kid] == nil {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			made[kid] = &signer{k, kid}
		}
		return made[kid]
	}
}()

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type fields = map[string]any

// entry is how Entra publishes the key.
func (s *signer) entry() fields {
	return fields{
		"kty": "RSA", "use": "sig", "kid": s.kid, "x5t": s.kid, "n": b64(s.N.Bytes()), "e": b64(big.NewInt(int64(s.E)).Bytes()),
		"issuer": host + "/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.com",
	}
}

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
	return with(claims(fields{
		"aud": "api://" + api, "iss": "https://sts.windows.net/" + tenant + "/", "ver": "1.0",
		"azp": nil, "azpacr": nil, "appid": daemon, "appidacr": "1", "idp": "https://sts.windows.net/" + tenant + "/",
	}), changes)
}

// marshal returns v as JSON, or v itself if it is a string.
func marshal(v any) []byte {
	if s, ok := v.(string); ok {
		return []byte(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// sign signs any header and payload, objects or texts, by RS256.
func (s *signer) sign(header, payload any) string {
	return s.signRaw(b64(marshal(header)) + "." + b64(marshal(payload)))
}

func (s *signer) signRaw(signed string) string {
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, s.PrivateKey, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + b64(sig)
}

// token is one with some claims, signed as Entra signs.
func (s *signer) token(c fields) string { return s.sign(s.header(), c) }

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
