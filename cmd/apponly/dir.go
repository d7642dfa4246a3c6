// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/apponly/apponly/cmd/apponly/internal/emuconfig"
)

// The files of an emulator's directory.
const (
	caFile          = "ca.pem"
	bundleFile      = "bundle.pem"
	certificateFile = "client.pem"
	federatedFile   = "federated-token"
	envFile         = "env"
	envForeignFile  = envFile + "-" + emuconfig.ForeignName
	emulatorFile    = "emulator.json"
)

// A dirKind is which command a directory is for, and what that writes there. Where the
// marker is, the others are the command's, too.
type dirKind struct {
	command string
	files   []string
	marker  string
}

var (
	emulatorDir = dirKind{"emulator", []string{caFile, bundleFile, certificateFile, federatedFile, envFile, emulatorFile}, emulatorFile}
	agentDir    = dirKind{"agent", []string{headerFile, agentFile}, headerFile}
)

// owns reports whether a file is the command's: an emulator also writes the environments
// of machines and jobs.
func (k dirKind) owns(name string) bool {
	return slices.Contains(k.files, name) || k.command == "emulator" && strings.HasPrefix(name, envFile+"-")
}

// openDir returns the directory for a command's files, absolute, and what
// removes it if it is a temporary one.
func (k dirKind) openDir(path string) (dir string, remove func() error, err error) {
	if path == "" {
		dir, err := os.MkdirTemp("", "apponly-"+k.command+"-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(path)
	if err == nil {
		err = k.privateDir(dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("--dir: %w", err)
	}
	return dir, func() error { return nil }, nil
}

// privateDir makes a directory that only its owner may look into. If it exists
// already, the command's files in it may be replaced, but not files of the same
// names that are not the command's. Its mode is narrowed only if nothing else is
// in it: the owner of other files may rely on the mode.
func (k dirKind) privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var own, others []string
	for _, e := range entries {
		if k.owns(e.Name()) {
			own = append(own, e.Name())
		} else {
			others = append(others, e.Name())
		}
	}
	wide := info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" // where modes mean nothing
	switch {
	case len(own) > 0 && !slices.Contains(own, k.marker):
		return fmt.Errorf("%s holds %s and no %s: it is not of an earlier %s, and would be overwritten; name a directory of its own, or remove what is left of a start that failed",
			dir, own[0], k.marker, k.command)
	case wide && len(others) > 0:
		return fmt.Errorf("%s has mode %#o and holds %s: others could read the secrets written there; name a directory of its own, or chmod 700 it",
			dir, info.Mode().Perm(), others[0])
	case wide:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// writeFile replaces a file, readable by its owner alone. A reader sees the
// old content or the new one.
func writeFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(f.Name()) // whose error matters less than the first
	}
	return err
}

// dropEnvs removes the environments that an emulator before has left, unless they are to be
// replaced: what they lead to is gone.
func dropEnvs(dir string, files []file) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		stays := slices.ContainsFunc(files, func(f file) bool { return f.name == e.Name() })
		if !stays && strings.HasPrefix(e.Name(), envFile+"-") {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
