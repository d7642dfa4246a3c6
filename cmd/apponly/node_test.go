// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNode has Microsoft's clients for Node do what TestAzidentity and TestMSAL
// do. Where there is Node, being unable to install them is a failure: a test
// that did not run must not look like one that passed.
func TestNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on this machine: @azure/identity and @azure/msal-node are not tested")
	}
	dir := nodeModules(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()

	e := start(t)
	var env []string
	for _, v := range os.Environ() {
		// A proxy would not reach a loopback address.
		if name, _, _ := strings.Cut(strings.ToLower(v), "="); !strings.HasSuffix(name, "_proxy") {
			env = append(env, v)
		}
	}
	env = append(env, "NODE_EXTRA_CA_CERTS="+e.CAFile)
	out := runIn(ctx, t, dir, env, node, "flows.mjs", filepath.Join(filepath.Dir(e.CAFile), emulatorFile))
	for _, client := range []string{"identity", "msal"} {
		for _, flow := range []string{"secret", "certificate", "federated", "wrong secret"} {
			if line := "ok " + client + " " + flow + "\n"; !strings.Contains(out, line) {
				t.Errorf("no line %q in\n%s", line, out)
			}
		}
	}
}

// nodeDir is where Microsoft's clients for Node are installed, once for all tests.
var nodeDir struct {
	once sync.Once
	path string
	err  error
}

// nodeModules returns a directory with the clients and with the programs of testdata.
func nodeModules(t *testing.T) string {
	t.Helper()
	nodeDir.once.Do(func() { nodeDir.path, nodeDir.err = installNode() })
	if nodeDir.err != nil {
		t.Fatal(nodeDir.err)
	}
	return nodeDir.path
}

func installNode() (dir string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("node is here, but npm is not: %w", err)
	}
	if dir, err = os.MkdirTemp("", "apponly-node-"); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "node"))); err != nil {
		return dir, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	// Scripts of packages are not run: these need none.
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--no-update-notifier")
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second // for its children
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
}

func runIn(ctx context.Context, t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.WaitDelay = 5 * time.Second // for its children
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), args[0], err, out, &stderr)
	}
	return string(out)
}
