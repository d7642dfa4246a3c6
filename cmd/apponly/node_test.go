// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNode has Microsoft's clients for Node do what TestAzidentity and TestMSAL
// do. Where there is Node, being unable to install them is a failure: a test
// that did not run must not look like one that passed.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on this machine: @azure/identity and @azure/msal-node are not tested")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatalf("node is here, but npm is not: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()

	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "flows.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", "node", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Scripts of packages are not run: these need none.
	runIn(ctx, t, dir, os.Environ(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--no-update-notifier")

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
