// SPDX-License-Identifier: MIT

//go:build unix

package filecache_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/filecache"
)

func TestDirectory(t *testing.T) {
	for _, test := range []struct {
		what string
		make func(t *testing.T, path string) error
		want string // in the error; "": none
	}{
		{"none yet", func(*testing.T, string) error { return nil }, ""},
		{"ours", func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) }, ""},
		{"ours, to be read by all", func(_ *testing.T, path string) error { return mkdir(path, 0o755) }, ""},
		{"of a group", func(_ *testing.T, path string) error { return mkdir(path, 0o770) }, "can be written to by others: its mode is drwxrwx---"},
		{"of all", func(_ *testing.T, path string) error { return mkdir(path, 0o777|os.ModeSticky) }, "can be written to by others"},
		{"of a group, written only", func(_ *testing.T, path string) error { return mkdir(path, 0o720) }, "can be written to by others"},
		{"of another", func(t *testing.T, path string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chown(path, 65534, 65534)
		}, "belongs to the user 65534; this process runs as 0"},
		{"a symbolic link", func(t *testing.T, path string) error { return os.Symlink(t.TempDir(), path) }, "is a symbolic link"},
		{"a symbolic link to nothing", func(t *testing.T, path string) error { return os.Symlink("nothing", path) }, "file exists"},
		{"a file", func(_ *testing.T, path string) error { return os.WriteFile(path, nil, 0o600) }, "not a directory"},
		{"a pipe", func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o600) }, "not a directory"},
	} {
		t.Run(test.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cache")
			if err := test.make(t, path); err != nil {
				t.Fatal(err)
			}
			s, err := filecache.Open(path)
			if _, keyErr := filecache.Key(path); (keyErr == nil) != (err == nil) {
				t.Errorf("Open: %v, Key: %v", err, keyErr)
			}
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("Open: %v, want %q of %s", err, test.want, path)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantAdd(t, s, name("k"), "v", time.Hour, true)
			// Somebody makes it theirs later.
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			if value, _, err := s.Get(t.Context(), name("k")); err == nil || value != nil {
				t.Errorf("Get = %q, %v", value, err)
			}
		})
	}
}

func mkdir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, mode) // past the umask
}

// What the store makes is nobody else's, whatever the umask.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "a", "cache")
	s, err := filecache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantAdd(t, s, name("a"), "v", time.Hour, true)
	set(t, s, name("b"), "v", time.Hour)
	if _, err := filecache.Key(dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, name("a"): 0o600, name("b"): 0o600, "key": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// A pipe would be waited for, a link could lead anywhere.
func TestNoRegularFile(t *testing.T) {
	s, dir := open(t)
	path, key := filepath.Join(dir, name("k")), name("k")
	for what, make := range map[string]func() error{
		"a pipe":          func() error { return syscall.Mkfifo(path, 0o600) },
		"a symbolic link": func() error { return os.Symlink("/etc/passwd", path) },
		"a directory":     func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if value, _, err := s.Get(t.Context(), key); err == nil || value != nil {
			t.Errorf("%s: Get = %q, %v", what, value, err)
		}
		if added, err := s.Add(t.Context(), key, []byte("v"), time.Hour); err == nil || added {
			t.Errorf("%s: Add = %v, %v", what, added, err)
		}
		if err := os.Remove(path); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	path := filepath.Join(dir, "key")
	var first string
	for range 2 {
		if _, err := filecache.Key(dir); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(string(b), "\n")); err != nil || len(key) != 32 {
			t.Errorf("the key is %d bytes, %v", len(key), err)
		}
		if first != "" && first != string(b) {
			t.Error("the key has changed")
		}
		first = string(b)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := filecache.Key(dir); err == nil || !strings.Contains(err.Error(), path+" can be read by others: its mode is -rw-r-----") {
		t.Errorf("Key: %v", err)
	}
	if err := os.Rename(path, path+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("key.real", path); err != nil {
		t.Fatal(err)
	}
	if _, err := filecache.Key(dir); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("Key: %v", err)
	}
}
