// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/entratest"
)

const demoSubject = "system:serviceaccount:demo:worker"

// wrongRequest starts as a correct one with a secret; a row breaks one thing.
type wrongRequest struct {
	method, tenant string
	url            string // instead of the token endpoint of tenant
	header         http.Header
	form           url.Values
	body           string // instead of form
}

type edit = func(r *wrongRequest)

// refusalCase is a wrong request and what it has to be answered with.
type refusalCase struct {
	name   string
	edit   edit
	code   int
	status int
	error  string
}

// What error can be, in the tables of refusals.
const (
	badRequest, badClient = "invalid_request", "invalid_client"
	badScope, badResource = "invalid_scope", "invalid_resource"
	badApp, badGrant      = "unauthorized_client", "invalid_grant"
)

func (tt refusalCase) run(t *testing.T, s *entratest.Server) tokenResponse {
	t.Helper()
	r := &wrongRequest{method: http.MethodPost, tenant: s.Tenant().ID(), header: http.Header{}, form: secretForm(s)}
	r.header.Set("Content-Type", "application/x-www-form-urlencoded")
	tt.edit(r)
	if r.body == "" {
		r.body = r.form.Encode()
	}
	if r.url == "" {
		r.url = s.Cloud().TokenEndpoint(r.tenant)
	}
	req, err := http.NewRequest(r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.header
	got := do(t, s.HTTPClient(), req)
	if !slices.Equal(got.Codes, []int{tt.code}) || got.Status != tt.status || got.Error != tt.error {
		t.Errorf("got %v %d %s, want %d %d %s\n%s", got.Codes, got.Status, got.Error, tt.code, tt.status, tt.error, got.Description)
	}
	if want := fmt.Sprintf("AADSTS%d: ", tt.code); !strings.HasPrefix(got.Description, want) || strings.Contains(got.Description, "%!") {
		t.Errorf("broken text, want it to begin with %q: %s", want, got.Description)
	}
	log := s.Requests()
	if last := log[len(log)-1]; last.Code != tt.code || last.Status != tt.status {
		t.Errorf("recorded %+v", last)
	} else if n := len(last.Comparisons); !slices.Contains(states, tt.code) && (n == 0 || !slices.ContainsFunc(last.Comparisons, failed)) {
		t.Errorf("it is not recorded why: %+v", last)
	}
	return got
}

// states are the refusals that compare nothing: something is switched off.
var states = []int{5000224, 900382, 7000112, 700223, 501661, 50001, 500014, 53003, 530032, 530035, 1000031}

func failed(c entratest.Comparison) bool { return !c.Matched }

// otherLastCharacter changes those bits at the end of a signature that mean
// nothing: 256 bytes do not fill 342 characters.
func otherLastCharacter(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last^1:][:1]
}

// withAssertion makes a request carry an assertion instead of the secret.
func withAssertion(s *entratest.Server, token string) edit {
	return func(r *wrongRequest) { r.form = assertionForm(s, token) }
}

func TestRefusals(t *testing.T) {
	s := entratest.New(t)
	for _, tt := range wrongRequests(s) {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

// TestDuplicateIsNamed has the same request get the same text every time.
func TestDuplicateIsNamed(t *testing.T) {
	s := entratest.New(t)
	form := secretForm(s)
	for _, name := range []string{"c", "a", "b"} {
		form[name] = []string{"1", "2"}
	}
	for range 20 {
		if got := postForm(t, s, s.Tenant().ID(), form); !strings.Contains(got.Description, "parameter 'a'") {
			t.Fatalf("got %s, want the first parameter in it", got.Description)
		}
	}
}

// TestEveryRefusalIsProduced keeps numbers out that no request leads to.
func TestEveryRefusalIsProduced(t *testing.T) {
	produced := make(map[int]bool)
	for _, tt := range wrongRequests(entratest.New(t)) {
		produced[tt.code] = true
	}
	for _, tt := range conditions {
		produced[tt.code] = true
	}
	for _, tt := range badConsents {
		produced[tt.code] = true
	}
	for _, tt := range goodConsents { // cancelled
		if tt.want.Has("error") {
			produced[65004] = true
		}
	}
	for _, code := range entratest.RefusalCodes() {
		if !produced[code] {
			t.Errorf("AADSTS%d is in the table of refusals, but no row of a test leads to it", code)
		}
	}
	if n := len(entratest.RefusalCodes()); n < 40 {
		t.Errorf("%d numbers, want 40 at least", n)
	}
}

// wrongRequests are requests in which something is wrong, while the directory is
// in order.
func wrongRequests(s *entratest.Server) []refusalCase {
	now := time.Now()
	const guid = "11111111-2222-4333-8444-555555555555"
	aud := s.Cloud().ExchangeAudience()

	expired := s.App().NewSecret(now.Add(-time.Second))
	removed := s.App().NewSecret(now.Add(time.Hour))
	s.App().RemoveSecret(removed)
	bare := s.Tenant().NewApp()
	elsewhere := s.AddTenant("fabrikam.example").NewApp()
	foreign := s.AddTenant().NewResource("https://elsewhere.test")
	s.Tenant().NewResource("https://Second.test")
	s.Tenant().NewResource("orders.contoso.example")
	s.Tenant().NewResource("api://Orders")
	unknownCert := s.App().NewCertificate(now.Add(-time.Hour), now.Add(time.Hour))
	s.App().RemoveCertificate(unknownCert.Leaf)
	oldCert := s.App().NewCertificate(now.Add(-2*time.Hour), now.Add(-time.Hour))
	newCert := s.App().NewCertificate(now.Add(time.Hour), now.Add(2*time.Hour))
	otherIssuer := s.NewIssuer("https://other.test")
	realEntra := s.NewIssuer(cloud.Public.Authority() + "/" + guid + "/v2.0")
	s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: realEntra.URL(), Subject: guid, Audience: aud})
	s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: "https://unreachable.test", Subject: "x", Audience: aud})
	impostor := entratest.NewServer().NewIssuer(s.Issuer().URL())
	unreachable := entratest.NewServer().NewIssuer("https://unreachable.test")

	set := func(k, v string) edit { return func(r *wrongRequest) { r.form.Set(k, v) } }
	del := func(k string) edit { return func(r *wrongRequest) { r.form.Del(k) } }
	tenant := func(name string) edit { return func(r *wrongRequest) { r.tenant = name } }
	basic := func(id, secret string) edit {
		return func(r *wrongRequest) {
			r.form.Del("client_secret")
			r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
		}
	}
	assertion := func(token string) edit { return withAssertion(s, token) }
	cert := func(change func(tok *jwt.Token, c jwt.MapClaims)) edit { return assertion(selfSigned(s, change)) }
	claim := func(k string, v any) edit {
		return cert(func(_ *jwt.Token, c jwt.MapClaims) {
			if v == nil {
				delete(c, k)
			} else {
				c[k] = v
			}
		})
	}
	head := func(k string, v any) edit { return cert(func(tok *jwt.Token, _ jwt.MapClaims) { tok.Header[k] = v }) }
	federated := func(i *entratest.Issuer, c entratest.Claims) edit { return assertion(i.Token(c)) }
	// spelled gives a claim or a name of the header another letter case.
	spelled := func(name, otherwise string) edit {
		return cert(func(tok *jwt.Token, c jwt.MapClaims) {
			for _, m := range []map[string]any{tok.Header, c} {
				if v, ok := m[name]; ok {
					delete(m, name)
					m[otherwise] = v
				}
			}
		})
	}
	good := selfSigned(s, nil)
	broken := func(token, by string) edit { return assertion(token[:len(token)-20] + by + token[len(token)-20:]) }
	tampered := s.FederatedToken()
	tampered = tampered[:strings.LastIndex(tampered, ".")+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	signedBy := func(method jwt.SigningMethod, key any) edit {
		return assertion(signedWith(s, s.Certificate(), key, func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Method = method
			tok.Header["alg"] = method.Alg()
		}))
	}

	return []refusalCase{
		{"verb GET", func(r *wrongRequest) { r.method = http.MethodGet }, 900561, 400, badRequest},
		{"verb PUT", func(r *wrongRequest) { r.method = http.MethodPut }, 900561, 400, badRequest},
		{"content type JSON", func(r *wrongRequest) { r.header.Set("Content-Type", "application/json") }, 900144, 400, badRequest},
		{"content type missing", func(r *wrongRequest) { r.header.Del("Content-Type") }, 900144, 400, badRequest},
		{"body too large", func(r *wrongRequest) { r.body = "a=" + strings.Repeat("b", 1<<20) }, 9002313, 400, badRequest},
		{"body not a form", func(r *wrongRequest) { r.body = "a=%zz" }, 9002313, 400, badRequest},
		{"body empty", func(r *wrongRequest) { r.form = nil }, 900144, 400, badRequest},
		{"parameter twice", func(r *wrongRequest) { r.form.Add("scope", r.form.Get("scope")) }, 9002313, 400, badRequest},
		{"unknown parameter twice", func(r *wrongRequest) { r.form["x"] = []string{"1", "2"} }, 9002313, 400, badRequest},

		{"tenant unknown GUID", tenant(guid), 90002, 400, badRequest},
		{"tenant unknown domain", tenant("nobody.example"), 90002, 400, badRequest},
		{"tenant common", tenant("common"), 50059, 400, badRequest},
		{"tenant organizations", tenant("Organizations"), 50059, 400, badRequest},
		{"tenant consumers", tenant("consumers"), 9001023, 400, badRequest},
		{"tenant empty GUID", tenant("00000000-0000-0000-0000-000000000000"), 900021, 400, badRequest},
		{"regional host", func(r *wrongRequest) {
			r.url = strings.Replace(s.Cloud().TokenEndpoint(r.tenant), "https://", "https://westeurope.", 1)
		}, 100007, 400, badRequest},
		{"authority unknown", func(r *wrongRequest) {
			r.method, r.url = http.MethodGet, s.Cloud().Authority()+"/common/discovery/instance?authorization_endpoint=https://evil.test/x"
		}, 50049, 400, "invalid_instance"},
		{"tenant one label", tenant("undefined"), 900023, 400, badRequest},
		{"tenant with underscore", tenant("a_b.example"), 900023, 400, badRequest},
		{"tenant empty", tenant(""), 900023, 400, badRequest},

		{"grant type missing", del("grant_type"), 900144, 400, badRequest},
		{"grant type other", set("grant_type", "password"), 70003, 400, "unsupported_grant_type"},

		{"client missing", del("client_id"), 900144, 400, badRequest},
		{"client unknown", set("client_id", guid), 700016, 400, badApp},
		{"client not a GUID", set("client_id", "worker"), 700016, 400, badApp},
		{"client of another tenant", set("client_id", elsewhere.ClientID()), 7000229, 401, badClient},
		{"client asked in another tenant", tenant("FABRIKAM.example"), 7000229, 401, badClient},

		{"no credential", del("client_secret"), 7000216, 401, badClient},
		{"client the empty GUID", set("client_id", "00000000-0000-0000-0000-000000000000"), 700038, 400, badApp},
		{"secret empty", set("client_secret", ""), 7000216, 401, badClient},
		{"secret wrong", set("client_secret", s.Secret()+"x"), 7000215, 401, badClient},
		{"secret cut", set("client_secret", s.Secret()[1:]), 7000215, 401, badClient},
		{"secret expired", set("client_secret", expired), 7000222, 401, badClient},
		{"secret removed", set("client_secret", removed), 7000215, 401, badClient},
		{"secret of another app", set("client_id", bare.ClientID()), 7000215, 401, badClient},
		{"secret and assertion", func(r *wrongRequest) {
			r.form = assertionForm(s, good)
			r.form.Set("client_secret", s.Secret())
		}, 9002313, 400, badRequest},
		{"basic wrong secret", basic(s.App().ClientID(), "nope"), 7000215, 401, badClient},
		{"basic other client", basic(guid, s.Secret()), 9002313, 400, badRequest},
		{"basic without colon", func(r *wrongRequest) { r.header.Set("Authorization", "Basic bm8=") }, 9002313, 400, badRequest},
		{"basic without client", func(r *wrongRequest) { basic("", s.Secret())(r); r.form.Del("client_id") }, 9002313, 400, badRequest},
		{"basic without secret", basic(s.App().ClientID(), ""), 9002313, 400, badRequest},
		{"basic badly encoded", basic(s.App().ClientID(), "%zz"), 9002313, 400, badRequest},
		{"basic and secret", func(r *wrongRequest) {
			r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("a:b")))
		}, 9002313, 400, badRequest},
		{"bearer", func(r *wrongRequest) { r.header.Set("Authorization", "Bearer x") }, 9002313, 400, badRequest},
		{"basic not urlencoded", func(r *wrongRequest) {
			s.App().AddSecret("a+b", now.Add(time.Hour))
			basic(s.App().ClientID(), "a+b")(r)
		}, 7000215, 401, badClient},

		{"assertion type missing", func(r *wrongRequest) { assertion(good)(r); r.form.Del("client_assertion_type") }, 900144, 400, badRequest},
		{"assertion type SAML", func(r *wrongRequest) {
			assertion(good)(r)
			r.form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		}, 9002313, 400, badRequest},
		{"assertion missing", func(r *wrongRequest) { assertion(good)(r); r.form.Del("client_assertion") }, 900144, 400, badRequest},
		{"assertion garbage", assertion("garbage"), 50027, 401, badClient},
		{"assertion header garbage", assertion("e30x.e30.e30"), 50027, 401, badClient},
		{"assertion claims an array", assertion("e30.W10.e30"), 50027, 401, badClient},
		{"assertion signature garbage", assertion("e30.e30.*"), 50027, 401, badClient},
		{"x5c garbage", head("x5c", []string{"?"}), 50027, 401, badClient},
		{"x5c not a certificate", head("x5c", "e30="), 50027, 401, badClient},
		{"x5c URL-safe", head("x5c", base64.RawURLEncoding.EncodeToString(s.Certificate().Leaf.Raw)), 50027, 401, badClient},
		{"x5c a number", head("x5c", 1), 50027, 401, badClient},
		{"assertion date garbage", claim("exp", "NaN"), 50027, 401, badClient},
		{"assertion date a boolean", claim("exp", true), 50027, 401, badClient},
		{"assertion date hexadecimal", claim("exp", "0x1p35"), 50027, 401, badClient},
		{"assertion date after the year 9999", claim("exp", json.Number("253402300800")), 50027, 401, badClient},
		{"assertion ends in a line break", assertion(good + "\n"), 50027, 401, badClient},
		{"assertion with a line break in it", broken(good, "\n"), 50027, 401, badClient},
		{"federated ends in a line break", assertion(s.FederatedToken() + "\r\n"), 50027, 401, badClient},
		{"federated with a line break in it", broken(s.FederatedToken(), "\r\n"), 50027, 401, badClient},
		{"federated with another last character", assertion(otherLastCharacter(s.FederatedToken())), 50027, 401, badClient},

		{"alg none", signedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), 5002738, 401, badClient},
		{"alg HS256", signedBy(jwt.SigningMethodHS256, s.Certificate().Leaf.Raw), 5002738, 401, badClient},
		{"alg RS512", signedBy(jwt.SigningMethodRS512, s.Certificate().Key), 5002738, 401, badClient},
		{"typ wrong", head("typ", "at+jwt"), 5002727, 400, badRequest},
		{"thumbprint missing", cert(func(tok *jwt.Token, _ jwt.MapClaims) { delete(tok.Header, "x5t#S256") }), 5002723, 401, badClient},
		{"thumbprint garbage", head("x5t#S256", "?"), 700027, 401, badClient},
		{"thumbprints disagree", head("x5t", "AAAA"), 700027, 401, badClient},
		{"x5c of another certificate", head("x5c", [][]byte{unknownCert.Leaf.Raw, s.Certificate().Leaf.Raw}), 700030, 401, badClient},
		{"x5c of an unknown certificate that signed", assertion(signedWith(s, unknownCert, unknownCert.Key, func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Header["x5c"] = unknownCert.Leaf.Raw
		})), 700030, 401, badClient},
		{"x5c of another registered certificate", head("x5c", [][]byte{oldCert.Leaf.Raw}), 700027, 401, badClient},
		{"certificate unknown", assertion(signedWith(s, unknownCert, unknownCert.Key, nil)), 700027, 401, badClient},
		{"signed with another key", assertion(signedWith(s, s.Certificate(), unknownCert.Key, nil)), 700027, 401, badClient},
		{"certificate expired", assertion(signedWith(s, oldCert, oldCert.Key, nil)), 1000502, 401, badClient},
		{"certificate not yet valid", assertion(signedWith(s, newCert, newCert.Key, nil)), 1000502, 401, badClient},
		{"thumbprint in a hexadecimal kid", cert(namedBy("kid", fmt.Sprintf("%x", sha1.Sum(s.Certificate().Leaf.Raw)))), 5002723, 401, badClient},
		{"thumbprint in a kid of other base64", cert(namedBy("kid", "+/"+strings.Repeat("A", 25))), 5002723, 401, badClient},
		{"thumbprint in a kid of SHA-256", cert(namedBy("kid", thumbprint(s.Certificate()))), 5002723, 401, badClient},
		{"thumbprint in a kid, unknown", cert(namedBy("kid", strings.Repeat("A", 27))), 700027, 401, badClient},
		{"thumbprint under another name", spelled("x5t#S256", "x5t#s256"), 5002723, 401, badClient},
		{"iss in capitals", spelled("iss", "ISS"), 700021, 401, badClient},
		{"sub in capitals", spelled("sub", "SUB"), 50048, 401, badClient},
		{"aud in capitals", spelled("aud", "Aud"), 700023, 401, badClient},
		{"exp in capitals", spelled("exp", "Exp"), 700024, 401, badClient},
		{"iss of another app", claim("iss", bare.ClientID()), 700021, 401, badClient},
		{"iss missing", claim("iss", nil), 700021, 401, badClient},
		{"iss and sub of another app", cert(func(_ *jwt.Token, c jwt.MapClaims) { c["iss"], c["sub"] = bare.ClientID(), bare.ClientID() }), 700021, 401, badClient},
		{"sub of another app", claim("sub", bare.ClientID()), 50048, 401, badClient},
		{"sub missing", claim("sub", nil), 50048, 401, badClient},
		{"aud missing", claim("aud", nil), 700023, 401, badClient},
		{"aud of another tenant", claim("aud", s.Cloud().TokenEndpoint(guid)), 700023, 401, badClient},
		{"aud of another cloud", claim("aud", "https://login.microsoftonline.com/"+s.Tenant().ID()+"/oauth2/v2.0/token"), 700023, 401, badClient},
		{"aud the issuer", claim("aud", s.Cloud().Authority()+"/"+s.Tenant().ID()+"/v2.0"), 700023, 401, badClient},
		{"aud several", claim("aud", []string{s.Cloud().TokenEndpoint(s.Tenant().ID()), "x"}), 50027, 401, badClient},
		{"exp missing", claim("exp", nil), 700024, 401, badClient},
		{"exp past", claim("exp", now.Add(-6*time.Minute).Unix()), 700024, 401, badClient},
		{"exp past, a string", claim("exp", fmt.Sprint(now.Add(-6*time.Minute).Unix())), 700024, 401, badClient},
		{"nbf ahead", claim("nbf", now.Add(6*time.Minute).Unix()), 700024, 401, badClient},

		{"no federated credential", func(r *wrongRequest) {
			assertion(s.FederatedToken())(r)
			r.form.Set("client_id", bare.ClientID())
		}, 70025, 401, badClient},
		{"issuer not trusted", federated(otherIssuer, entratest.Claims{Subject: demoSubject, Audience: aud}), 700211, 401, badClient},
		{"issuer cut slash", federated(s.NewIssuer(strings.TrimSuffix(s.Issuer().URL(), "/")), entratest.Claims{}), 700211, 401, badClient},
		{"issuer unreachable", federated(unreachable, entratest.Claims{}), 90061, 400, badRequest},
		{"issuer Entra", federated(s.NewIssuer(s.Cloud().Authority()+"/"+guid+"/v2.0"), entratest.Claims{}), 700222, 401, badClient},
		{"issuer the real Entra", federated(realEntra, entratest.Claims{Subject: guid, Audience: aud}), 700222, 401, badClient},
		{"issuer key unknown", federated(impostor, entratest.Claims{Subject: demoSubject, Audience: aud}), 7000272, 401, badClient},
		{"issuer signature wrong", assertion(tampered), 7000272, 401, badClient},
		{"issuer alg PS256", cert(func(_ *jwt.Token, c jwt.MapClaims) { c["iss"] = s.Issuer().URL() }), 5002738, 401, badClient},
		{"federated audience", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: "api://other"}), 700212, 401, badClient},
		{"federated audience as Entra writes it", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: "fb60f99c-7a34-4190-8149-302f77469936"}), 700212, 401, badClient},
		{"federated subject", federated(s.Issuer(), entratest.Claims{Subject: demoSubject + "2", Audience: aud}), 700213, 401, badClient},
		{"federated subject case", federated(s.Issuer(), entratest.Claims{Subject: strings.ToUpper(demoSubject), Audience: aud}), 7002138, 401, badClient},
		{"federated subject of another service", federated(s.Issuer(), entratest.Claims{Subject: "/eid1/c/pub/t/x/a/y/1", Audience: aud}), 7002137, 401, badClient},
		{"federated expired", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: aud, ExpiresAt: now.Add(-time.Hour)}), 700024, 401, badClient},
		{"federated not yet valid", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: aud, NotBefore: now.Add(30 * time.Minute)}), 700024, 401, badClient},

		{"scope missing", del("scope"), 900144, 400, badRequest},
		{"scope OIDC only", set("scope", "openid profile"), 1002012, 400, badScope},
		{"scope of a user", set("scope", s.API().URI()+"/Data.Read.All"), 1002012, 400, badScope},
		{"scope without suffix", set("scope", s.API().URI()), 1002012, 400, badScope},
		{"scope suffix only", set("scope", "/.default"), 1002012, 400, badScope},
		{"scope encoded twice", set("scope", url.QueryEscape(s.API().Scope())), 1002012, 400, badScope},
		{"scope of two resources", set("scope", s.API().Scope()+" https://x.test/.default"), 700022, 400, badScope},
		{"scope of two resources, a slash apart", set("scope", s.API().Scope()+" "+s.API().URI()+"//.default"), 700022, 400, badScope},
		{"scope twice in it", set("scope", s.API().Scope()+" "+s.API().Scope()), 70011, 400, badScope},
		{"scope with another of a user", set("scope", s.API().Scope()+" "+s.API().URI()+"/Data.Read.All"), 70011, 400, badScope},
		{"scope a word", set("scope", "Data.Read.All"), 1002012, 400, badScope},
		{"resource instead of scope", func(r *wrongRequest) {
			r.form.Set("resource", s.API().URI())
			r.form.Del("scope")
		}, 901002, 400, badRequest},
		{"resource beside scope", set("resource", s.API().URI()), 901002, 400, badRequest},
		{"resource unknown", set("scope", "https://x.test/.default"), 500011, 400, badResource},
		{"resource in small letters", set("scope", "https://second.test/.default"), 500011, 400, badResource},
		{"resource in capitals", set("scope", "HTTPS://SECOND.TEST/.default"), 500011, 400, badResource},
		{"resource api:// in small letters", set("scope", "api://orders/.default"), 500011, 400, badResource},
		{"resource api:// before a URI", set("scope", "api://https://Second.test/.default"), 500011, 400, badResource},
		{"resource api:// before a name", set("scope", "api://orders.contoso.example/.default"), 500011, 400, badResource},
		{"resource without its api://", set("scope", "Orders/.default"), 500011, 400, badResource},
		{"resource api:// twice", set("scope", "api://api://"+s.API().AppID()+"/.default"), 500011, 400, badResource},
		{"resource with two slashes too many", set("scope", "https://Second.test///.default"), 500011, 400, badResource},
		{"resource of another tenant", set("scope", foreign.Scope()), 500011, 400, badResource},
		{"resource of another tenant by ID", set("scope", foreign.AppID()+"/.default"), 500011, 400, badResource},

		{"claims not JSON", set("claims", "x"), 9002313, 400, badRequest},
		{"claims an array", set("claims", "[]"), 9002313, 400, badRequest},
		{"claims null", set("claims", "null"), 9002313, 400, badRequest},
		{"claims with a date that is none", set("claims", `{"access_token":{"nbf":{"value":"soon"}}}`), 9002313, 400, badRequest},
		{"claims of another shape", set("claims", `{"access_token":{"xms_cc":["cp1"]}}`), 9002313, 400, badRequest},
	}
}
