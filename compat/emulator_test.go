// SPDX-License-Identifier: MIT

package compat_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/apponly/apponly/entratest"
)

// asProgram makes the test binary one of the programs: clients read the proxy variables
// once per process, and their defaults from an environment that is theirs alone.
const asProgram = "COMPAT_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(asProgram); name != "" {
		token, err := programs[name](context.Background())
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString(token)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Azure Resource Manager, as every tenant knows it.
const (
	armAppID = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	armURI   = "https://management.azure.com"
)

// An emulator is what the programs meet as Entra.
type emulator struct {
	*entratest.Server
	identity *entratest.ManagedIdentity
	outside  map[string]string // the proxy and the root: all that a program gets, besides its own credentials
	apponly  map[string]string // those credentials, in files and IDs
}

func start(t *testing.T) *emulator {
	t.Helper()
	s := entratest.New(t)
	e := &emulator{Server: s, identity: s.Tenant().NewManagedIdentity()}
	s.API().Grant(s.Tenant(), e.identity.App(), "Data.Read.All")
	s.SetResourceManager(true)
	proxy, _ := s.StartProxy()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pfx, err := pkcs12.Modern.Encode(s.Certificate().Key, s.Certificate().Leaf, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	e.outside = map[string]string{
		"HTTPS_PROXY":   proxy,
		"HTTP_PROXY":    proxy,
		"SSL_CERT_FILE": write("ca.pem", s.CAPEM()),
	}
	e.apponly = map[string]string{
		"TENANT": s.Tenant().ID(), "CLIENT": s.App().ClientID(), "SECRET": s.Secret(),
		"PEM": write("client.pem", s.Certificate().PEM()), "PFX": write("client.pfx", pfx),
		"ASSERTION": write("token", []byte(s.FederatedToken())),
		"API":       s.API().AppID(), "SCOPE": s.API().Scope(), "IDENTITY": e.identity.ClientID(),
	}
	return e
}

// environ is the environment of a program: what comes from outside, and its own variables, in
// whose values the names of apponly stand for themselves behind a "$".
func (e *emulator) environ(t *testing.T, own map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=10"}
	vars := maps.Clone(e.outside)
	for name, value := range own {
		vars[name] = os.Expand(value, func(key string) string { return e.apponly[key] })
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}

// run runs one of the programs and returns the token that it got.
func (e *emulator) run(t *testing.T, program string, own map[string]string) string {
	t.Helper()
	own = maps.Clone(own)
	if own == nil {
		own = map[string]string{}
	}
	own[asProgram] = program
	for name := range e.apponly {
		own["COMPAT_"+name] = "$" + name
	}
	return output(t, e.environ(t, own), os.Args[0])
}

func output(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return string(out)
}

// check wants a token of a client for the demo API, which the API takes, or for one of other
// audiences.
func (e *emulator) check(t *testing.T, token, client string, audience ...string) {
	t.Helper()
	var claims struct{ Aud, Appid, Azp, Tid string }
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token, but %d bytes", len(token))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(body, &claims) != nil {
		t.Fatalf("a token without claims: %v", err)
	}
	if got := claims.Appid + claims.Azp; got != client || claims.Tid != e.Tenant().ID() {
		t.Errorf("the token is of %s in %s, want %s in %s", got, claims.Tid, client, e.Tenant().ID())
	}
	if len(audience) > 0 {
		if !slices.Contains(audience, strings.TrimRight(claims.Aud, "/")) {
			t.Errorf("the token is for %s, want one of %s", claims.Aud, audience)
		}
		return
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "https://api.test/", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	e.API().Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }), "Data.Read.All").ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Errorf("the API answers %d: %s", rec.Code, rec.Header().Get("WWW-Authenticate"))
	}
}
