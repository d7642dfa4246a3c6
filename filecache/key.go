// SPDX-License-Identifier: MIT

package filecache

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/apponly/apponly"
)

const keyName = "key"

// Key returns the key in the file "key" of a directory, which it makes of random
// bytes if it is not there: all who ask get the same one. The directory must be as
// [Open] wants it, and nobody else may read the file.
//
// A key that is removed is made anew by the next call, and what was sealed with it is
// then nothing to anybody.
func Key(dir string) (apponly.SharedKeys, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return apponly.SharedKeys{}, fmt.Errorf("filecache: %w", err)
	}
	root, err := openDir(dir)
	if err != nil {
		return apponly.SharedKeys{}, err
	}
	defer root.Close()
	path := filepath.Join(dir, keyName)
	if err := makeKey(root); err != nil {
		return apponly.SharedKeys{}, fmt.Errorf("filecache: %s: %w", path, err)
	}
	if err := checkKey(root); err != nil {
		return apponly.SharedKeys{}, fmt.Errorf("filecache: %s %w", path, err)
	}
	return apponly.SharedKeyFile(path), nil
}

// makeKey makes the file, whole or not at all, if there is none.
func makeKey(root *os.Root) error {
	if _, err := root.Lstat(keyName); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	temp := tempPrefix + rand.Text()
	if err := writeNew(root, temp, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), true); err != nil {
		return err
	}
	defer root.Remove(temp)
	if err := root.Link(temp, keyName); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil // somebody was faster
}

func checkKey(root *os.Root) error {
	info, err := root.Lstat(keyName)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	case runtime.GOOS == "windows":
		return nil
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("can be read by others: its mode is %v, want -rw-------", info.Mode())
	}
	return checkOwner(info)
}
