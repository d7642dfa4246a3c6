// SPDX-License-Identifier: MIT

package filecache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxValue bounds a value. A token with hundreds of groups and roles has some 10 kB.
const maxValue = 64 << 10

// A Store keeps bytes in a directory, a file for each key. It is an
// [apponly.SharedStore], has no state of its own, and need not be closed.
//
// Its keys are those of apponly: 32 characters of base64url. It takes no other, so
// that no key leads out of the directory.
type Store struct{ dir string }

// Open returns the store in a directory, which it makes if it is not there. It fails
// if others could write to it.
//
// A directory that is removed later is made again by the next write.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("filecache: %w", err)
	}
	root, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return &Store{dir}, root.Close()
}

// Get returns what is kept under key and for how much longer, nil if there is nothing.
func (s *Store) Get(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	err = s.in(ctx, key, nil, func(root *os.Root) error {
		now := time.Now()
		for path, n := key, 0; n < maxSuccessors; n++ {
			e, err := readEntry(root, path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if e.left(now) > 0 {
				value, left = e.value, e.left(now)
				return nil
			}
			path = e.successor(key)
		}
		return nil
	})
	return value, left, err
}

// Set keeps value under key for ttl, a week at most.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.in(ctx, key, value, func(root *os.Root) error {
		temp, err := writeTemp(root, newEntry(value, ttl))
		if err != nil {
			return err
		}
		if err := root.Rename(temp, key); err != nil {
			_ = root.Remove(temp)
			return err
		}
		sweep(root, time.Now())
		return nil
	})
}

// maxSuccessors bounds how far a chain of entries is followed. It has one, unless a
// process was killed in Add, or garbage leads back to itself.
const maxSuccessors = 8

// Add is Set if there is nothing under key, and reports whether there was not.
//
// A link is made only where nothing is, so among those who add one succeeds. But an
// entry that has ended is in the way, and to remove it first would not do: who is late
// removes what was added since. So an entry has exactly one successor, a link whose
// name is made of the entry's ID. Whoever makes it has added, and puts it in the
// place of the entry; if it is killed before that, the successor is found all the same.
func (s *Store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	err = s.in(ctx, key, value, func(root *os.Root) error {
		temp, err := writeTemp(root, newEntry(value, ttl))
		if err != nil {
			return err
		}
		defer root.Remove(temp) // gone if it was renamed
		if added, err = link(root, temp, key); added {
			sweep(root, time.Now())
		}
		return err
	})
	return added, err
}

// link makes temp the entry of key, if there is none that lasts.
func link(root *os.Root, temp, key string) (added bool, err error) {
	now, path := time.Now(), key
	for range maxSuccessors {
		if err = root.Link(temp, path); err == nil {
			if path != key {
				err = root.Rename(temp, key)
			}
			return err == nil, err
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		e, err := readEntry(root, path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // swept meanwhile
		case err != nil || e.left(now) > 0:
			return false, err
		default:
			path = e.successor(key)
		}
	}
	return false, nil
}

// in calls do in the directory of the store. value is what it is going to write.
func (s *Store) in(ctx context.Context, key string, value []byte, do func(*os.Root) error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !isKey(key):
		return errors.New("filecache: a key is not 32 characters of base64url")
	case len(value) > maxValue:
		return errors.New("filecache: a value is larger than 64 KiB")
	}
	root, err := openDir(s.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := do(root); err != nil {
		return fmt.Errorf("filecache: %s: %w", s.dir, err)
	}
	return nil
}

func isKey(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
