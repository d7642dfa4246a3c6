// SPDX-License-Identifier: MIT

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDirIsReplaced starts twice in a directory that begins as one for all.
func TestDirIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	first := start(t, "--dir", dir)
	first.stop(os.Interrupt)
	if err := os.Chmod(first.CAFile, 0o644); err != nil {
		t.Fatal(err)
	}
	second := start(t, "--dir", dir)
	if first.ClientSecret == second.ClientSecret {
		t.Error("two emulators have the same secret")
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, second.CAFile: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %#o", path, info.Mode(), err, want)
		}
	}
	if got := second.ask(t, second.TenantID); got.Status != http.StatusOK {
		t.Errorf("got %+v with the new CA", got)
	}
}

// A client.pem that no emulator wrote is somebody's key.
func TestDirOfSomebodyElse(t *testing.T) {
	for _, mode := range []os.FileMode{0o700, 0o755} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "client.pem")
		if err := os.WriteFile(path, []byte("the only copy of a real key"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := outcome(t, "emulator", "--dir", dir)
		if got, _ := os.ReadFile(path); status != 1 || string(got) != "the only copy of a real key" || !strings.Contains(stderr, "client.pem") {
			t.Errorf("mode %#o: status %d, %s; client.pem holds %q", mode, status, stderr, got)
		}
	}
}

// Who keeps other things in a directory that nobody else looks into may go on.
func TestDirWithOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, "--dir", dir)
	if got, err := os.ReadFile(path); string(got) != "mine" || e.CAFile != filepath.Join(dir, "ca.pem") {
		t.Errorf("the notes are %q, %v; the CA is %s", got, err, e.CAFile)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "env", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(dir, "env", []byte("data")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v, want what was there", entries, err)
	}
}
