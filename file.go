// SPDX-License-Identifier: MIT

package apponly

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/ident"
)

// maxFile bounds what is read as a credential.
const maxFile = 1 << 20

// readFile reads a file of credential material. Its errors name the path, are
// the same each time, and hold nothing of the content.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainPathError(path, err)
	}
	switch {
	case info.IsDir():
		return nil, errors.New(path + " is a directory")
	case !info.Mode().IsRegular():
		// Opening a pipe would wait for a writer.
		return nil, errors.New(path + " is not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New(path + " is larger than 1 MiB")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPathError(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, plainPathError(path, err)
	case len(b) > maxFile:
		return nil, errors.New(path + " is larger than 1 MiB")
	case len(b) == 0:
		return nil, errors.New(path + " is empty")
	}
	return b, nil
}

// checkPath refuses what is no path but may be a secret in the place of one, before
// it is kept where it could be printed. name is what holds it.
func checkPath(kind Kind, name, path string) error {
	if what := ident.NoPath(path); what != "" {
		return errorf(kind, "apponly: %s is %s, not the path of a file", name, what)
	}
	if stray := strayText(path); stray != nil && !filepath.IsAbs(path) { // which may have anything in it
		return errorf(kind, "apponly: %s %w", name, stray)
	}
	return nil
}

// plainPathError names the path once, as far as it may be shown, and leaves out the
// system call, which differs between attempts to reach the same file.
func plainPathError(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return &pathError{shownPath(path), err}
}

// shownPath returns a path with a mark in place of what does not exist. Such a name
// may be a password that was put where the name of its file belongs, other than one in
// a directory that is there and was named.
func shownPath(path string) string {
	dir, name := filepath.Split(path)
	wd, _ := os.Getwd()
	if exists(filepath.Clean(dir)) && filepath.Clean(dir) != wd && ident.Misplaced(name) == "" {
		return path
	}
	for rest := ""; ; rest = "…" {
		if exists(path) || path == filepath.Dir(path) {
			return filepath.Join(path, rest)
		}
		path = filepath.Dir(path)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// fileStamp changes when the file does. It follows symbolic links, by which
// Kubernetes swaps mounted secrets.
func fileStamp(paths ...string) string {
	var b strings.Builder
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			b.WriteString("!")
			continue
		}
		b.WriteString(info.ModTime().UTC().Format("20060102150405.000000000;"))
		b.WriteString(info.Mode().String())
		b.WriteString(strconv.FormatInt(info.Size(), 10))
	}
	return b.String()
}

// absolute makes a path independent of later changes of the working directory;
// "" stays "".
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
