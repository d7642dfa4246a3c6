// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestRun(t *testing.T) {
	tmp := kittest.Isolate(t)
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("run: %v\n%s", err, &out)
	}
	kittest.WantLines(t, out.String(), "Got a token, good until 2", "GET /orders answered 200",
		"ErrSecretInvalid", "AADSTS7000215", "what to do: "+apponly.ErrSecretInvalid.Remedy(), "correlation ID ")
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
	if got, want := strings.Join(methods, " "), "secret secret"; got != want {
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
			"client secret is not one of the app's", apponly.ErrSecretInvalid},
		{"role not granted", func(s *entratest.Server) { s.API().Revoke(s.Tenant(), s.App(), "Data.Read.All") },
			"GET /orders answered 403 Forbidden, want 200", ""},
		{"wrong secret taken", func(s *entratest.Server) { s.App().AddSecret("this-is-not-the-secret", time.Now().Add(time.Hour)) },
			"a wrong secret", ""},
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
			shown := fmt.Sprintf("%+v", err) // as main shows it
			if test.kind != "" && !strings.Contains(shown, test.kind.Remedy()) {
				t.Errorf("%%+v = %q, lacks the remedy", shown)
			}
			kittest.WantNoSecrets(t, out.String()+shown, server.Secret())
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
}

func TestRunByEnvironmentFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		kittest.Isolate(t)
		server := entratest.New(t)
		asEnvironment(t, server)
		t.Setenv("AZURE_CLIENT_SECRET", "this-is-not-the-secret")
		var out strings.Builder
		err := run(t.Context(), &out)
		shown := fmt.Sprintf("%+v", err)
		if !errors.Is(err, apponly.ErrSecretInvalid) || !strings.Contains(shown, apponly.ErrSecretInvalid.Remedy()) {
			t.Errorf("error = %v, want ErrSecretInvalid with a remedy", err)
		}
		kittest.WantNoSecrets(t, out.String()+shown, server.Secret())
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
