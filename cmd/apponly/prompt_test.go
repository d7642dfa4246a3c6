// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A prompt is where somebody types what a page shows: a directory, and "apponly" on the
// PATH, which is the test binary.
type prompt struct{ dir, bin string }

func newPrompt(t *testing.T) prompt {
	t.Helper()
	p := prompt{t.TempDir(), t.TempDir()}
	p.install(t, "apponly", asCommand+"=1 exec "+quote(os.Args[0])+" \"$@\"\n")
	return p
}

// install puts a script on the PATH.
func (p prompt) install(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.bin, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// shell returns a shell that runs lines, and ends with the first that fails. In a pipe only
// bash sees that.
func (p prompt) shell(t *testing.T, lines string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", "-c", "set -eu\n"+lines)
	if bash, err := exec.LookPath("bash"); err == nil {
		cmd = exec.CommandContext(ctx, bash, "-c", "set -euo pipefail\n"+lines)
	}
	cmd.Dir = p.dir
	cmd.Env = append(clean(), "PATH="+p.bin+":"+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=10")
	return cmd
}

// serve runs a line whose last command serves until it is interrupted, and returns once
// there is the file by which it says that it does.
func (p prompt) serve(t *testing.T, line, file string) {
	t.Helper()
	// In the place of its shell, so that it is the process that is ended.
	cut := strings.LastIndex(line, "apponly ")
	cmd := p.shell(t, line[:cut]+"exec "+line[cut:])
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", line, stderr)
		}
	})
	waitUntil(t, func() bool { _, err := os.Stat(filepath.Join(p.dir, file)); return err == nil })
}
