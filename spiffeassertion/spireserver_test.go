// SPDX-License-Identifier: MIT

package spiffeassertion_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The SPIRE that is tested against, and the hash of its module, which holds the
// hashes of all it is built from. It is no dependency of this module: it has some
// hundred of its own.
const (
	spireModule = "github.com/spiffe/spire@v1.13.3"
	spireSum    = "h1:wDTK8tj8ShO5izjue/OFanVaehmjUxSxHtSWxBY+FJQ="
)

// buildSpire returns a directory with SPIRE's programs. They are built once and
// kept in the user's cache directory. It skips where the module or a C compiler,
// for SQLite, is not to be had.
func buildSpire(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no place for SPIRE's programs: ", err)
	}
	dir := filepath.Join(cache, "apponly", strings.ReplaceAll(filepath.Base(spireModule), "@", "-"))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if _, err := exec.LookPath(strings.TrimSpace(command(t, "", "go", "env", "CC"))); err != nil {
		t.Skip("SPIRE is not built: ", err)
	}
	source, began := downloadSpire(t, t.TempDir()), time.Now()
	command(t, source, "go", "build", "-o", dir+".new/", "./cmd/spire-server", "./cmd/spire-agent", "./support/oidc-discovery-provider")
	t.Logf("SPIRE was built in %v", time.Since(began).Round(time.Second))
	if err := os.Rename(dir+".new", dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// downloadSpire returns a copy of SPIRE's module: in the module cache there is
// nothing to be built.
func downloadSpire(t *testing.T, temp string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", spireModule)
	cmd.Dir, cmd.Env = temp, append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil {
		t.Skipf("SPIRE's module is not to be had: %v, %v, %s", err, jsonErr, module.Error)
	}
	if module.Sum != spireSum {
		t.Fatalf("SPIRE's module has the hash %s, want %s", module.Sum, spireSum)
	}
	source := filepath.Join(temp, "spire")
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	return source
}

// A spire is a server, an agent and a discovery provider on this machine, on
// loopback and sockets in a directory of the test's.
type spire struct {
	t        *testing.T
	bin, dir string
}

const spireServerConf = `
server {
	bind_address = "127.0.0.1"
	bind_port = "%[2]d"
	socket_path = "%[1]s/server.sock"
	trust_domain = "example.org"
	data_dir = "%[1]s/server"
	log_level = "WARN"
	%[3]s
}
plugins {
	DataStore "sql" {
		plugin_data {
			database_type = "sqlite3"
			connection_string = "%[1]s/datastore.sqlite3"
		}
	}
	NodeAttestor "join_token" { plugin_data {} }
	KeyManager "memory" { plugin_data {} }
}
`

const spireAgentConf = `
agent {
	data_dir = "%[1]s/agent"
	log_level = "WARN"
	server_address = "127.0.0.1"
	server_port = "%[2]d"
	socket_path = "%[1]s/agent.sock"
	trust_bundle_path = "%[1]s/bundle.pem"
	trust_domain = "example.org"
}
plugins {
	NodeAttestor "join_token" { plugin_data {} }
	KeyManager "memory" { plugin_data {} }
	WorkloadAttestor "unix" { plugin_data {} }
}
`

const spireDiscoveryConf = `
log_level = "warn"
domains = ["oidc.example.org"]
set_key_use = true
listen_socket_path = "%[1]s/discovery.sock"
server_api {
	address = "unix://%[1]s/server.sock"
}
`

// startSpire starts a server with settings, and an agent that has joined it. This
// process has the identity of the worker there.
func startSpire(t *testing.T, settings string) *spire {
	t.Helper()
	bin := buildSpire(t)
	dir, err := os.MkdirTemp("", "spire") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, port := &spire{t, bin, dir}, freePort(t)

	s.start("spire-server", "run", "-config", s.write("server.conf", fmt.Sprintf(spireServerConf, dir, port, settings)))
	eventually(t, func() error { return s.try("spire-server", "healthcheck", "-socketPath", dir+"/server.sock") })
	s.write("bundle.pem", s.server("bundle", "show"))
	s.server("entry", "create", "-parentID", "spiffe://example.org/host", "-spiffeID", workerID,
		"-selector", "unix:uid:"+strconv.Itoa(os.Getuid()))
	_, token, _ := strings.Cut(s.server("token", "generate", "-spiffeID", "spiffe://example.org/host"), "Token: ")
	s.start("spire-agent", "run", "-joinToken", strings.TrimSpace(token),
		"-config", s.write("agent.conf", fmt.Sprintf(spireAgentConf, dir, port)))
	return s
}

func (s *spire) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start runs a program until the test ends. What it writes is shown if the test
// has failed by then.
func (s *spire) start(name string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", name, log.String())
		}
	})
}

// server returns what a command to the server prints.
func (s *spire) server(args ...string) string {
	s.t.Helper()
	return command(s.t, s.dir, filepath.Join(s.bin, "spire-server"), append(args, "-socketPath", s.dir+"/server.sock")...)
}

func (s *spire) try(name string, args ...string) error {
	return exec.CommandContext(s.t.Context(), filepath.Join(s.bin, name), args...).Run()
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "CGO_ENABLED=1")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", filepath.Base(name), args, err, out, errOut.Bytes())
	}
	return string(out)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually waits for a program that has just been started.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("in a minute: ", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
