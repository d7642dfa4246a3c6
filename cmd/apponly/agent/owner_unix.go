// SPDX-License-Identifier: MIT

//go:build unix

package agent

import (
	"os"
	"syscall"
)

// giveTo gives a file the user and the group of another one; the group alone if it may
// not give it away.
func giveTo(f *os.File, other os.FileInfo) error {
	stat, ok := other.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if f.Chown(int(stat.Uid), int(stat.Gid)) == nil {
		return nil
	}
	return f.Chown(-1, int(stat.Gid))
}
