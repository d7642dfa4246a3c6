// SPDX-License-Identifier: MIT

// Package filecache keeps tokens in a directory, for processes of one user on one
// machine: jobs of cron, command-line tools, plugins that kubectl runs for each
// command. Each would ask Entra for a token of its own; with this they ask once
// for all.
//
//	store, err := filecache.Open(dir)
//	…
//	keys, err := filecache.Key(dir)
//	…
//	cache := apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
//
// A directory such as os.UserCacheDir() with a name of the app's below it is a good
// one. On a server that starts again with nothing, one on tmpfs ($XDG_RUNTIME_DIR,
// systemd's RuntimeDirectory) leaves no token on a disk.
//
// # Who can read it
//
// Entries are sealed, but the key lies beside them: whoever reads the directory has
// the tokens. It belongs to the user the process runs as and to nobody else, and what
// looks otherwise is refused: a directory of another user, one that a group or all may
// write to, a symbolic link. A pod's fsGroup makes its volumes writable for a group;
// make a directory in it. What access control lists grant beyond the mode is not
// looked at.
//
// # What it promises
//
// There are no locks, so nothing hangs and nothing is left locked by a process that
// was killed. An entry is there as a whole or not at all. Of processes that add an
// entry at once exactly one has added it. What has ended is removed by the writers
// that come later, a few files each.
//
// A process that is stopped for more than ten minutes in the middle of Add may add
// what another has added meanwhile. That costs a token request, as everything does
// that goes wrong here: a full disk, a directory that somebody empties, garbage.
//
// It needs a file system with hard links, on one machine: network file systems keep
// neither order nor clocks. Use a server for several machines, see the module
// rediscache.
//
// On Windows modes and owners say nothing and are not looked at: who may read the
// directory is what it inherits, so put it below %LocalAppData%. A file that another
// program, of virus protection say, holds open at the wrong moment is an error there,
// and so a token request.
package filecache
