// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cmd/apponly/agent"
)

// Agents with one store have one token.
func TestShared(t *testing.T) {
	t.Parallel()
	stores := map[string]func(*testing.T) agent.Shared{
		"dir":   func(t *testing.T) agent.Shared { return agent.Shared{Dir: filepath.Join(t.TempDir(), "cache")} },
		"redis": redisShared,
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, shared := newWorld(t), store(t)
			for range 3 {
				cache, err := agent.NewCache(shared)
				if err != nil {
					t.Fatal(err)
				}
				c, err := apponly.New(w.Tenant().ID(), w.App().ClientID(), apponly.Secret(w.Server.Secret()), &apponly.Options{Cloud: w.Cloud(), HTTPClient: w.HTTPClient(), Cache: cache})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Token(t.Context(), w.API().Scope()); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.TokenRequests(); got != 1 {
				t.Errorf("three agents made %d token requests, want 1", got)
			}
		})
	}
}

// redisShared starts a server, and has its URL and the keys in files.
func redisShared(t *testing.T) agent.Shared {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("SKIPPED: redis-server is not on this machine")
	}
	dir, err := os.MkdirTemp("", "redis-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(context.Background(), server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		<-tick.C
	}
	s := agent.Shared{RedisURLFile: filepath.Join(dir, "url"), KeyFile: filepath.Join(dir, "key")}
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnopqrstuv"))
	for path, text := range map[string]string{s.RedisURLFile: "unix://" + socket + "\n", s.KeyFile: key + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSharedFaults(t *testing.T) {
	t.Parallel()
	url := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(url, []byte("redis://user:SECRET@host:port/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]agent.Shared{
		"no URL":     {RedisURLFile: url + "x", KeyFile: "/k"},
		"a bad URL":  {RedisURLFile: url, KeyFile: "/k"},
		"not a dir":  {Dir: url},
		"root's dir": {Dir: "/proc/1"},
	} {
		if _, err := agent.NewCache(s); err == nil || !strings.HasPrefix(err.Error(), "shared: ") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each app has the credential that the file says.
func TestNewClients(t *testing.T) {
	const tenant, id = "contoso.example", "11111111-2222-4333-8444-555555555555"
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "APPONLY_CREDENTIAL", "AZURE_TOKEN_CREDENTIALS"} {
		t.Setenv(name, "")
	}
	cfg := &agent.Config{Apps: map[string]agent.App{
		"secret":      {Tenant: tenant, ClientID: id, SecretFile: "/s"},
		"certificate": {Tenant: tenant, ClientID: id, Certificate: "/c", AllowedTenants: []string{"*"}},
		"federated":   {Tenant: tenant, ClientID: id, FederatedTokenFile: "/f", Authority: "https://login.microsoftonline.us"},
	}}
	clients, err := agent.NewClients(cfg, apponly.NewCache(nil))
	if err != nil || len(clients) != 3 {
		t.Fatalf("%d clients, %v", len(clients), err)
	}
	for name, c := range clients {
		if c.TenantID() != tenant || c.ClientID() != id {
			t.Errorf("%s is %s in %s", name, c.ClientID(), c.TenantID())
		}
	}
	if _, err := clients["certificate"].Tenant("fabrikam.example"); err != nil {
		t.Errorf("allowed_tenants: %v", err)
	}
	if _, err := clients["secret"].Tenant("fabrikam.example"); err == nil {
		t.Error("a foreign tenant is allowed")
	}
	cfg.Apps = map[string]agent.App{"a": {Tenant: "", ClientID: "x", SecretFile: "/s"}, "b": {From: "env"}}
	_, err = agent.NewClients(cfg, apponly.NewCache(nil))
	if err == nil || !strings.Contains(err.Error(), "apps.a: ") || !strings.Contains(err.Error(), "apps.b: ") {
		t.Errorf("got %v, want both apps named", err)
	}
}
