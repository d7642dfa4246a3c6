// SPDX-License-Identifier: MIT

package entratest_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

// TestAccepted has what looks odd and is right.
func TestAccepted(t *testing.T) {
	s := entratest.New(t)
	now := time.Now()
	strange := "p% +~:ü&="
	s.App().AddSecret(strange, now.Add(time.Hour))
	pipelines := s.NewIssuer("https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0")
	s.App().AddFederatedCredential(entratest.FederatedCredential{
		Issuer: pipelines.URL(), Subject: "/eid1/c/pub/t/x/a/y/sc/1/2", Audience: s.Cloud().ExchangeAudience(),
	})
	sum := sha1.Sum(s.Certificate().Leaf.Raw)
	s.App().AddSecretDates("dated", now.Add(-time.Minute), now.Add(time.Minute))
	s.API().AddURI("https://second.test")
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
		"second secret":             with("client_secret", strange),
		"client uppercase":          with("client_id", strings.ToUpper(s.App().ClientID())),
		"MSAL's scopes":             with("scope", s.API().Scope()+" openid offline_access profile"),
		"scope by app ID":           with("scope", s.API().AppID()+"/.default"),
		"scope by app ID, capitals": with("scope", "api://"+strings.ToUpper(s.API().AppID())+"/.default"),
		"scope by api://":           with("scope", "api://"+s.API().AppID()+"/.default"),
		"slash, twice":              with("scope", slash.Scope()),
		"slash, once":               with("scope", "https://slash.test/.default"),
		"client_info":               with("client_info", "1"),
		"claims empty":              with("claims", "{}"),
		"claims others":             with("claims", `{"id_token":{},"access_token":{"nbf":{"essential":true}}}`),
		"certificate":               cert(nil),
		"second certificate":        assertionForm(s, signedWith(s, second, second.Key, nil)),
		"x5t RS256": cert(func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Method, tok.Header["alg"] = jwt.SigningMethodRS256, "RS256"
			delete(tok.Header, "x5t#S256")
			tok.Header["x5t"] = base64.RawURLEncoding.EncodeToString(sum[:])
		}),
		"kid alone":        cert(namedBy("kid", base64.RawURLEncoding.EncodeToString(sum[:]))),
		"padded kid alone": cert(namedBy("kid", base64.URLEncoding.EncodeToString(sum[:]))),
		"padded thumbprint": cert(func(tok *jwt.Token, _ jwt.MapClaims) {
			raw, _ := base64.RawURLEncoding.DecodeString(tok.Header["x5t#S256"].(string))
			tok.Header["x5t#S256"] = base64.StdEncoding.EncodeToString(raw)
		}),
		"dates as strings": cert(func(_ *jwt.Token, c jwt.MapClaims) {
			c["nbf"], c["exp"] = fmt.Sprint(c["nbf"]), fmt.Sprint(c["exp"])
		}),
		"exp in the year 9999": cert(func(_ *jwt.Token, c jwt.MapClaims) { c["exp"] = int64(253402300799) }),
		"clock ahead":          cert(func(_ *jwt.Token, c jwt.MapClaims) { c["nbf"] = now.Add(4 * time.Minute).Unix() }),
		"clock behind":         cert(func(_ *jwt.Token, c jwt.MapClaims) { c["exp"] = now.Add(-4 * time.Minute).Unix() }),
		"aud an array":         cert(func(_ *jwt.Token, c jwt.MapClaims) { c["aud"] = []any{c["aud"]} }),
		"x5c, an array":        cert(func(tok *jwt.Token, _ jwt.MapClaims) { tok.Header["x5c"] = [][]byte{s.Certificate().Leaf.Raw} }),
		"x5c, a string":        cert(func(tok *jwt.Token, _ jwt.MapClaims) { tok.Header["x5c"] = s.Certificate().Leaf.Raw }),
		"x5c, a chain": cert(func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Header["x5c"] = [][]byte{s.Certificate().Leaf.Raw, second.Leaf.Raw}
		}),
		"x5c, empty":              cert(func(tok *jwt.Token, _ jwt.MapClaims) { tok.Header["x5c"] = []string{} }),
		"scope by another URI":    with("scope", "https://second.test/.default"),
		"secret within its dates": with("client_secret", "dated"),
		"no nbf":                  cert(func(_ *jwt.Token, c jwt.MapClaims) { delete(c, "nbf") }),
		"federated":               assertionForm(s, s.FederatedToken()),
		"federated, by a service of Entra's": assertionForm(s, pipelines.Token(entratest.Claims{
			Subject: "/eid1/c/pub/t/x/a/y/sc/1/2", Audience: "fb60f99c-7a34-4190-8149-302f77469936",
		})),
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

// TestThumbprintSpellings has the spellings of the official clients. The two
// alphabets of base64 differ in three of five thumbprints, so one is looked for.
func TestThumbprintSpellings(t *testing.T) {
	s := entratest.New(t)
	now := time.Now()
	var cert *entratest.Certificate
	var sum [sha1.Size]byte
	for !strings.ContainsAny(base64.StdEncoding.EncodeToString(sum[:]), "+/") {
		cert = s.App().NewCertificate(now.Add(-time.Hour), now.Add(time.Hour))
		sum = sha1.Sum(cert.Leaf.Raw)
	}
	for client, x5t := range map[string]string{
		"MSAL .NET":       base64.RawURLEncoding.EncodeToString(sum[:]),
		"MSAL for Go":     base64.StdEncoding.EncodeToString(sum[:]),
		"MSAL for Python": base64.URLEncoding.EncodeToString(sum[:]),
	} {
		form := assertionForm(s, signedWith(s, cert, cert.Key, func(tok *jwt.Token, _ jwt.MapClaims) {
			tok.Method, tok.Header["alg"] = jwt.SigningMethodRS256, "RS256"
			delete(tok.Header, "x5t#S256")
			tok.Header["x5t"] = x5t
		}))
		if got := postForm(t, s, s.Tenant().ID(), form); got.Status != http.StatusOK {
			t.Errorf("%s: got %d %s", client, got.Status, got.Description)
		}
	}
}

// TestClockBehind has Entra's clock behind that of the client by less than what is
// tolerated; the demo certificate is older than that.
func TestClockBehind(t *testing.T) {
	s := entratest.New(t)
	token := selfSigned(s, nil)
	s.SetClockOffset(-4 * time.Minute)
	if got := postForm(t, s, s.Tenant().ID(), assertionForm(s, token)); got.Status != http.StatusOK {
		t.Errorf("got %d %s", got.Status, got.Description)
	}
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
