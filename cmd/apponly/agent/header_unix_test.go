// SPDX-License-Identifier: MIT

//go:build unix

package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

// The programs that may read the secret may read the next one, too.
func TestRotationKeepsReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	group := os.Getgid()
	if os.Getuid() == 0 {
		group = 2000
	}
	if err := errors.Join(os.Chown(w.cfg.HeaderFile, -1, group), os.Chmod(w.cfg.HeaderFile, 0o640)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(w.cfg.HeaderFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.agent.RotateHeader(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(w.cfg.HeaderFile)
	if err != nil || readSecret(t, w.cfg.HeaderFile) == w.secret {
		t.Fatalf("it was not changed: %v", err)
	}
	got, want := after.Sys().(*syscall.Stat_t), before.Sys().(*syscall.Stat_t)
	if got.Mode != want.Mode || got.Uid != want.Uid || got.Gid != want.Gid {
		t.Errorf("it has mode %#o, user %d and group %d, want %#o, %d and %d", got.Mode, got.Uid, got.Gid, want.Mode, want.Uid, want.Gid)
	}
}

// Opening a pipe would wait for who writes to it.
func TestHeaderFileIsAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := *w.cfg
	cfg.HeaderFile = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(cfg.HeaderFile, 0o600); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() {
		_, err := agent.New(&cfg, w.clients)
		made <- err
	}()
	select {
	case err := <-made:
		if err == nil || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the pipe")
	}
}
