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

// ownFiles are those besides the environments of machines and jobs.
var ownFiles = []string{caFile, bundleFile, certificateFile, federatedFile, envFile, emulatorFile}

// openDir returns the directory for the demo's files, absolute, and what
// removes it if it is a temporary one.
func openDir(path string) (dir string, remove func() error, err error) {
	if path == "" {
		dir, err := os.MkdirTemp("", "apponly-emulator-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(path)
	if err == nil {
		err = privateDir(dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("--dir: %w", err)
	}
	return dir, func() error { return nil }, nil
}

// privateDir makes a directory that only its owner may look into. If it exists
// already, an emulator's files in it may be replaced, but not files of the same
// names that are not an emulator's. Its mode is narrowed only if nothing else is
// in it: the owner of other files may rely on the mode.
func privateDir(dir string) error {
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
		switch name := e.Name(); {
		case slices.Contains(ownFiles, name), strings.HasPrefix(name, envFile+"-"):
			own = append(own, name)
		default:
			others = append(others, name)
		}
	}
	wide := info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" // where modes mean nothing
	switch {
	case len(own) > 0 && !slices.Contains(own, emulatorFile):
		return fmt.Errorf("%s holds %s and no %s: it is not an emulator's, and would be overwritten; name a directory of its own, or remove what is left of a start that failed",
			dir, own[0], emulatorFile)
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
