// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly"
)

// awkward is a directory that a shell would take apart.
const awkward = "it's $(a) \"dir\"\twith\\ `all` of; it"

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), awkward)
	e := start(t, "--dir", dir)

	var keys map[string]string
	if err := json.Unmarshal([]byte(e.line), &keys); err != nil {
		t.Fatal(err)
	}
	want := []string{"api_audience", "api_url", "authority_host", "bundle_file", "ca_file", "certificate_path", "client_id",
		"client_secret", "federated_token_file", "managed_identity_client_id", "scope", "tenant_id"}
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	for key, name := range map[string]string{"ca_file": "ca.pem", "bundle_file": "bundle.pem", "certificate_path": "client.pem", "federated_token_file": "federated-token"} {
		if want := filepath.Join(dir, name); keys[key] != want {
			t.Errorf("%s = %q, want %q", key, keys[key], want)
		}
	}

	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %#o, want 0700", info.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", entry.Name(), info.Mode(), err)
		}
	}
	if want := []string{"bundle.pem", "ca.pem", "client.pem", "emulator.json", "env", "federated-token"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "emulator.json")); string(got) != e.line {
		t.Errorf("emulator.json has %q, %v, want what was printed", got, err)
	}
	e.stop(os.Interrupt)
	if rest, err := e.stdout.ReadString(0); rest != "" {
		t.Errorf("more on stdout: %q, %v", rest, err)
	}
	if _, err := os.Stat(e.CAFile); err != nil {
		t.Errorf("a directory that was given is left alone: %v", err)
	}
}

// TestEnv sources the file as a user does, and takes FromEnv's word for it.
func TestEnv(t *testing.T) {
	dir := filepath.Join(t.TempDir(), awkward)
	e := start(t, "--dir", dir)
	out, err := exec.Command("sh", "-c", `. "$1/env" && env -0`, "sh", dir).Output()
	if err != nil {
		t.Fatalf("sourcing env: %v", err)
	}
	exported := 0
	for line := range strings.SplitSeq(string(out), "\x00") {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "APPONLY_") {
			t.Setenv(name, value)
			exported++
		}
	}
	if exported < 9 {
		t.Fatalf("%d variables exported:\n%s", exported, out)
	}

	explained := apponly.ExplainEnv(nil)
	if explained.Err != nil || explained.Credential != "secret" || explained.Reason != "APPONLY_CREDENTIAL" {
		t.Errorf("as it stands, FromEnv reads it as:\n%v", explained)
	}
	for _, credential := range []string{"secret", "certificate", "federated"} {
		t.Run(credential, func(t *testing.T) {
			t.Setenv("APPONLY_CREDENTIAL", credential)
			client, err := apponly.FromEnv(nil)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := client.Token(t.Context(), e.Scope)
			if err != nil {
				t.Fatal(err)
			}
			claims := verifyToken(t, e.client(t), e.AuthorityHost+"/"+e.TenantID+"/discovery/v2.0/keys", tok.Value())
			if claims["aud"] != e.APIAudience || claims["azp"] != e.ClientID {
				t.Errorf("claims %v, want audience %s and client %s", claims, e.APIAudience, e.ClientID)
			}
		})
	}
}

func TestAdminPath(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		admin bool
		warns bool
	}{
		"loopback":            {nil, true, false},
		"loopback, off":       {[]string{"--admin=false"}, false, false},
		"localhost":           {[]string{"--addr", "localhost:0"}, true, false},
		"all addresses":       {[]string{"--addr", "0.0.0.0:0"}, false, true},
		"all addresses, on":   {[]string{"--addr", ":0", "--admin"}, true, true},
		"all addresses, IPv6": {[]string{"--addr", "[::]:0"}, false, true},
		// It leads to the authority, wherever that is.
		"proxy":                    {[]string{"--proxy", "127.0.0.1:0"}, true, false},
		"proxy, all addresses":     {[]string{"--proxy", "0.0.0.0:0"}, false, true},
		"proxy, all addresses, on": {[]string{"--proxy", "0.0.0.0:0", "--admin"}, true, true},
		"imds, all addresses":      {[]string{"--imds", "0.0.0.0:0"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "IPv6") && !hasIPv6() {
				t.Skip("no IPv6 on this machine")
			}
			e := start(t, tt.args...)
			resp, err := e.client(t).Get(e.AuthorityHost + faultsPath)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.StatusCode == http.StatusOK; got != tt.admin {
				t.Errorf("GET %s: %s, want it served: %t", faultsPath, resp.Status, tt.admin)
			}
			e.stop(os.Interrupt)
			if got := strings.Contains(e.stderr.String(), e.AuthorityHost+"/_emulator/"); got != tt.admin {
				t.Errorf("told where the page is: %t, want %t:\n%s", got, tt.admin, e.stderr)
			}
			if got := strings.Contains(e.stderr.String(), "warning"); got != tt.warns {
				t.Errorf("warned: %t, want %t:\n%s", got, tt.warns, e.stderr)
			}
		})
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// A reader that is gone, and a terminal: neither leaves the temporary directory
// with its key and secret behind.
func TestBrokenPipe(t *testing.T) {
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, "emulator")
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout = w
	out := &strings.Builder{}
	cmd.Stderr = out
	_ = cmd.Run()
	w.Close()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d (%s), want 1; stderr %q", code, cmd.ProcessState, out)
	}
	if entries, _ := os.ReadDir(tmp); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestHangup(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("a hangup is ignored here, as under nohup, and so by the command")
	}
	e := start(t)
	dir := filepath.Dir(e.CAFile)
	if status := e.stop(syscall.SIGHUP); status != 0 {
		t.Errorf("status %d, want 0", status)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
		os.RemoveAll(dir)
	}
}

// An API has to know which audience and issuer to accept, an app who it is. What
// is in the file already is not told.
func TestRandomIDsAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(`
tenants: [{domains: [contoso.example]}, {id: `+contosoID+`, domains: [given.example]}]
apps: [{name: worker, tenant: contoso.example}, {name: given, client_id: `+workerID+`, tenant: contoso.example}]
resources: [{uri: 'api://payroll', tenant: contoso.example}, {uri: 'api://given', app_id: `+retiredID+`, tenant: contoso.example}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, "--config", path)
	e.stop(os.Interrupt)
	told := e.stderr.String()
	for _, name := range []string{"contoso.example", "worker", "api://payroll"} {
		if !strings.Contains(told, "'"+name+"' is ") {
			t.Errorf("nobody can know the ID of %s; stderr:\n%s", name, told)
		}
	}
	if strings.Contains(told, "given") {
		t.Errorf("IDs that are given are told; stderr:\n%s", told)
	}
}

// Under nohup a closed terminal is not the end.
func TestNohup(t *testing.T) {
	cmd := command(context.Background())
	cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" emulator`}, cmd.Path)
	cmd.Path = "/bin/sh"
	e := await(t, cmd)
	if err := e.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := e.ask(t, e.TenantID); got.Status != http.StatusOK {
		t.Errorf("after the hangup: %d", got.Status)
	}
	if status := e.stop(os.Interrupt); status != 0 {
		t.Errorf("status %d", status)
	}
}
