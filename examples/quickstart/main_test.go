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

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestRun(t *testing.T) {
	tmp := kittest.Isolate(t)
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
	kittest.WantLines(t, out.String(), want...)
	kittest.WantNoSecrets(t, out.String())
	kittest.WantEmpty(t, tmp)
}

// The same with an emulator whose secrets are known here.
func TestTourTellsNoSecrets(t *testing.T) {
	kittest.Isolate(t)
	server := entratest.New(t)
	var out strings.Builder
	if err := tour(t.Context(), &out, server); err != nil {
		t.Fatal(err)
	}
	key, _ := pem.Decode(server.Certificate().KeyPEM())
	kittest.WantNoSecrets(t, out.String(), server.Secret(), string(key.Bytes))
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
			tmp := kittest.Isolate(t)
			server := entratest.New(t)
			test.spoil(server)
			var out strings.Builder
			err := tour(t.Context(), &out, server)
			if err == nil || !strings.Contains(err.Error(), test.want) || test.kind != "" && !errors.Is(err, test.kind) {
				t.Fatalf("error = %v, want one that says %q and is %q", err, test.want, string(test.kind))
			}
			if test.kind != "" && !strings.Contains(kit.Explain(err), test.kind.Remedy()) {
				t.Errorf("Explain = %q, lacks the remedy", kit.Explain(err))
			}
			kittest.WantNoSecrets(t, out.String()+kit.Explain(err), server.Secret())
			kittest.WantEmpty(t, tmp)
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	kittest.Isolate(t)
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
	kittest.Isolate(t)
	server := entratest.New(t)
	asEnvironment(t, server)

	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	kittest.WantLines(t, out.String(), "AZURE_CLIENT_SECRET", "Got a token for "+server.API().Scope()+", good until 2")
	kittest.WantNoSecrets(t, out.String(), server.Secret())

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
	kittest.WantLines(t, out.String(), "Got a token", "GET "+api.URL+"/v1 answered 418")
	kittest.WantNoSecrets(t, out.String(), server.Secret())
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
		kittest.Isolate(t)
		server := entratest.New(t)
		asEnvironment(t, server)
		t.Setenv("AZURE_CLIENT_SECRET", "this-is-not-the-secret")
		var out strings.Builder
		err := run(t.Context(), &out)
		if !errors.Is(err, apponly.ErrSecretInvalid) || !strings.Contains(kit.Explain(err), "what to do: "+apponly.ErrSecretInvalid.Remedy()) {
			t.Errorf("error = %v, want ErrSecretInvalid with a remedy", err)
		}
		kittest.WantNoSecrets(t, out.String()+kit.Explain(err), server.Secret())
	})
	t.Run("incomplete", func(t *testing.T) {
		kittest.Isolate(t)
		t.Setenv("AZURE_CLIENT_ID", "not-a-guid")
		err := run(t.Context(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "AZURE_TENANT_ID") {
			t.Errorf("error = %v, want one that names AZURE_TENANT_ID", err)
		}
	})
}
