// SPDX-License-Identifier: MIT

package filecache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// openDir opens a directory that is ours alone, and makes it if it is not there. What
// is done in the Root that it returns is done in the directory that was looked at,
// whatever becomes of the path meanwhile.
func openDir(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("filecache: %w", err)
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("filecache: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("filecache: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil {
		err = checkDir(link, info)
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("filecache: %s %w", dir, err)
	}
	return root, nil
}

// checkDir says why a directory is not ours alone. link is what its path led to.
func checkDir(link, info os.FileInfo) error {
	switch {
	case link.Mode()&fs.ModeSymlink != 0:
		return errors.New("is a symbolic link")
	case !os.SameFile(link, info):
		return errors.New("was exchanged while it was looked at")
	case runtime.GOOS == "windows": // whose modes say nothing
		return nil
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("can be written to by others: its mode is %v, want drwx------", info.Mode())
	}
	return checkOwner(info)
}
