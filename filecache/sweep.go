// SPDX-License-Identifier: MIT

package filecache

import (
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

const (
	// grace is how long a file stays that nobody needs: a process that is slow may
	// still be about to follow it.
	grace = 10 * time.Minute
	// maxListed and maxSwept bound what one writer does for all. A writer leaves two
	// files at most and looks at many more, so there is no end to be feared.
	maxListed = 10000
	maxSwept  = 64
)

// sweep removes files that have ended, and those that a process was killed over. It
// begins anywhere, so that each is come to in time.
func sweep(root *os.Root, now time.Time) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(maxListed)
	dir.Close()
	if len(names) == 0 {
		return
	}
	start := rand.IntN(len(names))
	for i := range min(len(names), maxSwept) {
		// An entry that was put in the place of this one by now goes with it. That
		// costs a token request, once in a very long while.
		if name := names[(start+i)%len(names)]; needless(root, name, now) {
			_ = root.Remove(name)
		}
	}
}

// needless reports whether a file is of this store and has been of no use for a while.
func needless(root *os.Root, name string, now time.Time) bool {
	key, id, _ := strings.Cut(name, ".")
	switch {
	case strings.HasPrefix(name, tempPrefix):
	case isKey(key) && (id == "" || len(id) == 16):
		e, err := readEntry(root, name)
		if err != nil {
			return false
		}
		if e.ttl > 0 {
			return now.Sub(e.begun.Add(e.ttl)) > grace || e.begun.Sub(now) > grace
		}
	default: // the key, and what is not ours
		return false
	}
	info, err := root.Lstat(name)
	return err == nil && now.Sub(info.ModTime()).Abs() > grace
}
