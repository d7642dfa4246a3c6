// SPDX-License-Identifier: MIT

package filecache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/filecache"
)

var _ apponly.SharedStore = (*filecache.Store)(nil)

// name returns a key such as apponly makes, the same for the same letter.
func name(letter string) string { return strings.Repeat(letter, 32) }

func open(t *testing.T) (*filecache.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	s, err := filecache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func wantAdd(t *testing.T, s *filecache.Store, key, value string, ttl time.Duration, want bool) {
	t.Helper()
	if added, err := s.Add(t.Context(), key, []byte(value), ttl); added != want || err != nil {
		t.Fatalf("Add(%q) = %v, %v, want %v", value, added, err, want)
	}
}

func set(t *testing.T, s *filecache.Store, key, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatal(err)
	}
}

// wantGet fails the test unless value is there, for most of ttl; "" is nothing.
func wantGet(t *testing.T, s *filecache.Store, key, value string, ttl time.Duration) {
	t.Helper()
	got, left, err := s.Get(t.Context(), key)
	if err != nil || string(got) != value || (got == nil) != (value == "") || left > ttl || left < ttl-time.Minute {
		t.Fatalf("Get = %q, %v, %v, want %q, %v", got, left, err, value, ttl)
	}
}

func TestStore(t *testing.T) {
	s, dir := open(t)
	key := name("k")
	wantGet(t, s, key, "", 0)
	wantAdd(t, s, key, "first", time.Hour, true)
	wantAdd(t, s, key, "second", time.Hour, false)
	wantGet(t, s, key, "first", time.Hour)
	set(t, s, key, "third", 2*time.Hour)
	wantGet(t, s, key, "third", 2*time.Hour)
	wantGet(t, s, name("l"), "", 0)

	// Of another process, or after a restart.
	other, err := filecache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantGet(t, other, key, "third", 2*time.Hour)

	// Somebody clears the cache while the process runs.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantGet(t, s, key, "", 0)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantAdd(t, s, key, "fourth", time.Hour, true)
	wantGet(t, s, key, "fourth", time.Hour)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v, want one file", files, err)
	}
}

func TestBounds(t *testing.T) {
	s, dir := open(t)
	for _, key := range []string{
		"", "key", strings.Repeat("k", 31), strings.Repeat("k", 33), "../" + strings.Repeat("k", 29),
		strings.Repeat("/", 32), strings.Repeat(".", 32), strings.Repeat("k", 31) + "\x00", strings.Repeat("ä", 16),
	} {
		if _, _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%q): no error", key)
		}
		if err := s.Set(t.Context(), key, []byte("v"), time.Hour); err == nil {
			t.Errorf("Set(%q): no error", key)
		}
		if added, err := s.Add(t.Context(), key, []byte("v"), time.Hour); err == nil || added {
			t.Errorf("Add(%q) = %v, %v", key, added, err)
		}
	}
	key, large := name("k"), bytes.Repeat([]byte("v"), 64<<10)
	if err := s.Set(t.Context(), key, append(large, 'v'), time.Hour); err == nil {
		t.Error("a value beyond 64 KiB is set")
	}
	wantAdd(t, s, key, string(large), 30*24*time.Hour, true)
	wantGet(t, s, key, string(large), 7*24*time.Hour)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Set(ctx, key, nil, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Set = %v, want %v", err, context.Canceled)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v, want one file", files, err)
	}
}

// encoded returns the content of a file of the store.
func encoded(begun time.Time, ttl time.Duration, id, value string) string {
	b := binary.BigEndian.AppendUint64([]byte("apponly1"), uint64(begun.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(ttl.Milliseconds()))
	return string(b) + id + value
}

// What is no entry is nothing, and in nobody's way.
func TestGarbage(t *testing.T) {
	now := time.Now()
	for what, content := range map[string]string{
		"an empty file, of a crash":       "",
		"a short one":                     "apponly1\x00\x00",
		"zeros, of a crash":               strings.Repeat("\x00", 4096),
		"text":                            strings.Repeat("not a token\n", 100),
		"a large one":                     encoded(now, time.Hour, "12345678", strings.Repeat("v", 1<<20)),
		"one that has ended":              encoded(now.Add(-2*time.Hour), time.Hour, "12345678", "old"),
		"one that lasts for ever":         encoded(now, 1<<62, "12345678", "old"),
		"one from the future":             encoded(now.Add(time.Minute), time.Hour, "12345678", "old"),
		"one from before all time":        encoded(time.UnixMilli(-1<<62), time.Hour, "12345678", "old"),
		"one from after it":               encoded(time.UnixMilli(1<<62), time.Hour, "12345678", "old"),
		"one that ends as soon as begun":  encoded(now, 0, "12345678", "old"),
		"one whose successor is like it":  encoded(now.Add(-2*time.Hour), time.Hour, "looploop", "old"),
		"one with more than all can last": encoded(now, -time.Millisecond, "12345678", "old"),
	} {
		t.Run(what, func(t *testing.T) {
			s, dir := open(t)
			key := name("g")
			path := filepath.Join(dir, key)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			wantGet(t, s, key, "", 0)
			wantAdd(t, s, key, "new", time.Hour, true)
			wantAdd(t, s, key, "newer", time.Hour, false)
			wantGet(t, s, key, "new", time.Hour)

			// And where the entry leads back to itself nothing hangs.
			if strings.Contains(content, "looploop") {
				for _, path := range []string{path, path + "." + hex.EncodeToString([]byte("looploop"))} {
					os.Remove(path)
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				wantGet(t, s, key, "", 0)
				wantAdd(t, s, key, "new", time.Hour, false)
			}
			set(t, s, key, "newest", time.Hour)
			wantGet(t, s, key, "newest", time.Hour)
		})
	}
}

// The process that succeeded an entry was killed before it put its own in the place
// of it. Its entry counts all the same, as long as it lasts.
func TestKilledBetweenLinkAndRename(t *testing.T) {
	s, dir := open(t)
	key := name("k")
	old := encoded(time.Now().Add(-time.Hour), time.Minute, "12345678", "old")
	successor := encoded(time.Now().Add(-time.Second), 1200*time.Millisecond, "23456789", "successor")
	for file, content := range map[string]string{key: old, key + "." + hex.EncodeToString([]byte("12345678")): successor} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantGet(t, s, key, "successor", time.Second)
	wantAdd(t, s, key, "third", time.Hour, false)
	<-time.After(300 * time.Millisecond) // no file system has a clock of a bubble's
	wantGet(t, s, key, "", 0)
	wantAdd(t, s, key, "third", time.Hour, true)
	wantAdd(t, s, key, "fourth", time.Hour, false)
	wantGet(t, s, key, "third", time.Hour)
}
