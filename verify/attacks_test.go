// SPDX-License-Identifier: MIT

package verify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/verify"
)

// An attack is a token, or an odd one that is good, and what has to come of it.
type attack struct {
	name  string
	token string
	want  verify.Kind // "": it is accepted
	// at is how the API is set up: keys(), byRole and no options where it says nothing.
	at setup
	// unsigned: the signature is not looked at, so that a tenant that no rule is for
	// is nobody's word.
	unsigned bool
}

type setup struct {
	keys  []any
	rules []verify.Rule
	opts  verify.Options
}

func (s setup) open(t testing.TB) *verify.Verifier {
	if s.keys == nil {
		s.keys = keys()
	}
	if s.rules == nil {
		s.rules = byRole
	}
	return open(t, serveKeys(s.keys...), s.rules, s.opts)
}

const (
	consumers = "9188040d-6c67-4c5b-b112-36a304b66dad" // tenant of Microsoft accounts
	evilKey   = "evil"                                 // is in no document
)

var longKeyID = strings.Repeat("k", 128)

// keys is a document with keys of all sorts. They are two, under many names.
func keys() []any {
	one, two := newSigner("k1"), newSigner("k2")
	all := []any{one.entry(), two.entry(), two.named(longKeyID).entry()}
	for kid, changes := range map[string]fields{
		"government": {"cloud_instance_name": "microsoftonline.us"},
		"consumers":  {"issuer": host + "/" + consumers + "/v2.0"},
		"theirs":     {"issuer": host + "/" + other + "/v2.0"},
		"ours":       {"issuer": host + "/" + tenant + "/v2.0"},
		"v1form":     {"issuer": "https://sts.windows.net/{tenantid}/"},
		"elsewhere":  {"issuer": "https://login.microsoftonline.us/{tenantid}/v2.0"},
		"noissuer":   {"issuer": nil, "cloud_instance_name": nil},
		"camel":      {"issuer": host + "/{tenantId}/v2.0"},
		"rs256":      {"alg": "RS256"},
		"ps256":      {"alg": "PS256"},
		"rs512":      {"alg": "RS512"},
		"enc":        {"use": "enc"},
		"nouse":      {"use": nil},
		"signs":      {"key_ops": []string{"sign"}},
		"verifies":   {"key_ops": []string{"verify"}},
		"ec":         {"kty": "EC"},
		"tiny":       {"n": b64(tiny().N.Bytes())},
	} {
		all = append(all, with(two.named(kid).entry(), changes))
	}
	return append(all, one.named("twice").entry(), two.named("twice").entry(),
		one.named("half").entry(), with(two.named("half").entry(), fields{"use": "enc"}))
}

// tiny is a key of 1024 bits.
func tiny() *signer { return newSmallSigner("tiny") }

// Each theme is in a file of its own.
var themes = map[string]func() []attack{
	"algorithm": algorithmAttacks, "header": headerAttacks, "key": keyAttacks,
	"form": formAttacks, "base64": base64Attacks, "signature": signatureAttacks,
	"members": memberAttacks, "json": jsonAttacks, "text": textAttacks,
	"types": typeAttacks, "issuer": issuerAttacks, "cloud": cloudAttacks, "audience": audienceAttacks,
	"time": timeAttacks, "app-only": appOnlyAttacks, "rules": ruleAttacks, "tenants": tenantAttacks,
}

// TestAttacks judges each token twice, as the second time it may be remembered, as the
// header of a good one is, and through the middleware, whose answers are the same to the byte for all that is
// wrong with a token.
func TestAttacks(t *testing.T) {
	for theme, attacks := range themes {
		t.Run(theme, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				names := map[string]bool{}
				for _, a := range attacks() {
					if names[a.name] {
						t.Errorf("%s: there twice", a.name)
					}
					names[a.name] = true
					a.judge(t)
				}
			})
		})
	}
}

func (a attack) judge(t *testing.T) {
	v := a.at.open(t)
	for _, turn := range []string{"first", "again"} {
		if turn == "again" && a.at.rules == nil {
			_, _ = v.Verify(t.Context(), newSigner("k1").token(claims(nil)))
		}
		c, err := v.Verify(t.Context(), a.token)
		switch e, _ := errors.AsType[*verify.Error](err); {
		case a.want == "" && (err != nil || c == nil):
			t.Errorf("%s, %s: %v, want it accepted", a.name, turn, err)
		case a.want != "" && (e == nil || e.Kind != a.want || c != nil):
			t.Errorf("%s, %s: %v, want %q", a.name, turn, err, a.want)
		case a.want != "":
			a.judgeError(t, e)
		default:
			if err := secondOpinion(a.token, c, keys()); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
	r.Header["Authorization"] = []string{"Bearer " + a.token}
	if got, want := answer(v.Middleware(welcome), r), a.answer(); got != want {
		t.Errorf("%s: the answer is %q, want %q", a.name, got, want)
	}
}

// judgeError looks for what an error has to say, and for what it must not: IDs before
// Entra's signature was found, and the token.
func (a attack) judgeError(t *testing.T, e *verify.Error) {
	group := a.want.Group()
	if a.unsigned {
		group = verify.ErrUnauthenticated
	}
	unknown := group == verify.ErrUnauthenticated && slices.Contains([]verify.Kind{
		verify.ErrNoToken, verify.ErrEncrypted, verify.ErrAlgorithm, verify.ErrUnknownKey, verify.ErrSignature, verify.ErrTenant,
	}, a.want)
	text := fmt.Sprintf("%v %+v %#v", e.Error(), *e, e.LogValue())
	switch {
	case !errors.Is(e, a.want) || !errors.Is(e, group):
		t.Errorf("%s: not of the group %q", a.name, group)
	case unknown && (e.TenantID != "" || e.ClientID != "" || strings.Contains(text, tenant)):
		t.Errorf("%s: tells IDs that nobody vouches for: %s", a.name, text)
	case errors.Unwrap(e) != nil && group != verify.ErrUnavailable:
		t.Errorf("%s: has a cause", a.name)
	case strings.ContainsAny(e.Error(), "\r\n\x00"), len(e.Error()) > 600:
		t.Errorf("%s: no line for a log: %q", a.name, e.Error())
	}
	for part := range strings.SplitSeq(a.token, ".") {
		if len(part) > 20 && strings.Contains(text, part[:20]) {
			t.Errorf("%s: the token is in %s", a.name, text)
		}
	}
}

// welcome is an API behind the middleware.
var welcome http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, ok := verify.FromContext(r.Context()); !ok {
		panic("nobody in the context")
	}
})

// answer is all of what h answers to r.
func answer(h http.Handler, r *http.Request) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var b strings.Builder
	fmt.Fprintf(&b, "%d\r\n", w.Code)
	w.Result().Header.Write(&b)
	return b.String() + w.Body.String()
}

// refusal is the whole of an answer that lets nobody in.
func refusal(status int, headers ...string) string {
	all := append(headers, "Cache-Control: no-store", "Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff")
	slices.Sort(all)
	return fmt.Sprintf("%d\r\n%s\r\n%s\n", status, strings.Join(all, "\r\n"), http.StatusText(status))
}

var (
	noToken      = refusal(401, `Www-Authenticate: Bearer realm="", authorization_uri="`+host+`/common/oauth2/v2.0/authorize"`)
	invalidToken = refusal(401, `Www-Authenticate: Bearer realm="", authorization_uri="`+host+`/common/oauth2/v2.0/authorize", error="invalid_token", error_description="the access token is not valid for this API"`)
	forbidden    = refusal(403, `Www-Authenticate: Bearer realm="", error="insufficient_scope"`)
	unavailable  = refusal(503, "Retry-After: 1")
)

func (a attack) answer() string {
	switch group := a.want.Group(); {
	case a.want == "":
		return "200\r\n"
	case a.want == verify.ErrNoToken:
		return noToken
	case group == verify.ErrUnauthenticated || a.unsigned:
		return strings.Replace(invalidToken, host, a.at.opts.Cloud.Authority(), 1)
	case group == verify.ErrForbidden:
		return forbidden
	}
	return unavailable
}

// secondOpinion says where golang-jwt and encoding/json differ from c: who reads the
// token once more behind the middleware must read the same one. The key is any of its
// name among entries.
func secondOpinion(token string, c *verify.Caller, entries []any) error {
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation()).
		Parse(token, func(parsed *jwt.Token) (any, error) {
			var set jwt.VerificationKeySet
			for _, e := range entries {
				if e := e.(fields); e["kid"] == parsed.Header["kid"] {
					set.Keys = append(set.Keys, publicKey(e))
				}
			}
			return set, nil
		})
	if err != nil {
		return err
	}
	var read struct {
		Tid, Iss, Aud, Ver, Azp, Appid, Oid, Sub, Uti string
		Exp, Iat                                      int64
		Roles                                         []string
	}
	payload := must(jwt.NewParser().DecodeSegment(strings.Split(token, ".")[1]))
	if err := json.Unmarshal(payload, &read); err != nil {
		return err
	}
	client := read.Azp
	if read.Ver == "1.0" {
		client = read.Appid
	}
	m := parsed.Claims.(jwt.MapClaims)
	switch aud, _ := m.GetAudience(); {
	case read.Tid != c.TenantID, strings.ToLower(client) != c.ClientID, read.Oid != c.ObjectID, read.Sub != c.Subject, read.Exp != c.ExpiresAt.Unix(),
		!slices.Equal(read.Roles, c.Roles()), read.Ver != fmt.Sprintf("%d.0", c.Version), read.Uti != c.TokenID, (read.Iat == 0) != c.IssuedAt.IsZero(), read.Iat != 0 && read.Iat != c.IssuedAt.Unix():
		return fmt.Errorf("encoding/json has %+v, Verify %+v", read, c)
	case m["tid"] != read.Tid, m["iss"] != read.Iss, len(aud) != 1, aud[0] != read.Aud, fmt.Sprint(m["exp"]) != fmt.Sprint(read.Exp):
		return fmt.Errorf("golang-jwt has %v", m)
	}
	return nil
}

func publicKey(entry fields) jwt.VerificationKey {
	public := newSigner("k1").PublicKey
	public.N = new(big.Int).SetBytes(must(jwt.NewParser().DecodeSegment(entry["n"].(string))))
	return &public
}
