// SPDX-License-Identifier: MIT

package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// oldHeaderTime is how long a previous header secret is good for: until the
// programs that have it in their environment have been started again.
const oldHeaderTime = 10 * time.Minute

// Bounds of a header secret, in characters.
const minHeader, maxHeader = 32, 1024

// A headerFile is the secret by which callers over TCP are known. What is kept of it
// are hashes: of 32 random bytes they tell nothing.
type headerFile struct {
	path string
	good atomic.Pointer[headerHashes]
	mu   sync.Mutex // guards changes
}

type headerHashes struct {
	current  [32]byte
	previous []oldHeader // oldest first
}

type oldHeader struct {
	hash  [32]byte
	until time.Time
}

// mostOldHeaders bounds previous: who rotates more often within ten minutes loses the
// oldest before its time.
const mostOldHeaders = 16

// openHeaderFile reads the file, or makes it.
func openHeaderFile(path string) (*headerFile, error) {
	secret, err := readHeader(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeHeader(path, os.Link); err == nil || errors.Is(err, fs.ErrExist) { // another agent was faster
			secret, err = readHeader(path)
		}
	}
	if err != nil {
		return nil, err
	}
	f := &headerFile{path: path}
	f.good.Store(&headerHashes{current: secret})
	return f, nil
}

// rotate takes another secret: what somebody has put into the file since, else a new
// one. The old one stays good for ten minutes, however many come after it.
func (f *headerFile) rotate() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.good.Load()
	secret, err := readHeader(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && secret == old.current {
		if err = writeHeader(f.path, os.Rename); err == nil {
			secret, err = readHeader(f.path)
		}
	}
	if err != nil {
		return err
	}
	now := time.Now()
	kept := slices.DeleteFunc(slices.Clone(old.previous), func(h oldHeader) bool { return !now.Before(h.until) })
	kept = append(kept, oldHeader{old.current, now.Add(oldHeaderTime)})
	f.good.Store(&headerHashes{secret, kept[max(0, len(kept)-mostOldHeaders):]})
	return nil
}

// matches reports whether a caller has the secret, in a time that says nothing about it.
func (f *headerFile) matches(given string) bool {
	if f == nil || given == "" || len(given) > maxHeader {
		return false
	}
	hash, good := sha256.Sum256([]byte(given)), f.good.Load()
	found := subtle.ConstantTimeCompare(hash[:], good.current[:])
	for _, old := range good.previous {
		if same := subtle.ConstantTimeCompare(hash[:], old.hash[:]); time.Now().Before(old.until) {
			found |= same
		}
	}
	return found == 1
}

// readHeader returns the hash of the secret in a file that others cannot read.
func readHeader(path string) (hash [32]byte, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a pipe would keep us in Open
		return hash, fmt.Errorf("header_file: %s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return hash, fmt.Errorf("header_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return hash, fmt.Errorf("header_file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxHeader+2))
	secret := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		return hash, fmt.Errorf("header_file: %w", err)
	case info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows":
		return hash, fmt.Errorf("header_file: %s has mode %#o: everybody on this host could get tokens; want 0600, or 0640 for a group", path, info.Mode().Perm())
	case len(secret) < minHeader || len(secret) > maxHeader || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return hash, fmt.Errorf("header_file: %s: want one line of %d to %d visible characters", path, minHeader, maxHeader)
	}
	return sha256.Sum256([]byte(secret)), nil
}

// writeHeader makes a new secret, and places its file with os.Link, which leaves an
// existing one, or os.Rename. A reader never sees half of it, and who could read the
// file before can read it after.
func writeHeader(path string, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".header-*") // 0600
	if err != nil {
		return fmt.Errorf("header_file: %w", err)
	}
	defer os.Remove(f.Name()) // gone already after a rename
	random := make([]byte, 32)
	rand.Read(random)
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(random) + "\n")
	if old, e := os.Stat(path); err == nil && e == nil {
		err = errors.Join(giveTo(f, old), f.Chmod(old.Mode().Perm()))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("header_file: %w", err)
	}
	return nil
}
