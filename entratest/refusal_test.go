// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

const demoSubject = "system:serviceaccount:demo:worker"

// wrongRequest starts as a correct one with a secret; a row breaks one thing.
type wrongRequest struct {
	method, tenant string
	header         http.Header
	form           url.Values
	body           string // instead of form
}

func TestRefusals(t *testing.T) {
	s := entratest.New(t)
	now := time.Now()
	const guid = "11111111-2222-4333-8444-555555555555"
	aud := s.Cloud().ExchangeAudience()

	expired := s.App().NewSecret(now.Add(-time.Second))
	removed := s.App().NewSecret(now.Add(time.Hour))
	s.App().RemoveSecret(removed)
	bare := s.Tenant().NewApp()
	elsewhere := s.AddTenant("fabrikam.example").NewApp()
	foreign := s.AddTenant().NewResource("https://elsewhere.test")
	unknownCert := s.App().NewCertificate(now.Add(-time.Hour), now.Add(time.Hour))
	s.App().RemoveCertificate(unknownCert.Leaf)
	oldCert := s.App().NewCertificate(now.Add(-2*time.Hour), now.Add(-time.Hour))
	newCert := s.App().NewCertificate(now.Add(time.Hour), now.Add(2*time.Hour))
	otherIssuer := s.NewIssuer("https://other.test")
	s.App().AddFederatedCredential(entratest.FederatedCredential{Issuer: "https://unreachable.test", Subject: "x", Audience: aud})
	impostor := entratest.NewServer().NewIssuer(s.Issuer().URL())
	unreachable := entratest.NewServer().NewIssuer("https://unreachable.test")

	type edit = func(r *wrongRequest)
	set := func(k, v string) edit { return func(r *wrongRequest) { r.form.Set(k, v) } }
	del := func(k string) edit { return func(r *wrongRequest) { r.form.Del(k) } }
	tenant := func(name string) edit { return func(r *wrongRequest) { r.tenant = name } }
	basic := func(id, secret string) edit {
		return func(r *wrongRequest) {
			r.form.Del("client_secret")
			r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
		}
	}
	assertion := func(token string) edit { return func(r *wrongRequest) { r.form = assertionForm(s, token) } }
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
	good := selfSigned(s, nil)
	tampered := s.FederatedToken()
	tampered = tampered[:strings.LastIndex(tampered, ".")+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	signedBy := func(method jwt.SigningMethod, key any) edit {
		return assertion(signedWith(s, s.Certificate(), key, func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Method = method
			tok.Header["alg"] = method.Alg()
		}))
	}

	const (
		badRequest, badClient = "invalid_request", "invalid_client"
		badScope              = "invalid_scope"
	)
	for _, tt := range []struct {
		name   string
		edit   edit
		code   int
		status int
		error  string
	}{
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
		{"tenant common", tenant("common"), 90002, 400, badRequest},
		{"tenant organizations", tenant("organizations"), 90002, 400, badRequest},
		{"tenant one label", tenant("undefined"), 900023, 400, badRequest},
		{"tenant with underscore", tenant("a_b.example"), 900023, 400, badRequest},
		{"tenant empty", tenant(""), 900023, 400, badRequest},

		{"grant type missing", del("grant_type"), 900144, 400, badRequest},
		{"grant type other", set("grant_type", "password"), 70003, 400, "unsupported_grant_type"},

		{"client missing", del("client_id"), 900144, 400, badRequest},
		{"client unknown", set("client_id", guid), 700016, 400, "unauthorized_client"},
		{"client not a GUID", set("client_id", "worker"), 700016, 400, "unauthorized_client"},
		{"client of another tenant", set("client_id", elsewhere.ClientID()), 7000229, 401, badClient},
		{"client asked in another tenant", tenant("FABRIKAM.example"), 7000229, 401, badClient},

		{"no credential", del("client_secret"), 7000216, 401, badClient},
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
		{"assertion date garbage", claim("exp", "NaN"), 50027, 401, badClient},

		{"alg none", signedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), 5002738, 401, badClient},
		{"alg HS256", signedBy(jwt.SigningMethodHS256, s.Certificate().Leaf.Raw), 5002738, 401, badClient},
		{"alg RS512", signedBy(jwt.SigningMethodRS512, s.Certificate().Key), 5002738, 401, badClient},
		{"typ wrong", head("typ", "at+jwt"), 5002727, 400, badRequest},
		{"thumbprint missing", cert(func(tok *jwt.Token, _ jwt.MapClaims) { delete(tok.Header, "x5t#S256") }), 5002723, 401, badClient},
		{"thumbprint garbage", head("x5t#S256", "?"), 700027, 401, badClient},
		{"thumbprints disagree", head("x5t", "AAAA"), 700027, 401, badClient},
		{"certificate unknown", assertion(signedWith(s, unknownCert, unknownCert.Key, nil)), 700027, 401, badClient},
		{"signed with another key", assertion(signedWith(s, s.Certificate(), unknownCert.Key, nil)), 700027, 401, badClient},
		{"certificate expired", assertion(signedWith(s, oldCert, oldCert.Key, nil)), 1000502, 401, badClient},
		{"certificate not yet valid", assertion(signedWith(s, newCert, newCert.Key, nil)), 1000502, 401, badClient},
		{"iss of another app", claim("iss", bare.ClientID()), 700021, 401, badClient},
		{"iss missing", claim("iss", nil), 700021, 401, badClient},
		{"sub of another app", claim("sub", bare.ClientID()), 700021, 401, badClient},
		{"aud missing", claim("aud", nil), 700023, 401, badClient},
		{"aud of another tenant", claim("aud", s.Cloud().TokenEndpoint(guid)), 700023, 401, badClient},
		{"aud of another cloud", claim("aud", "https://login.microsoftonline.com/"+s.Tenant().ID()+"/oauth2/v2.0/token"), 700023, 401, badClient},
		{"aud the issuer", claim("aud", s.Cloud().Authority()+"/"+s.Tenant().ID()+"/v2.0"), 700023, 401, badClient},
		{"aud several", claim("aud", []string{s.Cloud().TokenEndpoint(s.Tenant().ID()), "x"}), 700023, 401, badClient},
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
		{"issuer key unknown", federated(impostor, entratest.Claims{Subject: demoSubject, Audience: aud}), 7000272, 401, badClient},
		{"issuer signature wrong", assertion(tampered), 7000272, 401, badClient},
		{"issuer alg PS256", cert(func(_ *jwt.Token, c jwt.MapClaims) { c["iss"] = s.Issuer().URL() }), 5002738, 401, badClient},
		{"federated audience", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: "api://other"}), 700212, 401, badClient},
		{"federated subject", federated(s.Issuer(), entratest.Claims{Subject: demoSubject + "2", Audience: aud}), 700213, 401, badClient},
		{"federated subject case", federated(s.Issuer(), entratest.Claims{Subject: strings.ToUpper(demoSubject), Audience: aud}), 7002138, 401, badClient},
		{"federated expired", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: aud, ExpiresAt: now.Add(-time.Hour)}), 700024, 401, badClient},
		{"federated not yet valid", federated(s.Issuer(), entratest.Claims{Subject: demoSubject, Audience: aud, NotBefore: now.Add(30 * time.Minute)}), 700024, 401, badClient},

		{"scope missing", del("scope"), 900144, 400, badRequest},
		{"scope OIDC only", set("scope", "openid profile"), 1002012, 400, badScope},
		{"scope of a user", set("scope", s.API().URI()+"/Data.Read.All"), 1002012, 400, badScope},
		{"scope without suffix", set("scope", s.API().URI()), 1002012, 400, badScope},
		{"scope suffix only", set("scope", "/.default"), 1002012, 400, badScope},
		{"scope encoded twice", set("scope", url.QueryEscape(s.API().Scope())), 1002012, 400, badScope},
		{"scope of two resources", set("scope", s.API().Scope()+" https://x.test/.default"), 70011, 400, badScope},
		{"resource unknown", set("scope", "https://x.test/.default"), 500011, 400, "invalid_resource"},
		{"resource case", set("scope", strings.ToUpper(s.API().URI())+"x/.default"), 500011, 400, "invalid_resource"},
		{"resource of another tenant", set("scope", foreign.Scope()), 500011, 400, "invalid_resource"},
		{"resource of another tenant by ID", set("scope", foreign.AppID()+"/.default"), 500011, 400, "invalid_resource"},

		{"claims not JSON", set("claims", "x"), 9002313, 400, badRequest},
		{"claims an array", set("claims", "[]"), 9002313, 400, badRequest},
		{"claims null", set("claims", "null"), 9002313, 400, badRequest},
		{"claims of another shape", set("claims", `{"access_token":{"xms_cc":["cp1"]}}`), 9002313, 400, badRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &wrongRequest{method: http.MethodPost, tenant: s.Tenant().ID(), header: http.Header{}, form: secretForm(s)}
			r.header.Set("Content-Type", "application/x-www-form-urlencoded")
			tt.edit(r)
			if r.body == "" {
				r.body = r.form.Encode()
			}
			req, err := http.NewRequest(r.method, s.Cloud().TokenEndpoint(r.tenant), strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = r.header
			got := do(t, s.HTTPClient(), req)
			if !slices.Equal(got.Codes, []int{tt.code}) || got.Status != tt.status || got.Error != tt.error {
				t.Errorf("got %v %d %s, want %d %d %s\n%s", got.Codes, got.Status, got.Error, tt.code, tt.status, tt.error, got.Description)
			}
			if strings.Contains(got.Description, "%!") {
				t.Errorf("broken text: %s", got.Description)
			}
			log := s.Requests()
			if last := log[len(log)-1]; last.Code != tt.code || last.Status != tt.status {
				t.Errorf("recorded %+v", last)
			}
		})
	}
}

// TestAccepted has what looks odd and is right.
func TestAccepted(t *testing.T) {
	s := entratest.New(t)
	now := time.Now()
	strange := "p% +~:ü&="
	s.App().AddSecret(strange, now.Add(time.Hour))
	sum := sha1.Sum(s.Certificate().Leaf.Raw)
	slash := s.Tenant().NewResource("https://slash.test/")
	second := s.App().NewCertificate(now.Add(-time.Hour), now.Add(time.Hour))

	with := func(k, v string) url.Values {
		form := secretForm(s)
		form.Set(k, v)
		return form
	}
	cert := func(edit func(tok *jwt.Token, c jwt.MapClaims)) url.Values {
		return assertionForm(s, selfSigned(s, edit))
	}
	for name, form := range map[string]url.Values{
		"second secret":      with("client_secret", strange),
		"client uppercase":   with("client_id", strings.ToUpper(s.App().ClientID())),
		"MSAL's scopes":      with("scope", s.API().Scope()+" openid offline_access profile"),
		"scope by app ID":    with("scope", s.API().AppID()+"/.default"),
		"scope by api://":    with("scope", "api://"+s.API().AppID()+"/.default"),
		"slash, twice":       with("scope", slash.Scope()),
		"slash, once":        with("scope", "https://slash.test/.default"),
		"client_info":        with("client_info", "1"),
		"claims empty":       with("claims", "{}"),
		"claims others":      with("claims", `{"id_token":{},"access_token":{"nbf":{"essential":true}}}`),
		"certificate":        cert(nil),
		"second certificate": assertionForm(s, signedWith(s, second, second.Key, nil)),
		"x5t RS256": cert(func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Method, tok.Header["alg"] = jwt.SigningMethodRS256, "RS256"
			delete(tok.Header, "x5t#S256")
			tok.Header["x5t"] = base64.RawURLEncoding.EncodeToString(sum[:])
		}),
		"padded thumbprint": cert(func(tok *jwt.Token, _ jwt.MapClaims) {
			raw, _ := base64.RawURLEncoding.DecodeString(tok.Header["x5t#S256"].(string))
			tok.Header["x5t#S256"] = base64.StdEncoding.EncodeToString(raw)
		}),
		"dates as strings": cert(func(_ *jwt.Token, c jwt.MapClaims) {
			c["nbf"], c["exp"] = fmt.Sprint(c["nbf"]), fmt.Sprint(c["exp"])
		}),
		"clock ahead":  cert(func(_ *jwt.Token, c jwt.MapClaims) { c["nbf"] = now.Add(4 * time.Minute).Unix() }),
		"clock behind": cert(func(_ *jwt.Token, c jwt.MapClaims) { c["exp"] = now.Add(-4 * time.Minute).Unix() }),
		"aud an array": cert(func(_ *jwt.Token, c jwt.MapClaims) { c["aud"] = []any{c["aud"]} }),
		"no nbf":       cert(func(_ *jwt.Token, c jwt.MapClaims) { delete(c, "nbf") }),
		"federated":    assertionForm(s, s.FederatedToken()),
	} {
		t.Run(name, func(t *testing.T) {
			if got := postForm(t, s, s.Tenant().ID(), form); got.Status != http.StatusOK {
				t.Errorf("got %d %s", got.Status, got.Description)
			}
		})
	}

	t.Run("basic", func(t *testing.T) {
		form := secretForm(s)
		form.Del("client_secret")
		form.Del("client_id")
		req, err := http.NewRequest(http.MethodPost, s.Cloud().TokenEndpoint(s.Tenant().ID()), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		req.SetBasicAuth(url.QueryEscape(s.App().ClientID()), url.QueryEscape(strange))
		if got := do(t, s.HTTPClient(), req); got.Status != http.StatusOK {
			t.Errorf("got %d %s", got.Status, got.Description)
		}
		log := s.Requests()
		if got := log[len(log)-1].AuthMethod; got != "secret_basic" {
			t.Errorf("recorded %q", got)
		}
	})
}

func TestErrorAnswer(t *testing.T) {
	s := entratest.New(t)
	const id = "11111111-2222-4333-8444-555555555555"
	form := secretForm(s)
	form.Set("client_secret", "nope")
	req, err := http.NewRequest(http.MethodPost, s.Cloud().TokenEndpoint(s.Tenant().ID()), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("client-request-id", id)
	req.Header.Set("Return-Client-Request-Id", "true")
	got := do(t, s.HTTPClient(), req)

	if got.CorrelationID != id || got.Header.Get("client-request-id") != id {
		t.Errorf("correlation ID %q, header %q, want %q", got.CorrelationID, got.Header.Get("client-request-id"), id)
	}
	if got.TraceID == "" || got.Header.Get("x-ms-request-id") != got.TraceID {
		t.Errorf("trace ID %q, header %q", got.TraceID, got.Header.Get("x-ms-request-id"))
	}
	stamp, err := time.Parse("2006-01-02 15:04:05Z", got.Timestamp)
	if err != nil || time.Since(stamp).Abs() > time.Minute {
		t.Errorf("timestamp %q: %v", got.Timestamp, err)
	}
	if _, err := http.ParseTime(got.Header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
	if want := "AADSTS7000215: "; !strings.HasPrefix(got.Description, want) {
		t.Errorf("description %q, want it to begin with %q", got.Description, want)
	}
	if want := " Trace ID: " + got.TraceID + " Correlation ID: " + id + " Timestamp: " + got.Timestamp; !strings.HasSuffix(got.Description, want) {
		t.Errorf("description %q, want it to end with %q", got.Description, want)
	}
	if want := s.Cloud().Authority() + "/error?code=7000215"; got.ErrorURI != want {
		t.Errorf("error_uri %q, want %q", got.ErrorURI, want)
	}
}
