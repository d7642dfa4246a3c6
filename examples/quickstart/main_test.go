// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/golang-jwt/jwt/v5"
)

// isolate takes the environment of whoever runs the test away, and gives
// temporary files a place of their own.
func isolate(t *testing.T) (tmp string) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "APPONLY_") {
			t.Setenv(name, "")
		}
	}
	tmp = t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, tmp)
	}
	return tmp
}

// wantLines fails the test unless each text is in the output after the one
// before it.
func wantLines(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("output lacks %q at its place; it is:\n%s", text, out)
		}
		rest = after
	}
}

// wantNoSecrets fails the test if there is a JWT, a key or one of secrets in
// the output.
func wantNoSecrets(t *testing.T, out string, secrets ...string) {
	t.Helper()
	// Every JWT begins with the base64 of {" and has three parts.
	for _, secret := range append(secrets, "eyJ", "PRIVATE KEY", "this-is-not-the-secret") {
		if strings.Contains(out, secret) {
			t.Errorf("output holds %q", secret)
		}
	}
}

func TestRun(t *testing.T) {
	tmp := isolate(t)
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("run: %v\n%s", err, &out)
	}
	var want []string
	want = append(want, "An emulated Entra listens at https://127.0.0.1:", "a protected API at http://127.0.0.1:",
		"Without a token: GET /orders answered 401")
	for _, way := range []string{"a secret", "a certificate file", "a federated token file"} {
		want = append(want, "With "+way+":\n", "Got a token, good until 2",
			"Role granted: GET /orders answered 200", "Role missing: POST /orders answered 403", "Data.Write.All", "Entra was asked once")
	}
	want = append(want, "With a wrong secret:", "ErrSecretInvalid", "AADSTS7000215",
		"what to do: "+apponly.ErrSecretInvalid.Remedy(), "correlation ID ")
	wantLines(t, out.String(), want...)
	wantNoSecrets(t, out.String())
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// The same with an emulator whose secrets are known here.
func TestTourTellsNoSecrets(t *testing.T) {
	isolate(t)
	server := entratest.New(t)
	var out strings.Builder
	if err := tour(t.Context(), &out, server); err != nil {
		t.Fatal(err)
	}
	key, _ := pem.Decode(server.Certificate().KeyPEM())
	wantNoSecrets(t, out.String(), server.Secret(), string(key.Bytes))
	var methods []string
	for _, r := range server.Requests() {
		if r.Method == http.MethodPost {
			methods = append(methods, r.AuthMethod)
		}
	}
	if got, want := strings.Join(methods, " "), "secret certificate federated secret"; got != want {
		t.Errorf("credentials used = %s, want %s", got, want)
	}
}

// What goes otherwise than shown is an error, and tells no secrets either.
func TestTourFails(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*entratest.Server)
		want  string
		kind  apponly.Kind
	}{
		{"secret gone", func(s *entratest.Server) { s.App().RemoveSecret(s.Secret()) },
			"with a secret: ", apponly.ErrSecretInvalid},
		{"certificate gone", func(s *entratest.Server) { s.App().RemoveCertificate(s.Certificate().Leaf) },
			"with a certificate file: ", apponly.ErrCertificateInvalid},
		{"role not granted", func(s *entratest.Server) { s.API().Revoke(s.Tenant(), s.App(), "Data.Read.All") },
			"GET /orders answered 403 Forbidden, want 200", ""},
		{"too many roles", func(s *entratest.Server) { s.API().Grant(s.Tenant(), s.App(), "Data.Write.All") },
			"POST /orders answered 200 OK, want 403", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tmp := isolate(t)
			server := entratest.New(t)
			test.spoil(server)
			var out strings.Builder
			err := tour(t.Context(), &out, server)
			if err == nil || !strings.Contains(err.Error(), test.want) || test.kind != "" && !errors.Is(err, test.kind) {
				t.Fatalf("error = %v, want one that says %q and is %q", err, test.want, string(test.kind))
			}
			if test.kind != "" && !strings.Contains(explain(err), test.kind.Remedy()) {
				t.Errorf("explain = %q, lacks the remedy", explain(err))
			}
			wantNoSecrets(t, out.String()+explain(err), server.Secret())
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary directory: %v, %v", left, err)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	isolate(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want context.Canceled", err)
	}
}

// asEnvironment makes the environment say that the app is the emulator's.
func asEnvironment(t *testing.T, server *entratest.Server) {
	t.Helper()
	authority, _ := server.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AZURE_TENANT_ID":              server.Tenant().ID(),
		"AZURE_CLIENT_ID":              server.App().ClientID(),
		"AZURE_CLIENT_SECRET":          server.Secret(),
		"AZURE_AUTHORITY_HOST":         authority,
		"APPONLY_TRUST_AUTHORITY_HOST": "1",
		"APPONLY_CA_FILE":              ca,
		"APPONLY_SCOPE":                server.API().Scope(),
	} {
		t.Setenv(name, value)
	}
}

func TestRunByEnvironment(t *testing.T) {
	isolate(t)
	server := entratest.New(t)
	asEnvironment(t, server)

	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	wantLines(t, out.String(), "AZURE_CLIENT_SECRET", "Got a token for "+server.API().Scope()+", good until 2")
	wantNoSecrets(t, out.String(), server.Secret())

	var authorized bool
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorized = strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer api.Close()
	t.Setenv("APPONLY_URL", api.URL+"/v1")
	out.Reset()
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	wantLines(t, out.String(), "Got a token", "GET "+api.URL+"/v1 answered 418")
	wantNoSecrets(t, out.String(), server.Secret())
	if !authorized {
		t.Error("the API got no token")
	}

	// The scope says whose token it is: it goes nowhere else.
	resource := server.Tenant().NewResource("https://graph.test")
	t.Setenv("APPONLY_SCOPE", resource.Scope())
	if err := run(t.Context(), io.Discard); !errors.Is(err, apponly.ErrConfiguration) || !strings.Contains(err.Error(), "its hosts are graph.test") {
		t.Errorf("error = %v, want a refusal that names graph.test", err)
	}
}

func TestRunByEnvironmentFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		isolate(t)
		server := entratest.New(t)
		asEnvironment(t, server)
		t.Setenv("AZURE_CLIENT_SECRET", "this-is-not-the-secret")
		var out strings.Builder
		err := run(t.Context(), &out)
		if !errors.Is(err, apponly.ErrSecretInvalid) || !strings.Contains(explain(err), "what to do: "+apponly.ErrSecretInvalid.Remedy()) {
			t.Errorf("error = %v, want ErrSecretInvalid with a remedy", err)
		}
		wantNoSecrets(t, out.String()+explain(err), server.Secret())
	})
	t.Run("incomplete", func(t *testing.T) {
		isolate(t)
		t.Setenv("AZURE_CLIENT_ID", "not-a-guid")
		err := run(t.Context(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "AZURE_TENANT_ID") {
			t.Errorf("error = %v, want one that names AZURE_TENANT_ID", err)
		}
	})
}

// An apiTest is the API in memory, in front of an emulator.
type apiTest struct {
	*testing.T
	server *entratest.Server
	issuer string
	api    *api
}

func newAPITest(t *testing.T) *apiTest {
	t.Helper()
	server := entratest.New(t)
	issuer := server.Cloud().Authority() + "/" + server.Tenant().ID() + "/v2.0"
	a, err := newAPI(t.Context(), server.HTTPClient(), issuer, server.API().AppID())
	if err != nil {
		t.Fatal(err)
	}
	return &apiTest{t, server, issuer, a}
}

func (t *apiTest) token(tenant *entratest.Tenant, resource *entratest.Resource) string {
	t.Helper()
	c, err := apponly.New(tenant.ID(), t.server.App().ClientID(), apponly.Secret(t.server.Secret()),
		&apponly.Options{Cloud: t.server.Cloud(), HTTPClient: t.server.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(t.Context(), resource.Scope())
	if err != nil {
		t.Fatal(err)
	}
	return token.Value()
}

func (t *apiTest) want(name, method, path, authorization string, want int) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	t.api.ServeHTTP(w, r)
	if w.Code != want {
		t.Errorf("%s: %s %s answered %d, want %d: %s", name, method, path, w.Code, want, w.Body)
	}
	if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%s: 401 without WWW-Authenticate (RFC 9110 section 15.5.2)", name)
	}
	wantNoSecrets(t.T, w.Body.String())
}

// The API is what the quickstart is measured by, so it has to say no.
func TestAPIRefuses(tt *testing.T) {
	t := newAPITest(tt)
	demo, api := t.server.Tenant(), t.server.API()
	other := demo.NewResource("api://other")
	elsewhere := t.server.AddTenant()
	elsewhere.Install(t.server.App())
	elsewhere.Provide(api)

	good, forOther := t.token(demo, api), t.token(demo, other)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{
		"iss": t.issuer, "aud": api.AppID(), "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"Data.Read.All"},
	}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	mixed := good[:strings.LastIndex(good, ".")] + forOther[strings.LastIndex(forOther, "."):]

	t.want("good", "GET", "/orders", "Bearer "+good, 200)
	t.want("role missing", "POST", "/orders", "Bearer "+good, 403)
	t.want("unknown path", "GET", "/other", "Bearer "+good, 404)
	t.want("no token", "GET", "/orders", "", 401)
	t.want("other scheme", "GET", "/orders", "Basic "+good, 401)
	t.want("no JWT", "GET", "/orders", "Bearer x", 401)
	t.want("unsigned", "GET", "/orders", "Bearer "+unsigned, 401)
	t.want("signature of another token", "GET", "/orders", "Bearer "+mixed, 401)
	t.want("other audience", "GET", "/orders", "Bearer "+forOther, 401)
	t.want("other tenant", "GET", "/orders", "Bearer "+t.token(elsewhere, api), 401)
	t.want("outside issuer", "GET", "/orders", "Bearer "+t.server.FederatedToken(), 401)
}

func TestAPIRefusesExpiredTokens(t *testing.T) {
	synctest.Test(t, func(tt *testing.T) {
		t := newAPITest(tt)
		t.server.SetTokenLifetime(time.Hour)
		token := t.token(t.server.Tenant(), t.server.API())
		time.Sleep(time.Hour)
		t.want("within the leeway", "GET", "/orders", "Bearer "+token, 200)
		time.Sleep(2 * time.Minute)
		t.want("expired", "GET", "/orders", "Bearer "+token, 401)
	})
}
