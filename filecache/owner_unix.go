// SPDX-License-Identifier: MIT

//go:build unix

package filecache

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwner says why a file is not ours.
func checkOwner(info os.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to the user %d; this process runs as %d", stat.Uid, os.Geteuid())
	}
	return nil
}
